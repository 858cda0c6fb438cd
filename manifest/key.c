/* SPDX-License-Identifier: MIT */
/*
 * manifest/key.c - minisign's key files.
 *
 *   secret, 158 bytes in base64:           public, 42 bytes in base64:
 *     0 "Ed"                                 0 "Ed"
 *     2 "Sc" scrypt, or two zeros: plain     2 key id   8
 *     4 "B2" checksum is BLAKE2b-256        10 key     32
 *     6 salt 32, ops limit u64, mem limit u64
 *    54 key id 8, secret key 64, checksum 32     (these 104 XORed with scrypt's output)
 *
 * Using minisign's files means that a ministry can keep its key on a machine that
 * has never seen Ayni. Source: minisign's documentation, "Secret key format".
 */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "manifest/sign_internal.h"

#define SECRET_LEN     158
#define SECRET_AT      54
#define HIDDEN_LEN     104 /* key id, secret key, checksum */
#define PUBLIC_LEN     42
#define KEY_FILE_MAX   4096
#define SCRYPT_OPS_MAX (1ull << 28) /* eight times minisign's; more is a file made to hang us */
#define SCRYPT_MEM_MAX (2ull << 30) /* twice minisign's */

void ay__sodium(void)
{
	AY_ASSERT(sodium_init() >= 0);
}

int ay__base64_get(const uint8_t *text, size_t len, uint8_t *out, size_t size)
{
	size_t got;

	if (len != sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL) - 1)
		return AY_EFORMAT;
	if (sodium_base642bin(out, size, (const char *)text, len, NULL, &got, NULL,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    got != size)
		return AY_EFORMAT;
	return 0;
}

void ay__base64_put(struct ay_buf *out, const uint8_t *data, size_t len)
{
	size_t n = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	uint8_t *p = ay_buf_reserve(out, n);

	if (!p)
		return;
	sodium_bin2base64((char *)p, n, data, len, sodium_base64_VARIANT_ORIGINAL);
	p[n - 1] = '\n'; /* in the place of the NUL */
	out->len += n;
}

bool ay__take_line(struct ay_slice *rest, struct ay_slice *line)
{
	const uint8_t *nl = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;

	if (!nl)
		return false;
	*line = (struct ay_slice){rest->data, (size_t)(nl - rest->data)};
	rest->data += line->len + 1;
	rest->len -= line->len + 1;
	return true;
}

bool ay__starts_with(const struct ay_slice *line, const char *prefix)
{
	size_t n = strlen(prefix);

	return line->len >= n && memcmp(line->data, prefix, n) == 0;
}

char *ay_key_id_hex(const uint8_t id[8], char out[17])
{
	static const char digits[] = "0123456789ABCDEF";

	for (int i = 0; i < 8; i++) {
		out[2 * i] = digits[id[7 - i] >> 4];
		out[2 * i + 1] = digits[id[7 - i] & 15];
	}
	out[16] = 0;
	return out;
}

int ay_key_id_parse(const char *s, size_t len, uint8_t id[8])
{
	uint8_t v[8] = {0};

	if (len != 16)
		return AY_EFORMAT;
	for (int i = 0; i < 16; i++) {
		int d = s[i] >= '0' && s[i] <= '9'   ? s[i] - '0'
			: s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 10
						     : -1;
		if (d < 0)
			return AY_EFORMAT;
		v[7 - i / 2] = (uint8_t)(v[7 - i / 2] << 4 | d);
	}
	memcpy(id, v, 8);
	return 0;
}

int ay_key_id_cmp(const uint8_t a[8], const uint8_t b[8])
{
	uint64_t x = ay_get_le64(a), y = ay_get_le64(b);

	return (x > y) - (x < y);
}

int ay_key_generate(struct ay_secret_key *sk, struct ay_public_key *pk)
{
	ay__sodium();
	randombytes_buf(sk->id, sizeof(sk->id));
	crypto_sign_keypair(pk->key, sk->key);
	memcpy(pk->id, sk->id, sizeof(pk->id));
	return 0;
}

void ay_secret_key_wipe(struct ay_secret_key *sk)
{
	sodium_memzero(sk, sizeof(*sk));
}

void ay_secret_key_public(const struct ay_secret_key *sk, struct ay_public_key *pk)
{
	memcpy(pk->id, sk->id, sizeof(pk->id));
	memcpy(pk->key, sk->key + 32, sizeof(pk->key));
}

