/* SPDX-License-Identifier: MIT */
/*
 * Trees, bundles and hostile copies of them, all in memory (memfds): no test of diff/ leaves anything behind.
 */
#include "tests/unit/diff/trees.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "diff/section.h"

struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	return t;
}

void tree_free(struct tree *t)
{
	for (size_t i = 0; t && i < t->n; i++) {
		free(t->files[i].path);
		free(t->files[i].data);
	}
	if (t)
		ay_buf_release(&t->manifest);
	free(t);
}

void tree_add(struct tree *t, const char *path, const void *data, size_t len)
{
	size_t i = 0;

	while (i < t->n && strcmp(t->files[i].path, path) != 0)
		i++;
	assert_true(i < FILES_MAX);
	if (i == t->n) {
		t->files[t->n++].path = strdup(path);
		t->files[i].data = NULL;
	}
	free(t->files[i].data);
	t->files[i].data = malloc(len + 1);
	assert_non_null(t->files[i].data);
	if (len)
		memcpy(t->files[i].data, data, len);
	t->files[i].len = len;
	ay_digest_mem(t->files[i].data, len, &t->files[i].digest);
}

void tree_add_text(struct tree *t, const char *path, const char *text)
{
	tree_add(t, path, text, strlen(text));
}

static int file_cmp(const void *a, const void *b)
{
	const struct tree_file *x = a, *y = b;

	return ay_path_cmp(x->path, strlen(x->path), y->path, strlen(y->path));
}

static void add_dir(struct ay_manifest_writer *w, const char *path, size_t len)
{
	char dir[AY_PATH_MAX + 1];
	struct ay_entry e = {.type = AY_ENTRY_DIR, .mode = 0755, .path = dir, .path_len = len};
	struct ay_err err = {0};

	memcpy(dir, path, len);
	dir[len] = 0;
	if (ay_manifest_add(w, &e, &err))
		fail_msg("%s", err.msg);
}

void tree_seal(struct tree *t)
{
	struct ay_err err = {0};

	qsort(t->files, t->n, sizeof(t->files[0]), file_cmp);
	ay_buf_reset(&t->manifest);
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &t->manifest);
	assert_non_null(w);
	add_dir(w, "/", 1);
	for (size_t i = 0; i < t->n; i++) {
		const char *path = t->files[i].path, *before = i ? t->files[i - 1].path : "/";

		/* The directories that the file before was not in. */
		for (const char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
			if (strncmp(before, path, (size_t)(s - path) + 1) != 0)
				add_dir(w, path, (size_t)(s - path));
		}
		struct ay_entry e = {.type = AY_ENTRY_FILE,
				     .mode = 0644,
				     .size = t->files[i].len,
				     .digest = t->files[i].digest,
				     .path = path,
				     .path_len = strlen(path)};
		if (ay_manifest_add(w, &e, &err))
			fail_msg("%s", err.msg);
	}
	assert_int_equal(ay_manifest_finish(w, &t->digest, NULL, &err), 0);
	ay_manifest_writer_free(w);
}

static int tree_open(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	struct tree *t = ctx;

	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->files[i].path, e->path) != 0)
			continue;
		*fd = bundle_fd(t->files[i].data, t->files[i].len);
		if (t->changed && t->good_opens > 0)
			t->good_opens--;
		else if (t->changed && t->files[i].len)
			assert_int_equal(pwrite(*fd, "\xff", 1, (off_t)t->files[i].len / 2), 1);
		return 0;
	}
	return ay_err_errno(err, ENOENT, "%s", e->path);
}

struct ay_make_tree tree_make(struct tree *t)
{
	return (struct ay_make_tree){.manifest = t->manifest.data,
				     .manifest_len = t->manifest.len,
				     .manifest_digest = t->digest,
				     .open = tree_open,
				     .ctx = t};
}

uint8_t *bytes_random(struct ay_prng *r, size_t len)
{
	uint8_t *b = malloc(len + 1);

	assert_non_null(b);
	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)ay_prng_next(r);
	return b;
}

