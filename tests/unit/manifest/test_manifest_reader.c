/* SPDX-License-Identifier: MIT */
/* The manifest reader: any cut of the stream, any damage, and memory that does not grow with the tree. */
#include <malloc.h>

#include "tests/unit/manifest/support.h"

#define TOP    "ayni-manifest 1\nd 0755 0 0 1.000000000 /\n"
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int read_text(const char *s, struct ay_err *err)
{
	return read_manifest(s, strlen(s), err);
}

static void test_heads(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(read_text(TOP, &err), 0);
	assert_code(read_text("", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest 1", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest 1\n", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest\nd 0755 0 0 1.000000000 /\n", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest 1 \nd 0755 0 0 1.000000000 /\n", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest 01\nd 0755 0 0 1.000000000 /\n", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest-delta 1\nd 0755 0 0 1.000000000 /\n", &err), AY_EFORMAT);
	assert_code(read_text("ayni-manifest 2\nwhatever\n", &err), AY_EVERSION);
	assert_code(read_text(TOP "\n", &err), AY_EFORMAT);
	assert_code(read_text(TOP "d 0755 0 0 1.000000000 /a", &err), AY_EFORMAT);
	assert_code(read_text(TOP "d 0755 0 0 1.000000000 /a\r\n", &err), AY_EFORMAT);
}

static void test_order_is_enforced(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(read_text("ayni-manifest 1\nd 0755 0 0 1.000000000 /a\n", &err), AY_EFORMAT);
	assert_code(read_text(TOP "p 0600 0 0 1.000000000 /b\np 0600 0 0 1.000000000 /a\n", &err),
		    AY_EFORMAT);
	assert_non_null(strstr(err.msg, "line 4"));
	assert_code(read_text(TOP "p 0600 0 0 1.000000000 /b\np 0600 0 0 1.000000000 /b\n", &err),
		    AY_EFORMAT);
	assert_code(read_text(TOP "p 0600 0 0 1.000000000 /b\np 0600 0 0 1.000000000 /b/c\n", &err),
		    AY_EFORMAT);
	assert_code(read_text(TOP "l 0777 0 0 1.000000000 / /b\np 0600 0 0 1.000000000 /b/c\n", &err),
		    AY_EFORMAT);
	assert_code(read_text(TOP "p 0600 0 0 1.000000000 /b/c\n", &err), AY_EFORMAT);
}

static void test_error_is_sticky(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_entry e;
	static const char text[] = TOP "nonsense\np 0600 0 0 1.000000000 /b\n";
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(text, strlen(text));
	assert_non_null(r);
	assert_code(ay_manifest_next(r, &e, &err), 1);
	assert_code(ay_manifest_next(r, &e, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "line 3"));
	assert_code(ay_manifest_next(r, &e, &err), AY_EFORMAT);
	ay_manifest_reader_free(r);
	ay_manifest_reader_free(NULL);
}

static void test_read_error_passes(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_entry e;
	struct slow s = slow_of(TOP, strlen(TOP), 10);
	s.fail_at = 20;
	struct ay_manifest_reader *r = ay_manifest_reader_new(slow_read, &s);
	assert_non_null(r);
	assert_code(ay_manifest_next(r, &e, &err), -EIO);
	ay_manifest_reader_free(r);
}

static int again(const void *data, size_t len, struct ay_buf *out)
{
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(data, len);
	struct ay_entry e;
	int n;

	assert_non_null(r);
	ay_put_str(out, "ayni-manifest 1\n");
	while ((n = ay_manifest_next(r, &e, NULL)) > 0)
		assert_int_equal(ay_entry_encode(out, &e, NULL), 0);
	if (n == 0) {
		struct ay_digest d, all;
		uint64_t size;
		ay_manifest_reader_digest(r, &d, &size);
		ay_digest_mem(data, len, &all);
		assert_true(ay_digest_eq(&d, &all));
		assert_int_equal(size, len);
	}
	ay_manifest_reader_free(r);
	return n;
}

/* Whatever is read encodes to the bytes it was read from: there is one form. */
static void test_damage(void **state)
{
	(void)state;
	static const char text[] = TOP "f 4755 0 1000 1700000000.123456789 42 " DIGEST " /a%20b user.a=00ff\n"
				       "c 0600 0 0 -1.000000001 1:3 /dev\n"
				       "l 0777 0 0 5.000000000 ../%0A /l\n";
	assert_strict(text, strlen(text), again);
}

