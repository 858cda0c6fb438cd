/* SPDX-License-Identifier: MIT */
/* Manifest deltas: make and apply undo each other, for random trees; hostile deltas are refused. */
#include "tests/unit/manifest/support.h"

static const struct ay_digest nothing;

/* Trees as bytes; an empty buf is no tree. */
static struct ay_manifest_reader *reader(const struct ay_buf *b)
{
	return b->len ? ay_manifest_reader_new_mem(b->data, b->len) : NULL;
}

static struct ay_digest name(const struct ay_buf *b)
{
	return b->len ? digest_of(b) : nothing;
}

static int make(const struct ay_buf *a, const struct ay_buf *b, struct ay_buf *delta, struct ay_err *err)
{
	struct ay_manifest_reader *ra = reader(a), *rb = reader(b);
	struct ay_digest from = name(a), to = name(b);
	int r = ay_delta_make(ra, &from, rb, &to, ay_write_to_buf, delta, err);

	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	return r;
}

struct counts {
	unsigned n[4];
	int stop_after; /* -1: never */
};

static int count(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *new_,
		 struct ay_err *err)
{
	struct counts *c = ctx;

	assert_int_equal(old == NULL, change == AY_CHANGE_ADDED);
	assert_int_equal(new_ == NULL, change == AY_CHANGE_REMOVED);
	if (old && new_) {
		assert_string_equal(old->path, new_->path);
		assert_int_equal(ay_entry_same(old, new_), change == AY_CHANGE_KEPT);
	}
	c->n[change]++;
	if (c->stop_after >= 0 && c->stop_after-- == 0)
		return ay_err_set(err, AY_EFORMAT, "stopped");
	return 0;
}

static int apply(const struct ay_buf *a, const void *delta, size_t len, const struct ay_digest *from,
		 const struct ay_digest *to, struct counts *c, struct ay_buf *out, struct ay_err *err)
{
	struct ay_manifest_reader *ra = reader(a);
	struct slow s = slow_of(delta, len, 777);
	int r = ay_delta_apply(ra, slow_read, &s, from, to, c ? count : NULL, c, out ? ay_write_to_buf : NULL,
			       out, err);

	ay_manifest_reader_free(ra);
	return r;
}

static void there(const struct ay_buf *a, const struct ay_buf *b)
{
	struct ay_buf delta = {0}, got = {0};
	struct ay_err err = {0};
	struct ay_digest from = name(a), to = name(b);
	struct counts applied = {.stop_after = -1}, compared = {.stop_after = -1};

	assert_code(make(a, b, &delta, &err), 0);
	assert_code(apply(a, delta.data, delta.len, &from, &to, &applied, &got, &err), 0);
	assert_int_equal(got.len, b->len);
	assert_memory_equal(got.data, b->data, b->len);

	struct ay_manifest_reader *ra = reader(a), *rb = reader(b);
	assert_code(ay_manifest_compare(ra, rb, count, &compared, &err), 0);
	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	assert_memory_equal(applied.n, compared.n, sizeof(applied.n));

	/* One line for each change, no more. */
	unsigned lines = 0;
	for (size_t i = 0; i < delta.len; i++)
		lines += delta.data[i] == '\n';
	assert_int_equal(lines, 3 + applied.n[AY_CHANGE_ADDED] + applied.n[AY_CHANGE_REPLACED] +
					applied.n[AY_CHANGE_REMOVED]);

	/* Applied to another tree, or in want of another result, it is refused. */
	assert_code(apply(b, delta.data, delta.len, &to, &to, NULL, NULL, &err),
		    ay_digest_eq(&from, &to) ? 0 : AY_EBASE);
	if (a->len && b->len && !ay_digest_eq(&from, &to)) {
		assert_code(apply(b, delta.data, delta.len, &from, &to, NULL, NULL, &err), AY_EBASE);
		assert_code(apply(a, delta.data, delta.len, &from, &from, NULL, NULL, &err), AY_EDIGEST);
	}
	ay_buf_release(&delta);
	ay_buf_release(&got);
}

static void test_random_trees(void **state)
{
	(void)state;
	struct ay_prng rng;
	ay_prng_init(&rng, 2);
	const struct ay_buf none = {0};
	for (int i = 0; i < 300; i++) {
		struct ay_buf a = {0}, b = {0};
		struct ay_digest d;
		random_tree(&rng, &a, &d);
		random_tree(&rng, &b, &d);
		there(&a, &b);
		there(&none, &a);
		there(&a, &a);
		ay_buf_release(&a);
		ay_buf_release(&b);
	}
}