uint8_t *bytes_code(struct ay_prng *r, size_t len)
{
	uint8_t *b = malloc(len + 1), words[64][8];

	assert_non_null(b);
	for (unsigned w = 0; w < 64; w++) {
		for (unsigned i = 0; i < 8; i++)
			words[w][i] = (uint8_t)ay_prng_next(r);
	}
	for (size_t i = 0; i < len;) {
		const uint8_t *word = words[ay_prng_below(r, 64)];
		size_t n = 3 + ay_prng_below(r, 6);

		for (size_t k = 0; k < n && i < len; k++, i++)
			b[i] = k < 8 ? word[k] : 0;
		if (i < len && ay_prng_below(r, 3) == 0)
			b[i++] = (uint8_t)ay_prng_below(r, 256);
	}
	return b;
}

uint8_t *bytes_edit(struct ay_prng *r, const uint8_t *data, size_t len, unsigned n, size_t *new_len)
{
	size_t cap = len + n * 600 + 1;
	uint8_t *b = malloc(cap);

	assert_non_null(b);
	memcpy(b, data, len);
	for (unsigned i = 0; i < n; i++) {
		size_t at = ay_prng_below(r, len + 1), m = 1 + ay_prng_below(r, 600);

		switch (ay_prng_below(r, 4)) {
		case 0: /* change a few bytes */
			for (size_t k = at; k < len && k < at + 8; k++)
				b[k] ^= (uint8_t)ay_prng_below(r, 4);
			break;
		case 1: /* insert */
			memmove(b + at + m, b + at, len - at);
			for (size_t k = 0; k < m; k++)
				b[at + k] = (uint8_t)ay_prng_next(r);
			len += m;
			break;
		case 2: /* delete */
			m = m < len - at ? m : len - at;
			memmove(b + at, b + at + m, len - at - m);
			len -= m;
			break;
		default: /* copy from elsewhere */
			if (len > 2 * m) {
				size_t from = ay_prng_below(r, len - m), to = ay_prng_below(r, len - m);

				memmove(b + to, b + from, m);
			}
		}
	}
	*new_len = len;
	return b;
}

int bundle_fd(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	const uint8_t *p = data;

	assert_true(fd >= 0);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, p + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	return fd;
}

struct ay_buf bundle_bytes(int fd)
{
	struct ay_buf b = {0};
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *p = ay_buf_reserve(&b, (size_t)st.st_size + 1);
	assert_non_null(p);
	b.len = (size_t)st.st_size;
	assert_int_equal(pread(fd, p, b.len, 0), st.st_size);
	return b;
}

int bundle_make(struct tree *old, struct tree *new_, const struct ay_make_options *o,
		struct ay_make_result *res)
{
	struct ay_make_tree a = old ? tree_make(old) : (struct ay_make_tree){0}, b = tree_make(new_);
	struct ay_make_result ignored;
	struct ay_err err = {0};
	int fd = bundle_fd("", 0);

	if (ay_bundle_make(&a, &b, o, fd, res ? res : &ignored, &err))
		fail_msg("make: %s", err.msg);
	return fd;
}

void bundle_fix_checks(uint8_t *data, size_t len)
{
	size_t at = AY_BUNDLE_HEADER_SIZE;

	if (len > 8 && data[7] == 1)
		at = AY_BUNDLE_HEADER_V1;
	if (len < at)
		return;
	ay__check(data, at - 8, data + at - 8);
	while (len - at >= AY_SECTION_HEAD_SIZE) {
		size_t n = data[at + 1], head = AY_SECTION_HEAD_SIZE + n * AY_SECTION_STREAM_SIZE;
		uint64_t packed = 0;

		if (head > len - at)
			return;
		for (size_t i = 0; i < n; i++)
			packed += ay_get_le32(data + at + AY_SECTION_HEAD_SIZE + i * AY_SECTION_STREAM_SIZE +
					      4);
		if (packed > len - at - head || len - at - head - packed < 8)
			return;
		ay__check(data + at, head + packed, data + at + head + packed);
		at += head + packed + 8;
	}
}

/* ---- applying ---- */

struct applier {
	struct applied *a;
	struct tree *old, *new_;
	struct ay_buf file;
	uint64_t begun;
	int scratch;
	uint64_t scratch_size, scratch_at;
};

static int scratch_begin(void *ctx, uint64_t size, struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	if (x->scratch >= 0)
		close(x->scratch);
	x->scratch = memfd_create("scratch", MFD_CLOEXEC);
	assert_true(x->scratch >= 0);
	x->scratch_size = size;
	x->scratch_at = 0;
	return 0;
}