/* The base64 line of a two-line key file. */
static int key_line(const char *text, size_t len, struct ay_slice *line, struct ay_err *err)
{
	struct ay_slice rest = {(const uint8_t *)text, len}, comment;

	if (len > KEY_FILE_MAX)
		return ay_err_set(err, AY_ELIMIT, "key file larger than %d bytes", KEY_FILE_MAX);
	if (!ay__take_line(&rest, &comment) || !ay__starts_with(&comment, "untrusted comment: "))
		return ay_err_set(err, AY_EFORMAT, "not a minisign key file: no comment line");
	if (!ay__take_line(&rest, line))
		*line = rest; /* a last newline may be missing: people paste keys */
	else if (rest.len)
		return ay_err_set(err, AY_EFORMAT, "not a minisign key file: more than two lines");
	return 0;
}

static void checksum(const uint8_t raw[SECRET_LEN], uint8_t out[32])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, 32);
	crypto_generichash_update(&st, raw, 2);
	crypto_generichash_update(&st, raw + SECRET_AT, 8 + 64);
	crypto_generichash_final(&st, out, 32);
}

/* XOR the hidden part with scrypt's output: encrypts and decrypts. */
static int toggle_scrypt(uint8_t raw[SECRET_LEN], const char *password)
{
	uint8_t stream[HIDDEN_LEN];

	if (crypto_pwhash_scryptsalsa208sha256(stream, sizeof(stream), password, strlen(password), raw + 6,
					       ay_get_le64(raw + 38), (size_t)ay_get_le64(raw + 46)))
		return -ENOMEM;
	for (size_t i = 0; i < HIDDEN_LEN; i++)
		raw[SECRET_AT + i] ^= stream[i];
	sodium_memzero(stream, sizeof(stream));
	return 0;
}

/* Bring the hidden part into the clear, in place, and make sure that it is what was written. */
static int open_secret(uint8_t raw[SECRET_LEN], const char *password, struct ay_err *err)
{
	uint8_t sum[32];

	if (memcmp(raw, "Ed", 2) || memcmp(raw + 4, "B2", 2))
		return ay_err_set(err, AY_EUNSUPPORTED,
				  "secret key of another algorithm than Ed25519 with BLAKE2b");
	bool encrypted = memcmp(raw + 2, "Sc", 2) == 0;
	if (!encrypted && !sodium_is_zero(raw + 2, 2))
		return ay_err_set(err, AY_EUNSUPPORTED, "secret key encrypted by another method than scrypt");
	if (encrypted) {
		if (!password)
			return ay_err_set(err, AY_EUSAGE,
					  "the secret key is encrypted; its password is needed");
		if (ay_get_le64(raw + 38) > SCRYPT_OPS_MAX || ay_get_le64(raw + 46) > SCRYPT_MEM_MAX)
			return ay_err_set(err, AY_ELIMIT,
					  "secret key asks for more than 2 GiB or 2^28 steps of scrypt");
		if (toggle_scrypt(raw, password))
			return ay_err_set(err, -ENOMEM,
					  "not enough memory to decrypt the secret key (%llu bytes)",
					  (unsigned long long)ay_get_le64(raw + 46));
	}
	/* minisign -W leaves the checksum zero. */
	checksum(raw, sum);
	const uint8_t *stored = raw + SECRET_AT + 72;
	bool fits = sodium_memcmp(sum, stored, 32) == 0;
	if (encrypted && !fits)
		return ay_err_set(err, AY_ESIG, "wrong password for the secret key");
	if (!fits && !sodium_is_zero(stored, 32))
		return ay_err_set(err, AY_EFORMAT, "secret key is damaged: its checksum does not fit");
	/* Signing with a public half that is not the secret half's would give the secret away. */
	uint8_t pk[32], sk[64];
	crypto_sign_seed_keypair(pk, sk, raw + SECRET_AT + 8);
	bool own = memcmp(pk, raw + SECRET_AT + 8 + 32, 32) == 0;
	sodium_memzero(sk, sizeof(sk));
	return own ? 0 : ay_err_set(err, AY_EFORMAT, "secret key is damaged: its halves do not fit");
}

