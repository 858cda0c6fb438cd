/* SPDX-License-Identifier: MIT */
/*
 * manifest/sign.c - one minisign signature file.
 *
 * Two signatures are in it: over BLAKE2b-512 of the text, and over that signature
 * and the trusted comment. Both must hold, as for minisign itself, so that a
 * comment that `minisign -V` shows as trusted is. Source: minisign's documentation,
 * "Signature format".
 */
#include <sodium.h>
#include <string.h>

#include "manifest/sign_internal.h"

#define SIG_LEN 74 /* "ED", key id, signature */

/* Comments go to terminals: no control characters but tab. */
static bool comment_ok(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			return false;
	return true;
}

int ay_sign_detached(const struct ay_secret_key *sk, const void *text, size_t len, const char *comment,
		     struct ay_buf *out, struct ay_err *err)
{
	uint8_t hash[64], raw[SIG_LEN] = {'E', 'D'}, global[64];
	uint8_t message[64 + AY_COMMENT_MAX];

	if (!comment)
		comment = "ayni";
	size_t clen = strlen(comment);
	if (clen > AY_COMMENT_MAX || !comment_ok((const uint8_t *)comment, clen))
		return ay_err_set(err, AY_EUSAGE, "a trusted comment is one line of at most %d bytes",
				  AY_COMMENT_MAX);
	ay__sodium();
	crypto_generichash(hash, sizeof(hash), text, len, NULL, 0);
	memcpy(raw + 2, sk->id, 8);
	crypto_sign_detached(raw + 10, NULL, hash, sizeof(hash), sk->key);
	memcpy(message, raw + 10, 64);
	memcpy(message + 64, comment, clen);
	crypto_sign_detached(global, NULL, message, 64 + clen, sk->key);

	ay_put_str(out, "untrusted comment: signature from ayni\n");
	ay__base64_put(out, raw, sizeof(raw));
	ay_put_fmt(out, "trusted comment: %s\n", comment);
	ay__base64_put(out, global, sizeof(global));
	return ay_buf_status(out);
}

static int bad(struct ay_err *err, const char *what)
{
	return ay_err_set(err, AY_EFORMAT, "not a minisign signature: %s", what);
}

int ay__signature_parse(struct ay_slice *rest, struct ay__signature *out, struct ay_slice *file,
			struct ay_err *err)
{
	struct ay_slice left = *rest, line;
	uint8_t raw[SIG_LEN];

	if (left.len > AY_SIGNATURE_FILE_MAX)
		left.len = AY_SIGNATURE_FILE_MAX;
	if (!ay__take_line(&left, &line) || !ay__starts_with(&line, "untrusted comment: ") ||
	    !comment_ok(line.data, line.len))
		return bad(err, "line 1 is not an untrusted comment, or too long");
	if (!ay__take_line(&left, &line) || ay__base64_get(line.data, line.len, raw, sizeof(raw)))
		return bad(err, "line 2 is not base64 of 74 bytes");
	out->legacy = memcmp(raw, "Ed", 2) == 0;
	if (!out->legacy && memcmp(raw, "ED", 2))
		return bad(err, "another algorithm than Ed25519");
	memcpy(out->key_id, raw + 2, 8);
	memcpy(out->sig, raw + 10, 64);
	if (!ay__take_line(&left, &line) || !ay__starts_with(&line, "trusted comment: ") ||
	    !comment_ok(line.data, line.len))
		return bad(err, "line 3 is not a trusted comment, or too long");
	out->comment = (struct ay_slice){line.data + 17, line.len - 17};
	if (!ay__take_line(&left, &line) ||
	    ay__base64_get(line.data, line.len, out->global, sizeof(out->global)))
		return bad(err, "line 4 is not base64 of 64 bytes");
	*file = (struct ay_slice){rest->data, (size_t)(left.data - rest->data)};
	rest->data += file->len;
	rest->len -= file->len;
	return 0;
}

int ay_envelope_verify(const struct ay_envelope *env, unsigned i, const struct ay_public_key *pk)
{
	struct ay__signature s;
	struct ay_slice rest, file;
	uint8_t hash[64], message[64 + AY_SIGNATURE_FILE_MAX];

	if (i >= env->n_signatures)
		return AY_ESIG;
	rest = env->signatures[i].file;
	if (ay__signature_parse(&rest, &s, &file, NULL) || s.legacy || memcmp(s.key_id, pk->id, 8))
		return AY_ESIG;
	ay__sodium();
	crypto_generichash(hash, sizeof(hash), env->text.data, env->text.len, NULL, 0);
	if (crypto_sign_verify_detached(s.sig, hash, sizeof(hash), pk->key))
		return AY_ESIG;
	memcpy(message, s.sig, 64);
	memcpy(message + 64, s.comment.data, s.comment.len);
	if (crypto_sign_verify_detached(s.global, message, 64 + s.comment.len, pk->key))
		return AY_ESIG;
	return 0;
}
