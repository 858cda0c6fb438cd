/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in turn, and only that one: manifest/ says -ENOMEM (never that good data is bad, which
 * would have it thrown away), nothing leaks, and the next try works. Works on the golden files. The allocator
 * is this program's own; under a sanitizer, which brings its own, the test says so and stands aside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest/delta.h"
#include "manifest/trust.h"
#include "tests/support/failing_malloc.h"

/* The golden files, read before anything may fail. */
struct file {
	const char *name;
	uint8_t data[8192];
	size_t len;
};

static struct file tree1 = {.name = "tree-1.manifest"}, tree2 = {.name = "tree-2.manifest"},
		   delta = {.name = "tree-1-2.delta"}, root_file = {.name = "test.root"},
		   release_file = {.name = "test.release"}, offer_file = {.name = "test.offer"},
		   key_file = {.name = "test.key"};

static int read_files(void **state)
{
	(void)state;
	struct file *files[] = {&tree1, &tree2, &delta, &root_file, &release_file, &offer_file, &key_file};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[100];
		snprintf(path, sizeof(path), "tests/golden/%s", files[i]->name);
		FILE *f = fopen(path, "rb");
		if (!f)
			return -1;
		files[i]->len = fread(files[i]->data, 1, sizeof(files[i]->data), f);
		fclose(f);
	}
	return 0;
}

static struct ay_manifest_reader *reader(const struct file *f)
{
	return ay_manifest_reader_new_mem(f->data, f->len);
}

static int scene_copy(void *arg)
{
	(void)arg;
	struct ay_buf out = {0};
	struct ay_manifest_reader *r = reader(&tree1);
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &out);
	struct ay_entry e;
	int n = r && w ? 1 : -ENOMEM;

	while (n > 0) {
		n = ay_manifest_next(r, &e, NULL);
		int a = n > 0 ? ay_manifest_add(w, &e, NULL) : 0;
		n = a ? a : n;
	}
	if (n == 0)
		n = ay_manifest_finish(w, NULL, NULL, NULL);
	ay_manifest_reader_free(r);
	ay_manifest_writer_free(w);
	ay_buf_release(&out);
	return n;
}

static int scene_make(void *arg)
{
	(void)arg;
	struct ay_buf out = {0};
	struct ay_digest from, to;
	struct ay_manifest_reader *a = reader(&tree1), *b = reader(&tree2);

	ay_digest_parse(&from, (const char *)memmem(delta.data, delta.len, "from ", 5) + 5, 64);
	ay_digest_parse(&to, (const char *)memmem(delta.data, delta.len, "to ", 3) + 3, 64);
	int r = a && b ? ay_delta_make(a, &from, b, &to, ay_write_to_buf, &out, NULL) : -ENOMEM;
	ay_manifest_reader_free(a);
	ay_manifest_reader_free(b);
	ay_buf_release(&out);
	return r;
}

static size_t delta_at;

static long read_delta(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	size_t n = delta.len - delta_at < len ? delta.len - delta_at : len;
	memcpy(buf, delta.data + delta_at, n);
	delta_at += n;
	return (long)n;
}

static int scene_apply(void *arg)
{
	(void)arg;
	struct ay_buf out = {0};
	struct ay_digest from, to;
	struct ay_manifest_reader *a = reader(&tree1);

	ay_digest_parse(&from, (const char *)memmem(delta.data, delta.len, "from ", 5) + 5, 64);
	ay_digest_parse(&to, (const char *)memmem(delta.data, delta.len, "to ", 3) + 3, 64);
	delta_at = 0;
	int r = a ? ay_delta_apply(a, read_delta, NULL, &from, &to, NULL, NULL, ay_write_to_buf, &out, NULL)
		  : -ENOMEM;
	ay_manifest_reader_free(a);
	ay_buf_release(&out);
	return r;
}

static int scene_trust(void *arg)
{
	(void)arg;
	struct ay_root *root = NULL;
	struct ay_release release;
	struct ay_offer offer;
	int r = ay_trust_first_root(root_file.data, root_file.len, &root, NULL);

	if (!r)
		r = ay_trust_release(root, NULL, release_file.data, release_file.len, &release, NULL);
	if (!r)
		r = ay_trust_offer(root, NULL, offer_file.data, offer_file.len, &offer, NULL);
	ay_root_free(root);
	return r;
}

static int scene_sign(void *arg)
{
	(void)arg;
	struct ay_secret_key sk;
	const struct ay_secret_key *keys[] = {&sk};
	struct ay_root *root = NULL;
	struct ay_buf text = {0}, out = {0}, key = {0};
	int r = ay_secret_key_parse((char *)key_file.data, key_file.len, NULL, &sk, NULL);

	if (!r)
		r = ay_secret_key_write(&sk, NULL, &key, NULL);
	if (!r)
		r = ay_trust_first_root(root_file.data, root_file.len, &root, NULL);
	if (!r)
		r = ay_root_write(root, &text, NULL);
	if (!r)
		r = ay_envelope_write(text.data, text.len, keys, 1, NULL, &out, NULL);
	ay_root_free(root);
	ay_buf_release(&text);
	ay_buf_release(&out);
	ay_buf_release(&key);
	return r;
}

static void test_copy(void **state)
{
	(void)state;
	each_allocation_of(scene_copy, NULL, 8);
}

static void test_delta(void **state)
{
	(void)state;
	each_allocation_of(scene_make, NULL, 8);
	each_allocation_of(scene_apply, NULL, 10);
}

static void test_trust(void **state)
{
	(void)state;
	each_allocation_of(scene_trust, NULL, 5);
}

static void test_sign(void **state)
{
	(void)state;
	each_allocation_of(scene_sign, NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_sign),
	};
	return cmocka_run_group_tests_name("manifest/memory", tests, read_files, NULL);
}
