/* SPDX-License-Identifier: MIT */
/* Any bytes as the text of a root: what is taken is written again as the very same bytes. */
#include <string.h>

#include "manifest/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_root *v = NULL;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	int r = ay_root_parse(data, len, &v, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r == 0) {
		AY_ASSERT(ay_root_write(v, &out, &err) == 0);
		AY_ASSERT(out.len == len && memcmp(out.data, data, len) == 0);
	}
	ay_root_free(v);
	ay_buf_release(&out);
	return 0;
}
