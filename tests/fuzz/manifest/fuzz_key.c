/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a key file, public or secret: what is taken comes back the same from
 * what is written. No password is given, because scrypt would take all the time.
 */
#include <string.h>

#include "manifest/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_public_key pk, pk2;
	struct ay_secret_key sk, sk2;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	int r = ay_public_key_parse((const char *)data, len, &pk, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r == 0) {
		AY_ASSERT(ay_public_key_write(&pk, &out) == 0);
		AY_ASSERT(ay_public_key_parse((const char *)out.data, out.len, &pk2, &err) == 0);
		AY_ASSERT(memcmp(&pk, &pk2, sizeof(pk)) == 0);
		ay_buf_reset(&out);
	}
	r = ay_secret_key_parse((const char *)data, len, NULL, &sk, &err);
	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r == 0) {
		AY_ASSERT(ay_secret_key_write(&sk, NULL, &out, &err) == 0);
		AY_ASSERT(ay_secret_key_parse((const char *)out.data, out.len, NULL, &sk2, &err) == 0);
		AY_ASSERT(memcmp(&sk, &sk2, sizeof(sk)) == 0);
	}
	ay_buf_release(&out);
	return 0;
}