/* Small edits of one tree, the case that deltas are for. */
static void test_edits(void **state)
{
	(void)state;
	struct ay_prng rng;
	ay_prng_init(&rng, 3);
	for (int i = 0; i < 100; i++) {
		struct ay_buf a = {0}, b = {0};
		struct ay_digest d;
		struct ay_err err = {0};
		random_tree(&rng, &a, &d);
		struct ay_manifest_reader *r = reader(&a);
		struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &b);
		struct ay_entry e;
		assert_true(r && w);
		while (ay_manifest_next(r, &e, &err) > 0) {
			if (e.type != AY_ENTRY_DIR && ay_prng_below(&rng, 20) == 0)
				continue;
			if (ay_prng_below(&rng, 20) == 0)
				e.mtime_ns ^= 1;
			assert_code(ay_manifest_add(w, &e, &err), 0);
		}
		assert_code(ay_manifest_finish(w, NULL, NULL, &err), 0);
		ay_manifest_reader_free(r);
		ay_manifest_writer_free(w);
		there(&a, &b);
		there(&b, &a);
		ay_buf_release(&a);
		ay_buf_release(&b);
	}
}

#define TOP     "ayni-manifest 1\nd 0755 0 0 1.000000000 /\n"
#define P(path) "p 0600 0 0 1.000000000 " path "\n"
#define D(path) "d 0755 0 0 1.000000000 " path "\n"

static struct ay_buf buf_of(const char *s)
{
	struct ay_buf b = {0};

	ay_put_str(&b, s);
	return b;
}

/* Apply @body to @old; the digests in the header are right, so only the body can be refused. */
static int apply_body(const char *old, const char *body, const struct ay_digest *to, struct ay_err *err)
{
	struct ay_buf a = buf_of(old), delta = {0};
	struct ay_digest from = name(&a);
	char x[AY_DIGEST_HEX + 1], y[AY_DIGEST_HEX + 1];

	ay_put_fmt(&delta, "ayni-manifest-delta 1\nfrom %s\nto %s\n%s", ay_digest_hex(&from, x),
		   ay_digest_hex(to, y), body);
	int r = apply(&a, delta.data, delta.len, &from, to, NULL, NULL, err);
	ay_buf_release(&a);
	ay_buf_release(&delta);
	return r;
}

static void test_hostile_bodies(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_digest to;
	static const char old[] = TOP D("/a") P("/a/b") P("/c");
	ay_digest_mem(TOP, strlen(TOP), &to);
	assert_code(apply_body(old, "-/a\n-/a/b\n-/c\n", &to, &err), 0);
	static const char *const bad[] = {
		"-/a\n-/a/b\n-/b\n-/c\n", /* removes what is not there */
		"-/a\n-/a/b\n-/c\n-/d\n",
		"-/a\n-/a/b\n-/a/b\n-/c\n", /* twice */
		"-/a/b\n-/a\n-/c\n",        /* out of order */
		"-/a\n-/c\n",               /* leaves /a/b without its directory */
		"-/\n-/a\n-/a/b\n-/c\n",    /* leaves nothing */
		"+" P("/a") "-/c\n",        /* a file where /a/b still needs a directory */
		"+" P("/a/b") "-/c\n",      /* changes nothing */
		"-/c\n+" P("/c"),           /* remove and add in one */
		"+" P("/c") "-/c\n",
		"+" P("/x/y"), /* no directory above it */
		"+" P("/c/d"), /* below a file */
		"+" P("/a/../x"),
		"+" D("/.."),
		"-/a/../c\n",
		"-/a \n",
		"-a\n",
		"-\n",
		"+\n",
		"\n",
		" /a\n",
		"=" P("/x"),
		P("/x"),
		"-/a\n-/a/b\n-/c", /* cut off */
		"-/%61\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = apply_body(old, bad[i], &to, &err);
		if (r != AY_EFORMAT)
			print_error("delta %zu\n", i);
		assert_code(r, AY_EFORMAT);
	}
	assert_code(apply_body(old, "", &to, &err), AY_EDIGEST);
	assert_code(apply_body(old, "-/c\n", &to, &err), AY_EDIGEST);
	struct ay_buf long_line = {0};
	ay_put_u8(&long_line, '-');
	for (size_t i = 0; i < AY_MANIFEST_LINE_MAX + 1; i++)
		ay_put_u8(&long_line, '/');
	ay_put_u8(&long_line, '\n');
	assert_code(apply_body(old, ay_buf_cstr(&long_line), &to, &err), AY_ELIMIT);
	ay_buf_release(&long_line);
}

