/* SPDX-License-Identifier: MIT */
/* Any bytes as a head: what is taken is encoded again as the very same bytes, but for key id and signature. */
#include <sodium.h>
#include <string.h>

#include "manifest/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_head h;
	struct ay_err err = {0};
	int r = ay_head_parse(data, len, &h, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r)
		return 0;
	struct ay_secret_key sk = {.id = {1}};
	struct ay_public_key pk;
	uint8_t seed[32] = {1}, out[AY_HEAD_SIZE];
	AY_ASSERT(sodium_init() >= 0);
	crypto_sign_seed_keypair(pk.key, sk.key, seed);
	memcpy(pk.id, sk.id, sizeof(pk.id));
	AY_ASSERT(len == AY_HEAD_SIZE && ay_head_verify(data, &pk) == AY_ESIG);
	AY_ASSERT(ay_head_cmp(&h, &h) == 0);
	AY_ASSERT(ay_head_sign(&h, &sk, out) == 0 && ay_head_verify(out, &pk) == 0);
	AY_ASSERT(memcmp(out, data, 76) == 0 && memcmp(out + 84, data + 84, 8) == 0);
	return 0;
}
