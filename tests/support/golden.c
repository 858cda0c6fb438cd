/* SPDX-License-Identifier: MIT */
/* Reading, comparing and writing golden files. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_MAX (1u << 20)

struct ay_buf golden_read(const char *name)
{
	char path[200];
	struct ay_buf b = {0};

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s (run from the top of the tree)", path, strerror(errno));
	uint8_t *p = ay_buf_reserve(&b, GOLDEN_MAX);
	assert_non_null(p);
	b.len = fread(p, 1, GOLDEN_MAX, f);
	fclose(f);
	return b;
}

void golden_write(const char *name, const struct ay_buf *made)
{
	char path[200];

	if (!getenv("AYNI_GOLDEN_WRITE"))
		return;
	snprintf(path, sizeof(path), "tests/golden/%s", name);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(made->data, 1, made->len, f), made->len);
	assert_int_equal(fclose(f), 0);
}

void golden_check(const char *name, struct ay_buf made)
{
	golden_write(name, &made);
	struct ay_buf want = golden_read(name);
	if (made.len != want.len || memcmp(made.data, want.data, want.len))
		print_error("%s is not what is written today\n", name);
	assert_int_equal(made.len, want.len);
	assert_memory_equal(made.data, want.data, want.len);
	ay_buf_release(&made);
	ay_buf_release(&want);
}
