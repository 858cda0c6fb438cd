/* SPDX-License-Identifier: MIT */
/*
 * manifest/sign.h - minisign's keys and signatures, and the envelope around a signed text.
 *
 * Keys and signatures are minisign's own, byte for byte: `minisign -G` makes keys
 * that sign here, and what signs here verifies with `minisign -V`. Signatures are
 * the prehashed kind ("ED": Ed25519 over BLAKE2b-512 of the text); the older "Ed"
 * is refused. Source: minisign's documentation, "Signature format", "Public key
 * format", "Secret key format".
 *
 *     ayni-envelope 1\n
 *     text LENGTH\n
 *     <LENGTH bytes: the signed text>
 *     signatures N\n
 *     <N minisign signature files of four lines each>
 *
 * A signature file is minisign's: "untrusted comment: ...", base64 of "ED", key id
 * and signature, "trusted comment: ...", base64 of a second signature over the
 * first one and the trusted comment. Comments have no control characters but tab.
 *
 * Key ids are written as minisign prints them: 16 upper-case hex digits of the
 * eight bytes as a little-endian number; "sorted" means in the order of that number.
 *
 * The text's own first line names its type and version ("ayni-release 1"), so that
 * a signature over one type cannot serve for another. N <= 16, sorted by key id,
 * no key twice.
 */
#ifndef AYNI_MANIFEST_SIGN_H
#define AYNI_MANIFEST_SIGN_H

#include "base/bytes.h"
#include "base/error.h"

#define AY_SIGNATURES_MAX     16
#define AY_SIGNED_TEXT_MAX    (256 * 1024) /* a root with all its keys is the largest */
#define AY_SIGNATURE_FILE_MAX 1024         /* four lines, of which the comments are the variable part */
#define AY_COMMENT_MAX        512          /* a trusted comment */
#define AY_ENVELOPE_MAX       (AY_SIGNED_TEXT_MAX + AY_SIGNATURES_MAX * AY_SIGNATURE_FILE_MAX + 64)

struct ay_public_key {
	uint8_t id[8];
	uint8_t key[32]; /* Ed25519 */
};

/* Wipe with ay_secret_key_wipe() as soon as it has signed. */
struct ay_secret_key {
	uint8_t id[8];
	uint8_t key[64]; /* Ed25519 seed and public key, as libsodium has it */
};

/** ay_key_id_hex() - as minisign prints it; returns @out. */
char *ay_key_id_hex(const uint8_t id[8], char out[17]);
/** ay_key_id_parse() - exactly 16 upper-case hex digits. 0 or AY_EFORMAT. */
int ay_key_id_parse(const char *s, size_t len, uint8_t id[8]);
int ay_key_id_cmp(const uint8_t a[8], const uint8_t b[8]);

/** ay_key_generate() - a new key pair from the system's randomness (the publisher's side only). */
int ay_key_generate(struct ay_secret_key *sk, struct ay_public_key *pk);
void ay_secret_key_wipe(struct ay_secret_key *sk);
void ay_secret_key_public(const struct ay_secret_key *sk, struct ay_public_key *pk);

/**
 * ay_secret_key_parse() - a minisign secret key file.
 * @password: NULL when none was given; needed when the file is encrypted (scrypt).
 *
 * Return: 0; AY_EFORMAT; AY_EUSAGE encrypted and no password: ask for it; AY_ESIG wrong password (the checksum
 * does not fit); AY_EUNSUPPORTED another kdf or algorithm; -ENOMEM (scrypt's memory).
 */
int ay_secret_key_parse(const char *text, size_t len, const char *password, struct ay_secret_key *sk,
			struct ay_err *err);
/** ay_secret_key_write() - as a minisign secret key file; @password NULL: unencrypted (minisign -W). */
int ay_secret_key_write(const struct ay_secret_key *sk, const char *password, struct ay_buf *out,
			struct ay_err *err);
/** ay_public_key_parse() - a minisign .pub file, or its base64 line alone ("RW..."). */
int ay_public_key_parse(const char *text, size_t len, struct ay_public_key *pk, struct ay_err *err);
int ay_public_key_write(const struct ay_public_key *pk, struct ay_buf *out); /* the two-line file */
/** ay_public_key_line() - the base64 line alone, NUL-terminated, 56 characters. */
void ay_public_key_line(const struct ay_public_key *pk, char out[57]);

/**
 * ay_sign_detached() - append a minisign signature file (4 lines) over @text.
 * @comment: trusted comment, one line, at most AY_COMMENT_MAX bytes; NULL: "ayni".
 *
 * Return: 0; AY_EUSAGE the comment cannot be one; ay_buf_status().
 */
int ay_sign_detached(const struct ay_secret_key *sk, const void *text, size_t len, const char *comment,
		     struct ay_buf *out, struct ay_err *err);

/* A parsed envelope; everything is borrowed from the bytes it was parsed from. */
struct ay_envelope {
	struct ay_slice text;
	unsigned n_signatures;
	struct {
		uint8_t key_id[8];
		struct ay_slice file; /* the four lines */
	} signatures[AY_SIGNATURES_MAX];
};

/** ay_envelope_parse() - form only; nothing is verified. 0, AY_EFORMAT, AY_EVERSION, AY_ELIMIT. */
int ay_envelope_parse(const void *data, size_t len, struct ay_envelope *env, struct ay_err *err);
/** ay_envelope_verify() - is signature @i right for @pk? 0 or AY_ESIG (also for another key id, or legacy "Ed"). */
int ay_envelope_verify(const struct ay_envelope *env, unsigned i, const struct ay_public_key *pk);
/**
 * ay_envelope_write() - sign @text with @n keys (in any order) and append the envelope.
 *
 * Return: 0; AY_EUSAGE no key, too many, one twice, or a comment that cannot be one; AY_ELIMIT; -ENOMEM.
 */
int ay_envelope_write(const void *text, size_t len, const struct ay_secret_key *const *keys, unsigned n,
		      const char *comment, struct ay_buf *out, struct ay_err *err);

/**
 * ay_envelope_join() - an envelope from a text and signature files that others made over it (minisign -S),
 * in any order; this is how several people sign one root.
 *
 * Return: 0; AY_EFORMAT a file is no minisign signature; AY_EUSAGE none, too many, or one key twice;
 *   AY_ELIMIT; -ENOMEM. The signatures are not verified.
 */
int ay_envelope_join(const void *text, size_t len, const struct ay_slice *files, unsigned n,
		     struct ay_buf *out, struct ay_err *err);

#endif
