/* SPDX-License-Identifier: MIT */
/* A read error in the midst of a stream stays what it is; a stream that ends there is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/inflate.h"
#include "diff/unpacker.h"

/* Two bytes: one block of fixed codes, which would say "a" with the third one. */
static const uint8_t begun[] = {0x4b, 0x04};

struct source {
	unsigned calls;
	int rc; /* of the second call */
};

static int fill(void *ctx, const uint8_t **data, size_t *len)
{
	struct source *s = ctx;

	*data = begun;
	*len = s->calls == 0 ? sizeof(begun) : 0;
	return s->calls++ == 0 ? 0 : s->rc;
}

static int more(struct ay__unpacker *u, size_t *got, struct ay_err *err)
{
	const uint8_t *data;
	int rc = fill(u->state, &data, got);

	(void)err;
	memcpy(u->buffer, data, *got);
	return rc;
}

static void test_inflate(void **state)
{
	struct ay__inflate *s = malloc(sizeof(*s));
	struct source io = {.rc = -EIO}, end = {0};
	uint8_t out[8];
	size_t got;

	(void)state;
	assert_non_null(s);
	ay__inflate_init(s, fill, &io, NULL);
	assert_int_equal(ay__inflate_read(s, out, sizeof(out), &got), -EIO);
	assert_null(s->why);
	ay__inflate_init(s, fill, &end, NULL);
	assert_int_equal(ay__inflate_read(s, out, sizeof(out), &got), AY_EFORMAT);
	assert_string_equal(s->why, "a deflate stream ends early");
	free(s);
}

static int unpack(struct source *source)
{
	struct ay__unpacker *below = calloc(2, sizeof(*below)), *top = below + 1;
	const struct ay__filter_params p = {.id = AY__FILTER_DEFLATE};
	struct ay_err err = {0};
	const uint8_t *data;
	size_t len;
	int rc;

	assert_non_null(below);
	below->more = more;
	below->state = source;
	assert_int_equal(ay__unpacker_open_filter(top, below, &p, &err), 0);
	do {
		rc = ay__unpacker_peek(top, &data, &len, &err);
		if (rc == 0)
			ay__unpacker_take(top, len);
	} while (rc == 0 && len > 0);
	ay__unpacker_close(top);
	free(below);
	return rc;
}

static void test_unpacker(void **state)
{
	struct source io = {.rc = -EIO}, end = {0};

	(void)state;
	assert_int_equal(unpack(&io), -EIO);
	assert_int_equal(unpack(&end), AY_EBASE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_inflate), cmocka_unit_test(test_unpacker)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