static void test_random_trees_in_any_step(void **state)
{
	(void)state;
	struct ay_prng rng;
	ay_prng_init(&rng, 1);
	for (int i = 0; i < 100; i++) {
		struct ay_buf b = {0};
		struct ay_digest d, got;
		struct ay_err err = {0};
		struct ay_entry e;
		int n;
		random_tree(&rng, &b, &d);
		struct slow s = slow_of(b.data, b.len, 1 + ay_prng_below(&rng, 5000));
		struct ay_manifest_reader *r = ay_manifest_reader_new(slow_read, &s);
		assert_non_null(r);
		while ((n = ay_manifest_next(r, &e, &err)) > 0)
			;
		assert_code(n, 0);
		ay_manifest_reader_digest(r, &got, NULL);
		assert_true(ay_digest_eq(&got, &d));
		ay_manifest_reader_free(r);
		ay_buf_release(&b);
	}
}

/* A manifest of any length that is never in memory: made while it is read. */
struct endless {
	unsigned next, entries;
	char line[200];
	size_t len, at;
};

static long endless_read(void *ctx, void *buf, size_t len)
{
	struct endless *s = ctx;
	size_t done = 0;

	while (done < len) {
		if (s->at == s->len) {
			if (s->next == s->entries)
				break;
			int n = s->next == 0 ? snprintf(s->line, sizeof(s->line), "%s", TOP)
					     : snprintf(s->line, sizeof(s->line),
							"f 0644 0 0 1.000000000 1 %s /%08u u.a=00\n", DIGEST,
							s->next);
			s->len = (size_t)n;
			s->at = 0;
			s->next++;
		}
		size_t n = s->len - s->at < len - done ? s->len - s->at : len - done;
		memcpy((char *)buf + done, s->line + s->at, n);
		s->at += n;
		done += n;
	}
	return (long)done;
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static int watch_heap(void *ctx, enum ay_change change, const struct ay_entry *old,
		      const struct ay_entry *new_, struct ay_err *err)
{
	size_t *peak = ctx, now = heap();

	(void)change;
	(void)old;
	(void)new_;
	(void)err;
	*peak = now > *peak ? now : *peak;
	return 0;
}

static void test_memory_is_bounded(void **state)
{
	(void)state;
	struct endless s = {.entries = 200000}, s2 = {.entries = 200000};
	size_t before = heap(), peak = 0, entries = 0;
	struct ay_err err = {0};
	struct ay_entry e;
	int n;
	struct ay_manifest_reader *r = ay_manifest_reader_new(endless_read, &s);
	assert_non_null(r);
	while ((n = ay_manifest_next(r, &e, &err)) > 0) {
		size_t now = heap();
		peak = now > peak ? now : peak;
		entries++;
	}
	assert_code(n, 0);
	assert_int_equal(entries, 200000);
	assert_true(peak - before < 1 << 20);

	/* The same for a merge: all of it kept, and written again. */
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_buf delta = {0};
	ay_manifest_reader_digest(r, &d, NULL);
	ay_manifest_reader_free(r);
	ay_put_fmt(&delta, "ayni-manifest-delta 1\nfrom %s\nto %s\n", ay_digest_hex(&d, hex), hex);
	struct slow ds = slow_of(delta.data, delta.len, 1000);
	r = ay_manifest_reader_new(endless_read, &s2);
	assert_non_null(r);
	before = heap();
	peak = 0;
	assert_code(ay_delta_apply(r, slow_read, &ds, &d, &d, watch_heap, &peak, NULL, NULL, &err), 0);
	assert_true(peak - before < 1 << 20);
#ifndef __SANITIZE_ADDRESS__
	assert_true(peak > before); /* mallinfo2 sees our heap at all */
#endif
	ay_manifest_reader_free(r);
	ay_buf_release(&delta);
}

static void test_endless_line(void **state)
{
	(void)state;
	size_t len = 4 << 20, before = heap();
	char *data = malloc(len);
	struct ay_err err = {0};
	assert_non_null(data);
	memset(data, 'a', len);
	memcpy(data, TOP, strlen(TOP));
	assert_code(read_manifest(data, len, &err), AY_ELIMIT);
	free(data);
	assert_true(heap() <= before + (1 << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_order_is_enforced),
		cmocka_unit_test(test_error_is_sticky),
		cmocka_unit_test(test_read_error_passes),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_random_trees_in_any_step),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_endless_line),
	};
	return cmocka_run_group_tests_name("manifest/reader", tests, NULL, NULL);
}