static int scratch_data(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	assert_true(len <= x->scratch_size - x->scratch_at);
	assert_int_equal(pwrite(x->scratch, data, len, (off_t)x->scratch_at), len);
	x->scratch_at += len;
	return 0;
}

static int scratch_end(void *ctx, int *fd, struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	assert_int_equal(x->scratch_at, x->scratch_size);
	*fd = x->scratch;
	x->scratch = -1;
	x->a->scratched = x->scratch_size > x->a->scratched ? x->scratch_size : x->a->scratched;
	return 0;
}

static const struct tree_file *find(const struct tree *t, const struct ay_digest *d)
{
	for (size_t i = 0; t && i < t->n; i++) {
		if (ay_digest_eq(&t->files[i].digest, d))
			return &t->files[i];
	}
	return NULL;
}

static int on_delta(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	ay_put_bytes(&x->a->delta, data, len);
	return 0;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	assert_int_equal(r->index, x->begun);
	*skip = x->a->skip_odd && x->begun % 2;
	x->begun++;
	ay_buf_reset(&x->file);
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct applier *x = ctx;
	const struct tree_file *f = find(x->old, &r->bases[base]);

	if (!f || x->a->no_bases)
		return ay_err_set(err, AY_EBASE, "not here");
	*fd = bundle_fd(f->data, f->len - x->a->short_bases);
	if (x->a->wrong_bases) {
		uint8_t b = f->data[f->len / 2] ^ 1;

		assert_int_equal(pwrite(*fd, &b, 1, (off_t)(f->len / 2)), 1);
	}
	return 0;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	struct applier *x = ctx;

	(void)err;
	assert_true(len > 0 && len <= r->size - x->file.len);
	if (len > x->a->largest_call)
		x->a->largest_call = len;
	ay_put_bytes(&x->file, data, len);
	x->a->bytes += len;
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct applier *x = ctx;
	const struct tree_file *f = find(x->new_, &r->target);

	(void)err;
	assert_int_equal(x->file.len, r->size);
	if (x->new_) {
		assert_non_null(f);
		assert_int_equal(f->len, r->size);
		if (f->len)
			assert_memory_equal(f->data, x->file.data, f->len);
	} else {
		struct ay_digest d;

		ay_digest_mem(x->file.data, x->file.len, &d);
		assert_true(ay_digest_eq(&d, &r->target));
	}
	x->a->records++;
	return 0;
}

int bundle_apply(int fd, struct tree *old, struct tree *new_, const struct ay_bundle_limits *limits,
		 struct applied *a, struct ay_err *err)
{
	struct applier x = {.a = a, .old = old, .new_ = new_, .scratch = -1};
	const struct ay_bundle_scratch scratch = {
		.ctx = &x, .begin = scratch_begin, .data = scratch_data, .end = scratch_end};
	struct ay_old_files numbers = {0};
	const struct ay_bundle_sink sink = {.ctx = &x,
					    .old = a->no_old ? NULL : &numbers,
					    .scratch = a->no_scratch ? NULL : &scratch,
					    .delta = on_delta,
					    .begin = on_begin,
					    .base = on_base,
					    .data = on_data,
					    .end = on_end};

	if (old)
		assert_int_equal(ay_old_files_open_mem(&numbers, old->manifest.data, old->manifest.len, NULL),
				 0);
	a->records = a->bytes = 0;
	a->largest_call = 0;
	ay_buf_reset(&a->delta);
	int rc = ay_bundle_read(fd, limits, &sink, true, err);
	ay_buf_release(&x.file);
	ay_old_files_release(&numbers);
	if (x.scratch >= 0)
		close(x.scratch);
	return rc;
}

void bundle_complete(int fd, struct tree *old, struct tree *new_, const struct ay_bundle_limits *limits)
{
	struct applied a = {0};
	struct ay_err err = {0};
	uint64_t want = 0, bytes = 0;

	if (bundle_apply(fd, old, new_, limits, &a, &err))
		fail_msg("apply: %s", err.msg);
	for (size_t i = 0; i < new_->n; i++) {
		bool had = find(old, &new_->files[i].digest) != NULL;

		if (had || find(new_, &new_->files[i].digest) != &new_->files[i])
			continue;
		want++;
		bytes += new_->files[i].len;
	}
	assert_int_equal(a.records, want);
	assert_int_equal(a.bytes, bytes);
	ay_buf_release(&a.delta);
}