/* Nothing but the one delta leads there: each flip and each cut is refused. */
static void test_damage(void **state)
{
	(void)state;
	struct ay_buf a = buf_of(TOP D("/a") P("/a/b") P("/c")),
		      b = buf_of(TOP P("/a") P("/c%20d user.x=00")), delta = {0};
	struct ay_err err = {0};
	struct ay_digest from = name(&a), to = name(&b);
	assert_code(make(&a, &b, &delta, &err), 0);
	assert_code(apply(&a, delta.data, delta.len, &from, &to, NULL, NULL, &err), 0);
	for (size_t i = 0; i < delta.len; i++)
		assert_true(apply(&a, delta.data, i, &from, &to, NULL, NULL, &err) < 0);
	for (size_t i = 0; i < delta.len * 8; i++) {
		delta.data[i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_true(apply(&a, delta.data, delta.len, &from, &to, NULL, NULL, &err) < 0);
		delta.data[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&delta);
}

static void test_heads(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf a = buf_of(TOP P("/a")), b = buf_of(TOP P("/b")), delta = {0}, bad = {0};
	struct ay_digest from = name(&a), to = name(&b);
	assert_code(make(&a, &b, &delta, &err), 0);
	ay_put_bytes(&bad, delta.data, delta.len);
	bad.data[strlen("ayni-manifest-delta ")] = '2';
	assert_code(apply(&a, bad.data, bad.len, &from, &to, NULL, NULL, &err), AY_EVERSION);
	assert_code(apply(&a, "ayni-manifest 1\n", 16, &from, &to, NULL, NULL, &err), AY_EFORMAT);
	/* Another "from" than the caller's is a base that we have not; another "to" is not what we want. */
	assert_code(apply(&a, delta.data, delta.len, &to, &to, NULL, NULL, &err), AY_EBASE);
	assert_code(apply(&a, delta.data, delta.len, &from, &from, NULL, NULL, &err), AY_EDIGEST);
	/* No old manifest, or one too many. */
	struct ay_buf none = {0};
	assert_code(apply(&none, delta.data, delta.len, &from, &to, NULL, NULL, &err), AY_EBASE);
	assert_code(apply(&a, delta.data, delta.len, &nothing, &to, NULL, NULL, &err), AY_EBASE);
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&delta);
	ay_buf_release(&bad);
}

/* A damaged base is the base's fault, so that the caller takes another way and keeps the delta. */
static void test_damaged_base(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf a = buf_of(TOP P("/a") P("/k")), b = buf_of(TOP P("/b") P("/k")), delta = {0};
	struct ay_digest from = name(&a), to = name(&b);
	assert_code(make(&a, &b, &delta, &err), 0);
	for (size_t i = 0; i < a.len * 8; i++) {
		a.data[i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_code(apply(&a, delta.data, delta.len, &from, &to, NULL, NULL, &err), AY_EBASE);
		a.data[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	for (a.len--; a.len > 0; a.len--)
		assert_code(apply(&a, delta.data, delta.len, &from, &to, NULL, NULL, &err), AY_EBASE);
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&delta);
}

static int full_disk(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
	return -ENOSPC;
}

static void test_callers_errors_pass(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf a = buf_of(TOP P("/a") P("/k")), b = buf_of(TOP P("/b") P("/k")), delta = {0};
	struct ay_digest from = name(&a), to = name(&b), wrong = {{1}};
	assert_code(make(&a, &b, &delta, &err), 0);
	for (int i = 0; i < 4; i++) {
		struct counts c = {.stop_after = i};
		assert_code(apply(&a, delta.data, delta.len, &from, &to, &c, NULL, &err), AY_EFORMAT);
		assert_string_equal(err.msg, "stopped");
		c.stop_after = i;
		struct ay_manifest_reader *ra = reader(&a), *rb = reader(&b);
		assert_code(ay_manifest_compare(ra, rb, count, &c, &err), AY_EFORMAT);
		ay_manifest_reader_free(ra);
		ay_manifest_reader_free(rb);
	}
	/* also when the base is not what it should be: the caller's word goes before our judgement */
	struct counts first = {.stop_after = 0};
	assert_code(apply(&b, delta.data, delta.len, &from, &to, &first, NULL, &err), AY_EFORMAT);
	assert_string_equal(err.msg, "stopped");
	struct ay_manifest_reader *ra = reader(&a), *rb = reader(&b);
	assert_code(ay_delta_make(ra, &from, rb, &to, full_disk, NULL, &err), -ENOSPC);
	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	ra = reader(&a);
	struct slow s = slow_of(delta.data, delta.len, 1000);
	assert_code(ay_delta_apply(ra, slow_read, &s, &from, &to, NULL, NULL, full_disk, NULL, &err),
		    -ENOSPC);
	ay_manifest_reader_free(ra);
	ra = reader(&a);
	s = slow_of(delta.data, delta.len, 10);
	s.fail_at = 100;
	assert_code(ay_delta_apply(ra, slow_read, &s, &from, &to, NULL, NULL, NULL, NULL, &err), -EIO);
	ay_manifest_reader_free(ra);

	/* make: digests that are not those of what was read */
	ra = reader(&a), rb = reader(&b);
	assert_code(ay_delta_make(ra, &wrong, rb, &to, ay_write_to_buf, &delta, &err), AY_EDIGEST);
	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	ra = reader(&a), rb = reader(&b);
	assert_code(ay_delta_make(ra, &from, rb, &wrong, ay_write_to_buf, &delta, &err), AY_EDIGEST);
	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&delta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_trees),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_hostile_bodies),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_damaged_base),
		cmocka_unit_test(test_callers_errors_pass),
	};
	return cmocka_run_group_tests_name("manifest/delta", tests, NULL, NULL);
}
