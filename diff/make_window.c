/* SPDX-License-Identifier: MIT */
/*
 * diff/make_window.c - how large a window may be, and what its work is made of.
 *
 * Whatever was read is compared with the manifest's digest (a window by its Merkle leaves), so that a file that changes under
 * us is found out here and not on a laptop.
 */
#include "diff/make_window_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/sparse.h"
#include "diff/elf_columns.h"
#include "diff/section.h"

#define NEW_MAX     (512ull << 20)
#define OLD_MAX     (768ull << 20)
#define LITERAL_MAX (8ull << 20)
#define NEW_MIN     (1ull << 20) /* windows are not made smaller, however little memory is allowed */

void ay__bytes_free(struct ay__bytes *b)
{
	free(b->data);
}

static uint64_t need(uint64_t old_len, uint64_t new_len)
{
	/* Both files, the search or predicting, and the columns, which may be as large as the file and twice while they grow. */
	uint64_t search = old_len + new_len + ay_bsdiff_memory(old_len, new_len);
	uint64_t predict = new_len / 8 * sizeof(struct ay_bsdiff_op) + ay__elf_extra_memory(old_len);

	return old_len + new_len + (search > predict ? search : predict) + 3 * new_len;
}

struct ay__window_sizes ay__window_sizes_for(uint64_t memory)
{
	struct ay__window_sizes s = {.new_max = NEW_MAX, .old_max = OLD_MAX, .literal_max = LITERAL_MAX};

	while (s.new_max > NEW_MIN && need(s.old_max, s.new_max) > memory) {
		s.new_max /= 2;
		s.old_max /= 2;
	}
	return s;
}

bool ay__window_whole(const struct ay__window_sizes *sizes, const struct ay__plan *plan,
		      const struct ay__plan_record *record)
{
	uint64_t size = plan->new_.files[record->file].size;

	if (record->match.n == 0)
		return size <= sizes->literal_max;
	for (unsigned i = 0; i < record->match.n; i++) {
		if (plan->old.files[record->match.base[i]].size > sizes->old_max)
			return false;
	}
	return size <= sizes->new_max;
}

uint64_t ay__window_memory(const struct ay__window *w)
{
	uint64_t old_len = 0;

	for (unsigned i = 0; i < w->record->match.n; i++) {
		uint64_t size = w->plan->old.files[w->record->match.base[i]].size;

		old_len = size > old_len ? size : old_len;
	}
	if (old_len > w->sizes.old_max)
		old_len = w->sizes.old_max;
	if (w->inside)
		return need(w->view_max, w->view_max) + (w->aside ? w->view_max + w->filter_memory : 0);
	return need(old_len, w->len);
}

/* As ay__pread_all() into zeros, but holes are not read: the kernel would fill its cache with them. */
static int pread_data(int fd, const struct stat *st, uint8_t *zeros, size_t len, uint64_t at,
		      struct ay_err *err)
{
	uint64_t stop = at + len, end = stop;
	bool sparse = st->st_blocks * 512 < st->st_size;

	for (int rc = 0; at < stop; at = end) {
		end = stop;
		if (!sparse || !ay_sparse_next(fd, at, stop, &end))
			rc = ay__pread_all(fd, zeros, (size_t)(end - at), at, AY_EDIGEST, err);
		if (rc)
			return rc;
		zeros += end - at;
	}
	return 0;
}

int ay__window_read(const struct ay_make_tree *tree, const struct ay_entry *e, const struct ay_merkle *merkle,
		    uint64_t at, size_t len, struct ay__bytes *out, struct ay_err *err)
{
	AY_CLOSE int fd = -1;
	struct ay_digest digest;
	struct stat st;
	int rc = tree->open(tree->ctx, e, &fd, err);

	if (rc)
		return rc;
	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "%s", e->path);
	if ((uint64_t)st.st_size != e->size)
		return ay_err_set(err, AY_EDIGEST,
				  "%s: has %lld bytes, but the manifest says %llu: it changed", e->path,
				  (long long)st.st_size, (unsigned long long)e->size);
	free(out->data);
	*out = (struct ay__bytes){.data = calloc(1, len + 1), .len = len};
	if (!out->data)
		return ay_err_errno(err, ENOMEM, "%s: %zu bytes", e->path, len);
	rc = pread_data(fd, &st, out->data, len, at, err);
	if (rc)
		return ay_err_wrap(err, rc, "%s", e->path);
	if (merkle) {
		rc = len ? ay_merkle_check(merkle, at, out->data, len) : 0;
	} else {
		ay_digest_mem(out->data, len, &digest);
		rc = ay_digest_eq(&digest, &e->digest) ? 0 : AY_EDIGEST;
	}
	return rc ? ay_err_set(err, rc, "%s: is not what the manifest says: it changed", e->path) : 0;
}

int ay__window_merkle(const struct ay_make_tree *tree, const struct ay_entry *e, struct ay_merkle **out,
		      struct ay_err *err)
{
	AY_CLOSE int fd = -1;
	int rc = tree->open(tree->ctx, e, &fd, err);

	if (rc)
		return rc;
	rc = ay_merkle_build_fd(fd, out);
	if (rc)
		return ay_err_set(err, rc, "%s: %s", e->path, ay_strerror(rc));
	if (ay_digest_eq(ay_merkle_digest(*out), &e->digest))
		return 0;
	ay_merkle_free(*out);
	*out = NULL;
	return ay_err_set(err, AY_EDIGEST, "%s: is not what the manifest says: it changed", e->path);
}

int ay__window_encode(const struct ay__window *w, const struct ay__span *base, const struct ay__span *target,
		      unsigned methods, struct ay__encoded *out)
{
	struct ay__encode_options options = {.piece_max = w->piece_max,
					     .extra_max = w->extra_max,
					     .work_max = w->work_max,
					     .btf = w->btf,
					     .unmasked = w->without & AY_TECHNIQUE_MASK,
					     .thorough = w->thorough && !w->inside,
					     .methods = methods};

	if (w->without & AY_TECHNIQUE_ELF)
		options.methods &= ~AY__METHOD_BIT(AY_METHOD_ELF);

	return ay__encode(base, target, &options, out);
}

void ay__window_take(struct ay__window *w, struct ay__encoded *e, uint32_t base)
{
	ay_columns_release(&w->columns);
	w->columns = e->columns;
	w->method = e->method;
	w->base = base;
	*e = (struct ay__encoded){0};
}

uint64_t ay__window_work(const struct ay__window *w)
{
	uint64_t base_size;

	if (w->method == AY_METHOD_LITERAL)
		return 0;
	base_size = w->plan->old.files[w->base].size;
	return ay__record_work(base_size, &w->base_in.sums, &w->target_in.sums,
			       w->method != AY_METHOD_ELF ? 0
			       : w->base_in.sums.filters  ? w->base_in.sums.view_size
							  : base_size);
}

void ay__window_reset(struct ay__window *w)
{
	ay__window_release(w);
	w->columns = (struct ay_columns){0};
	w->method = AY_METHOD_LITERAL;
	w->base = 0;
	w->zero_bytes = 0;
}

void ay__window_release(struct ay__window *w)
{
	ay__inside_release(&w->base_in);
	ay__inside_release(&w->target_in);
	ay_columns_release(&w->columns);
}