int ay_secret_key_parse(const char *text, size_t len, const char *password, struct ay_secret_key *sk,
			struct ay_err *err)
{
	uint8_t raw[SECRET_LEN];
	struct ay_slice line;

	ay__sodium();
	int r = key_line(text, len, &line, err);
	if (r)
		return r;
	if (ay__base64_get(line.data, line.len, raw, sizeof(raw)))
		r = ay_err_set(err, AY_EFORMAT, "not a minisign secret key: line 2 is not base64 of %d bytes",
			       SECRET_LEN);
	else
		r = open_secret(raw, password, err);
	if (!r) {
		memcpy(sk->id, raw + SECRET_AT, sizeof(sk->id));
		memcpy(sk->key, raw + SECRET_AT + 8, sizeof(sk->key));
	}
	sodium_memzero(raw, sizeof(raw));
	return r;
}

static void put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* minisign's own habit: its full cost, and half of it as often as memory is short. */
static int hide_secret(uint8_t raw[SECRET_LEN], const char *password, struct ay_err *err)
{
	uint64_t ops = crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE;
	uint64_t mem = crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE;

	memcpy(raw + 2, "Sc", 2);
	randombytes_buf(raw + 6, 32);
	for (; mem >= crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_INTERACTIVE; mem /= 2, ops /= 2) {
		put_le64(raw + 38, ops);
		put_le64(raw + 46, mem);
		if (toggle_scrypt(raw, password) == 0)
			return 0;
	}
	return ay_err_set(err, -ENOMEM, "not enough memory to encrypt the secret key");
}

int ay_secret_key_write(const struct ay_secret_key *sk, const char *password, struct ay_buf *out,
			struct ay_err *err)
{
	uint8_t raw[SECRET_LEN] = {0};
	int r = 0;

	ay__sodium();
	memcpy(raw, "Ed", 2);
	memcpy(raw + 4, "B2", 2);
	memcpy(raw + SECRET_AT, sk->id, 8);
	memcpy(raw + SECRET_AT + 8, sk->key, 64);
	checksum(raw, raw + SECRET_AT + 72);
	if (password)
		r = hide_secret(raw, password, err);
	if (!r) {
		ay_put_fmt(out, "untrusted comment: minisign %s\n",
			   password ? "encrypted secret key" : "secret key");
		ay__base64_put(out, raw, sizeof(raw));
		r = ay_buf_status(out);
	}
	sodium_memzero(raw, sizeof(raw));
	return r;
}

int ay_public_key_parse(const char *text, size_t len, struct ay_public_key *pk, struct ay_err *err)
{
	uint8_t raw[PUBLIC_LEN];
	struct ay_slice line = {(const uint8_t *)text, len}, rest = line;

	if (ay__starts_with(&line, "untrusted comment: ")) {
		int r = key_line(text, len, &line, err);
		if (r)
			return r;
	} else if (ay__take_line(&rest, &line) && rest.len) {
		return ay_err_set(err, AY_EFORMAT, "not a minisign public key: more than one line");
	}
	if (ay__base64_get(line.data, line.len, raw, sizeof(raw)))
		return ay_err_set(err, AY_EFORMAT, "not a minisign public key: no base64 of %d bytes",
				  PUBLIC_LEN);
	if (memcmp(raw, "Ed", 2))
		return ay_err_set(err, AY_EUNSUPPORTED, "public key of another algorithm than Ed25519");
	memcpy(pk->id, raw + 2, 8);
	memcpy(pk->key, raw + 10, 32);
	return 0;
}

void ay_public_key_line(const struct ay_public_key *pk, char out[57])
{
	uint8_t raw[PUBLIC_LEN] = {'E', 'd'};

	memcpy(raw + 2, pk->id, 8);
	memcpy(raw + 10, pk->key, 32);
	sodium_bin2base64(out, 57, raw, sizeof(raw), sodium_base64_VARIANT_ORIGINAL);
}

int ay_public_key_write(const struct ay_public_key *pk, struct ay_buf *out)
{
	char line[57], hex[17];
	const char *id = ay_key_id_hex(pk->id, hex);

	/* minisign's comment has the id as a number, without leading zeros. */
	while (id[0] == '0' && id[1])
		id++;
	ay_public_key_line(pk, line);
	ay_put_fmt(out, "untrusted comment: minisign public key %s\n%s\n", id, line);
	return ay_buf_status(out);
}
