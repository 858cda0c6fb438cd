/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a map of type numbers: what is read is written again as it was. Then, cut in two, as the .BTF of an old and of a new
 * module: walked, learned from, hashed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/btf_keys.h"
#include "diff/btf_learn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void map(const uint8_t *data, size_t len)
{
	struct ay__btf_map m;
	struct ay_buf again = {0};
	struct ay_cursor c;

	ay_cursor_init(&c, data, len);
	int rc = ay__btf_map_get(&c, &m);
	AY_ASSERT(rc == 0 || rc == AY_EFORMAT);
	if (rc == 0) {
		ay__btf_map_put(&again, &m);
		AY_ASSERT(again.len == ay_cursor_offset(&c) && memcmp(again.data, data, again.len) == 0);
		for (uint32_t i = 0; i < m.n[0]; i++)
			AY_ASSERT(ay__btf_mapped(&m, AY__BTF_TYPE, m.rows[0][i].from) == m.rows[0][i].to);
	}
	ay_buf_release(&again);
	ay__btf_map_release(&m);
}

static void modules(const uint8_t *data, size_t len)
{
	struct ay__btf_learner l = {0};
	struct ay__btf_keys k = {0};
	struct ay__btf_map m = {0};
	struct ay_slice a = {data, len / 2}, b = {data + len / 2, len - len / 2};

	for (unsigned i = 0; i < 4; i++)
		AY_ASSERT(ay__btf_learn(&l, i % 2 ? a : b, i < 2 ? a : b) == 0);
	AY_ASSERT(ay__btf_learned(&l, &m) == 0 && ay__btf_keys_make(&k, a, &m, true) == 0);
	for (uint32_t i = 0; i < 64; i++)
		ay__btf_key(&k, i % 2 ? AY__BTF_TYPE : AY__BTF_NAME, i << i % 32);
	ay__btf_keys_release(&k);
	ay__btf_map_release(&m);
	ay__btf_learner_release(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > 65536)
		return 0;
	map(data, len);
	modules(data, len);
	return 0;
}
