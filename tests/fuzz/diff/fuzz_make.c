/* SPDX-License-Identifier: MIT */
/*
 * Any two files: the bundle that is made of them gives the new one again. Byte 0, bits: 0 in a hurry, 1 without filters, 2 xz as well,
 * 3 there is no old file, 4 read with threads; bytes 1-2: the old file's length. Both files follow.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/diff/bundle_bases.h"
#include "tests/fuzz/diff/file_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LEN_MAX (64u << 10)

struct applied {
	struct ay_slice old;
	struct ay_buf file;
	unsigned ended;
	int scratch;
};

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	const struct applied *a = ctx;

	(void)err;
	AY_ASSERT(base == 0 && r->base_sizes[0] == a->old.len);
	*fd = fd_of(a->old.data, a->old.len);
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct applied *a = ctx;

	(void)r;
	(void)err;
	ay_put_bytes(&a->file, data, len);
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct applied *a = ctx;

	(void)r;
	(void)err;
	a->ended++;
	return 0;
}

static int scratch_begin(void *ctx, uint64_t size, struct ay_err *err)
{
	struct applied *a = ctx;

	(void)size;
	(void)err;
	if (a->scratch >= 0)
		close(a->scratch);
	a->scratch = fd_of("", 0);
	return 0;
}

static int scratch_data(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	const struct applied *a = ctx;

	(void)err;
	AY_ASSERT(write(a->scratch, data, len) == (ssize_t)len);
	return 0;
}

static int scratch_end(void *ctx, int *fd, struct ay_err *err)
{
	struct applied *a = ctx;

	(void)err;
	*fd = a->scratch;
	a->scratch = -1;
	return 0;
}

static void apply(int fd, const struct ay_make_result *made, const struct ay_make_tree *old_tree,
		  struct ay_slice old, struct ay_slice new_, bool threads)
{
	struct applied a = {.old = old, .scratch = -1};
	struct ay_old_files numbers = {0};
	const struct ay_bundle_scratch scratch = {&a, scratch_begin, scratch_data, scratch_end};
	const struct ay_bundle_sink sink = {.ctx = &a,
					    .old = &numbers,
					    .base = on_base,
					    .scratch = &scratch,
					    .data = on_data,
					    .end = on_end};
	/* No more than the offer declares. */
	const struct ay_bundle_limits limits = {
		.memory = made->apply_memory, .unpacked_size = made->unpacked_size, .threads = threads};
	struct ay_err err = {0};

	AY_ASSERT(ay_old_files_open_mem(&numbers, old_tree->manifest, old_tree->manifest_len, &err) == 0);
	if (ay_bundle_read(fd, &limits, &sink, true, &err))
		ay_panic(__FILE__, __LINE__, err.msg);
	AY_ASSERT(a.ended == made->n_records);
	if (made->n_records)
		AY_ASSERT(a.file.len == new_.len &&
			  (new_.len == 0 || memcmp(a.file.data, new_.data, new_.len) == 0));
	else
		AY_ASSERT(old.len == new_.len &&
			  (new_.len == 0 || memcmp(old.data, new_.data, new_.len) == 0));
	if (a.scratch >= 0)
		close(a.scratch);
	ay_buf_release(&a.file);
	ay_old_files_release(&numbers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 3 || len > LEN_MAX)
		return 0;
	const struct ay_make_options options = {.threads = 1,
						.memory = 64u << 20,
						.no_filters = data[0] & 2,
						.level = data[0] & 4 ? 16 : 1,
						.fast = data[0] & 1};
	bool from_nothing = data[0] & 8;
	size_t split = data[1] | (size_t)data[2] << 8;
	struct ay_make_result made;
	struct ay_err err = {0};

	split = split < len - 3 ? split : len - 3;
	struct ay_slice old = {data + 3, split}, new_ = {data + 3 + split, len - 3 - split};
	struct file_tree a, b;
	int out = fd_of("", 0);

	file_tree_make(&a, old);
	file_tree_make(&b, new_);
	if (ay_bundle_make(from_nothing ? NULL : &a.tree, &b.tree, &options, out, &made, &err))
		ay_panic(__FILE__, __LINE__, err.msg);
	apply(out, &made, &a.tree, old, new_, data[0] & 16);
	close(out);
	file_tree_release(&a);
	file_tree_release(&b);
	return 0;
}
