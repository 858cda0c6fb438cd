/* SPDX-License-Identifier: MIT */
/* Records that name their target by its place in the manifest delta, and their base by its place in the old manifest. */
#include "tests/unit/diff/craft.h"

#include <stdio.h>

static void put_delta_file(struct ay_buf *b, const char *text)
{
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1], line[200];

	ay_digest_mem(text, strlen(text), &d);
	snprintf(line, sizeof(line), "+f 0644 0 0 1.000000000 %zu %s /%s\n", strlen(text),
		 ay_digest_hex(&d, hex), text);
	ay_put_bytes(b, line, strlen(line));
}

/* Three literals, of which two are found in the manifest delta, the later one first; @refs: what their heads say. */
static void craft_targets(struct craft *c, const char refs[3])
{
	static const char *const texts[3] = {"two", "one", "hello"};
	struct ay_buf *col = c->col;

	*c = (struct craft){.unpacked = 11, .n_records = 3, .n_parts = 1, .flags = AY_BUNDLE_TARGETS};
	ay_put_bytes(&c->delta, "-/gone\n", 7);
	put_delta_file(&c->delta, "one");
	put_delta_file(&c->delta, "two");
	for (unsigned i = 0; i < 3; i++) {
		ay_put_bytes(&col[AY_STREAM_RECORD], "\0\0\0", 3);
		ay_put_varint(&col[AY_STREAM_RECORD], strlen(texts[i]));
		ay_put_u8(&col[AY_STREAM_RECORD], (uint8_t)refs[i]);
		if (refs[i] == 0)
			put_digest(&col[AY_STREAM_DIGEST], texts[i], strlen(texts[i]));
		ay_put_varint(&col[AY_STREAM_EXTRA_LEN], strlen(texts[i]));
		ay_put_bytes(&col[AY_STREAM_LITERAL], texts[i], strlen(texts[i]));
	}
}

/* Records say which content of the manifest delta they are. */
static void test_targets(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};

	craft_targets(&c, (char[]){1 + 2, 1 + 3, 0}); /* 1: +1; 0, less 2: -2 */
	assert_int_equal(craft_read(&c, NULL, &err), 0);
	craft_release(&c);
	craft_targets(&c, (char[]){0, 1, 0}); /* digests instead count for nothing */
	assert_int_equal(craft_read(&c, NULL, &err), 0);
	craft_release(&c);
	craft_targets(&c, (char[]){1, 1 + 3, 0});
	refused(&c, AY_EDIGEST, "record 0");
	craft_targets(&c, (char[]){1 + 4, 0, 0});
	refused(&c, AY_EFORMAT, "does not have");
	craft_targets(&c, (char[]){1 + 1, 0, 0}); /* before the first */
	refused(&c, AY_EFORMAT, "does not have");
	/* As many as the header declares memory for. */
	for (uint64_t extra = 0; extra < 300000; extra += 149999) {
		struct ay_bundle_limits limits = {.memory = ay_bundle_memory(1u << 20) + extra};

		craft_targets(&c, (char[]){1 + 2, 1 + 3, 0});
		for (unsigned i = 0; i < 5000; i++)
			put_delta_file(&c.delta, "more");
		c.extra = extra, c.part_limit = 1u << 20;
		assert_int_equal(craft_read(&c, &limits, &err), extra ? 0 : AY_EFORMAT);
		craft_release(&c);
	}
}

/* The good one, its base named as @ref; 0: its digest stays. */
static void craft_base(struct craft *c, uint64_t ref)
{
	craft_good(c);
	c->flags = AY_BUNDLE_BASES;
	ay_put_varint(&c->col[AY_STREAM_RECORD], ref);
	c->col[AY_STREAM_DIGEST].len -= ref ? 32 : 0;
}

/* Records say which file of the old manifest is their base; here it has one. */
static void test_bases(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};

	for (uint64_t ref = 0; ref < 2; ref++) {
		craft_base(&c, ref);
		if (craft_read(&c, NULL, &err))
			fail_msg("%s", err.msg);
		craft_release(&c);
	}
	craft_base(&c, 1 + ay_zigzag(1));
	refused(&c, AY_EFORMAT, "record 1: part 0, stream record, byte 10: a base that the old manifest");
	craft_base(&c, 1 + ay_zigzag(-1));
	refused(&c, AY_EFORMAT, "does not have");
	craft_base(&c, UINT64_MAX);
	refused(&c, AY_EFORMAT, "does not have");
	craft_base(&c, 1), ay_put_bytes(&c.col[AY_STREAM_DIGEST], base_bytes, 32);
	refused(&c, AY_EFORMAT, "left over in stream digest");
	craft_base(&c, 0), c.col[AY_STREAM_DIGEST].len -= 32;
	refused(&c, AY_EFORMAT, "no digest");
	craft_base(&c, 1), c.col[AY_STREAM_RECORD].len--;
	refused(&c, AY_EFORMAT, "no number");
}

/* Without the old manifest records are told, but what they copy from cannot be had. */
static void test_bases_unknown(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};
	struct applied a = {.no_old = true, .skip_odd = true};
	struct tree *old = craft_tree();

	craft_base(&c, 1);
	struct ay_buf b = craft_bytes(&c);
	int fd = bundle_fd(b.data, b.len);
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), 0);
	a.skip_odd = false;
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), AY_EBASE);
	assert_non_null(strstr(err.msg, "file 0 of the manifest"));
	craft_release(&c);
	/* What no manifest has is refused all the same. */
	craft_base(&c, 1 + ay_zigzag(AY_BUNDLE_OLD_MAX));
	close(fd);
	ay_buf_release(&b);
	b = craft_bytes(&c);
	fd = bundle_fd(b.data, b.len);
	a.skip_odd = true;
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), AY_EFORMAT);
	close(fd);
	craft_release(&c);
	ay_buf_release(&b);
	ay_buf_release(&a.delta);
	tree_free(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_bases),
		cmocka_unit_test(test_bases_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
