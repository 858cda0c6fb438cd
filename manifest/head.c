/* SPDX-License-Identifier: MIT */
/*
 * manifest/head.c - the smallest signed pointer to a branch's newest release.
 *
 * Binary and of one size, because it travels in one multicast frame to radios that
 * may sleep. Its signature is plain Ed25519 over the 92 bytes before it; they begin
 * with the type, so that no other signature of the same key can be taken for it:
 * minisign's sign a 64-byte hash, or a 64-byte signature and a comment.
 */
#include "manifest/head.h"

#include <sodium.h>
#include <string.h>

#include "manifest/sign_internal.h"

#define SIGNED_LEN 92

static const uint8_t magic[7] = "AyniHd"; /* with its NUL */

void ay_branch_id(const char *fleet, const char *branch, struct ay_branch_id *out)
{
	uint8_t hash[32];
	crypto_hash_sha256_state st;

	ay__sodium();
	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, (const uint8_t *)"ayni-branch", sizeof("ayni-branch"));
	crypto_hash_sha256_update(&st, (const uint8_t *)fleet, strlen(fleet) + 1);
	crypto_hash_sha256_update(&st, (const uint8_t *)branch, strlen(branch));
	crypto_hash_sha256_final(&st, hash);
	memcpy(out->b, hash, sizeof(out->b));
}

static int bad(struct ay_err *err, const char *what)
{
	return ay_err_set(err, AY_EFORMAT, "head: %s", what);
}

int ay_head_parse(const uint8_t *data, size_t len, struct ay_head *out, struct ay_err *err)
{
	struct ay_cursor c;
	uint8_t zero[8] = {0};

	if (len < 8 || memcmp(data, magic, sizeof(magic)))
		return bad(err, "does not begin with AyniHd");
	if (data[7] != 1)
		return ay_err_set(err, AY_EVERSION, "head version %u is not known here; upgrade ayni",
				  data[7]);
	if (len != AY_HEAD_SIZE)
		return ay_err_set(err, AY_EFORMAT, "head: %zu bytes instead of %d", len, AY_HEAD_SIZE);
	ay_cursor_init(&c, data + 8, SIGNED_LEN - 8);
	ay_get_copy(&c, out->branch.b, sizeof(out->branch.b));
	out->root_epoch = ay_get_u32(&c);
	out->serial = ay_get_u32(&c);
	out->min_serial = ay_get_u32(&c);
	out->rollout = ay_get_u8(&c);
	if (memcmp(ay_get_bytes(&c, 3), zero, 3))
		return bad(err, "reserved bytes 29..31 are not zero");
	ay_get_copy(&c, out->release.b, sizeof(out->release.b));
	out->release_size = ay_get_u32(&c);
	out->signed_at_s = ay_get_u64(&c);
	ay_get_copy(&c, out->key_id, sizeof(out->key_id));
	if (memcmp(ay_get_bytes(&c, 8), zero, 8))
		return bad(err, "reserved bytes 84..91 are not zero");
	AY_ASSERT(ay_cursor_done(&c));
	if (out->root_epoch == 0 || out->serial == 0)
		return bad(err, "root epoch and serial begin at 1");
	if (out->min_serial > out->serial)
		return bad(err, "minimal serial above its own serial");
	if (out->rollout > 100)
		return bad(err, "rollout above 100 percent");
	if (out->release_size == 0 || out->release_size > AY_ENVELOPE_MAX)
		return bad(err, "release size is zero or above an envelope's limit");
	if (out->signed_at_s > INT64_MAX)
		return bad(err, "signing time above 2^63-1");
	return 0;
}

int ay_head_sign(struct ay_head *h, const struct ay_secret_key *sk, uint8_t out[AY_HEAD_SIZE])
{
	static const uint8_t zero[8];
	struct ay_buf b;
	struct ay_head check;

	ay__sodium();
	memcpy(h->key_id, sk->id, sizeof(h->key_id));
	ay_buf_init(&b, AY_HEAD_SIZE);
	ay_put_bytes(&b, magic, sizeof(magic));
	ay_put_u8(&b, 1);
	ay_put_bytes(&b, h->branch.b, sizeof(h->branch.b));
	ay_put_u32(&b, h->root_epoch);
	ay_put_u32(&b, h->serial);
	ay_put_u32(&b, h->min_serial);
	ay_put_u8(&b, h->rollout);
	ay_put_bytes(&b, zero, 3);
	ay_put_bytes(&b, h->release.b, sizeof(h->release.b));
	ay_put_u32(&b, h->release_size);
	ay_put_u64(&b, h->signed_at_s);
	ay_put_bytes(&b, h->key_id, sizeof(h->key_id));
	ay_put_bytes(&b, zero, 8);
	int r = ay_buf_status(&b);
	if (!r) {
		AY_ASSERT(b.len == SIGNED_LEN);
		memcpy(out, b.data, SIGNED_LEN);
		crypto_sign_detached(out + SIGNED_LEN, NULL, out, SIGNED_LEN, sk->key);
		r = ay_head_parse(out, AY_HEAD_SIZE, &check, NULL); /* never send what nobody would take */
	}
	ay_buf_release(&b);
	return r;
}

int ay_head_verify(const uint8_t data[AY_HEAD_SIZE], const struct ay_public_key *pk)
{
	ay__sodium();
	if (memcmp(data + 76, pk->id, 8) ||
	    crypto_sign_verify_detached(data + SIGNED_LEN, data, SIGNED_LEN, pk->key))
		return AY_ESIG;
	return 0;
}

int ay_head_cmp(const struct ay_head *a, const struct ay_head *b)
{
	if (a->root_epoch != b->root_epoch)
		return a->root_epoch < b->root_epoch ? -1 : 1;
	return (a->serial > b->serial) - (a->serial < b->serial);
}
