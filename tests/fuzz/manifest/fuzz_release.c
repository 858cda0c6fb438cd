/* SPDX-License-Identifier: MIT */
/* Any bytes as the text of a release: what is taken is written again as the very same bytes. */
#include <string.h>

#include "manifest/release.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_release v;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	int r = ay_release_parse(data, len, &v, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r == 0) {
		AY_ASSERT(ay_release_write(&v, &out, &err) == 0);
		AY_ASSERT(out.len == len && memcmp(out.data, data, len) == 0);
	}
	ay_buf_release(&out);
	return 0;
}
