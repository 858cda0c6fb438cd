/* SPDX-License-Identifier: MIT */
/*
 * Whoever is killed at any part goes on, also where the part begins within a record whose addresses are predicted, or that is
 * packed again: places are told only in front of these, and what was complete by then is not made again.
 */
#include "tests/unit/diff/trees.h"

#include <sys/mman.h>

#include "base/cleanup.h"
#include "diff/bundle.h"
#include "diff/old_files.h"
#include "tests/unit/diff/elf_kit.h"

#include <zstd.h>

#define NEW_BYTES (9u << 20) /* that nobody had before: more than a part holds */
#define FILES     4

struct file {
	struct ay_digest target;
	struct ay_buf bytes;
	bool complete;
};

struct reading {
	struct tree *old;
	struct file files[FILES], *now;
	size_t n;
	uint32_t kill_at, parts;      /* the part that is not read any more, UINT32_MAX: none; that were */
	struct ay_bundle_place place; /* the last one */
	bool placed;
	unsigned made, skipped, within; /* records; places within one */
	unsigned elf, filtered;         /* parts that began within such a record */
	struct ay_bundle_record last;
	int scratch;
};

static struct file *file_of(struct reading *x, const struct ay_digest *d)
{
	for (size_t i = 0; i < x->n; i++) {
		if (ay_digest_eq(&x->files[i].target, d))
			return &x->files[i];
	}
	return NULL;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct reading *x = ctx;
	struct file *f = file_of(x, &r->target);

	(void)err;
	*skip = f && f->complete;
	x->last = *r;
	x->skipped += *skip;
	x->made += !*skip;
	return 0;
}

static int on_open(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	x->now = file_of(x, &r->target);
	if (!x->now) {
		assert_true(x->n < FILES);
		x->now = &x->files[x->n++];
		x->now->target = r->target;
		ay_buf_init(&x->now->bytes, 64u << 20);
	}
	/* As a store: behind the place there may be anything. */
	x->now->bytes.len = x->placed && x->place.inside && ay_digest_eq(&x->place.r.target, &r->target)
				    ? (size_t)x->place.done
				    : 0;
	return 0;
}

static int on_base(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	for (size_t i = 0; i < x->old->n; i++) {
		if (ay_digest_eq(&x->old->files[i].digest, &r->bases[base])) {
			*fd = bundle_fd(x->old->files[i].data, x->old->files[i].len);
			return 0;
		}
	}
	return AY_EBASE;
}

static int on_data(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		   struct ay_err *err)
{
	(void)r;
	(void)err;
	ay_put_bytes(&((struct reading *)ctx)->now->bytes, data, len);
	return 0;
}

static int on_end(void *ctx, const struct ay_bundle_record *r, struct ay_err *err)
{
	(void)r;
	(void)err;
	((struct reading *)ctx)->now->complete = true;
	return 0;
}

static int on_part(void *ctx, uint32_t part, uint64_t packed, uint64_t unpacked, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)packed;
	(void)unpacked;
	x->parts = part + 1;
	return part == x->kill_at ? ay_err_set(err, -ECANCELED, "killed") : 0;
}

static int on_place(void *ctx, const struct ay_bundle_place *p, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	assert_true(!p->inside || (p->r.method != AY_METHOD_ELF && p->r.filters == 0));
	x->within += p->inside;
	x->place = *p;
	x->placed = true;
	return 0;
}

static int scratch_begin(void *ctx, uint64_t size, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)size;
	(void)err;
	if (x->scratch >= 0)
		close(x->scratch);
	x->scratch = memfd_create("scratch", MFD_CLOEXEC);
	return x->scratch < 0 ? -errno : 0;
}

static int scratch_data(void *ctx, const void *data, size_t len, struct ay_err *err)
{
	(void)err;
	assert_int_equal(write(((struct reading *)ctx)->scratch, data, len), len);
	return 0;
}

static int scratch_end(void *ctx, int *fd, struct ay_err *err)
{
	struct reading *x = ctx;

	(void)err;
	*fd = x->scratch;
	x->scratch = -1;
	return 0;
}

static int read_on(struct reading *x, int fd, uint64_t memory, bool threads, uint32_t kill_at,
		   struct ay_err *err)
{
	const struct ay_bundle_scratch scratch = {
		.ctx = x, .begin = scratch_begin, .data = scratch_data, .end = scratch_end};
	struct ay_old_files numbers = {0};
	const struct ay_bundle_sink sink = {.ctx = x,
					    .old = &numbers,
					    .scratch = &scratch,
					    .begin = on_begin,
					    .open = on_open,
					    .base = on_base,
					    .data = on_data,
					    .end = on_end,
					    .part = on_part,
					    .place = on_place};
	const struct ay_bundle_place from = x->place;
	struct ay_bundle_limits limits = {.memory = memory, .threads = threads, .from_fd = -1};

	x->kill_at = kill_at;
	x->made = x->skipped = 0;
	x->scratch = -1;
	if (x->placed) {
		struct file *f = from.inside ? file_of(x, &from.r.target) : NULL;

		limits.from = &from;
		limits.from_fd = f ? bundle_fd(f->bytes.data, f->bytes.len) : -1;
	}
	assert_int_equal(ay_old_files_open_mem(&numbers, x->old->manifest.data, x->old->manifest.len, NULL),
			 0);
	int rc = ay_bundle_read(fd, &limits, &sink, true, err);
	ay_old_files_release(&numbers);
	if (limits.from_fd >= 0)
		close(limits.from_fd);
	if (x->scratch >= 0)
		close(x->scratch);
	return rc;
}

static void assert_complete(struct reading *x, struct tree *new_)
{
	assert_int_equal(x->n, new_->n);
	for (size_t i = 0; i < new_->n; i++) {
		struct file *f = file_of(x, &new_->files[i].digest);

		assert_non_null(f);
		assert_true(f->complete);
		assert_int_equal(f->bytes.len, new_->files[i].len);
		assert_memory_equal(f->bytes.data, new_->files[i].data, f->bytes.len);
	}
}

static void reading_release(struct reading *x)
{
	for (size_t i = 0; i < x->n; i++)
		ay_buf_release(&x->files[i].bytes);
}

/* ---- the trees: a plain file, a program, a packed one; each with more that is new than a part holds */

static void zstd(const struct ay_buf *b, struct ay_buf *out)
{
	size_t cap = ZSTD_compressBound(b->len), n;
	uint8_t *p = ay_buf_reserve(out, cap);

	assert_non_null(p);
	n = ZSTD_compress(p, cap, b->data, b->len, 3);
	assert_false(ZSTD_isError(n));
	out->len += n;
}

static struct tree *tree_build(unsigned variant)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf program = {0}, text = {0}, packed = {0}, plain = {0};
	struct tree *t = tree_new();
	struct ay_prng r;

	ay_prng_init(&r, 5);
	AY_FREE uint8_t *same = bytes_code(&r, 300000);
	ay_prng_init(&r, 6 + variant);
	AY_FREE uint8_t *added = bytes_random(&r, NEW_BYTES);
	const size_t n = variant ? NEW_BYTES : 100;
	elf_kit_program(21, 2000, variant, AY__ELF_X86_64, AY__ELF_EXEC, &program);
	ay_put_bytes(&program, added, n);
	ay_put_bytes(&plain, same, 300000);
	ay_put_bytes(&plain, added, n);
	/* What is the same in both must not be found in another file. */
	for (size_t i = 0; i < n; i++)
		added[i] ^= 0x5a;
	for (size_t i = 0; i < 300000; i++)
		same[i] ^= 0x33;
	ay_put_bytes(&text, same, 300000);
	ay_put_bytes(&text, added, n);
	zstd(&text, &packed);
	assert_int_equal(ay_buf_status(&program) | ay_buf_status(&text) | ay_buf_status(&packed), 0);
	for (size_t i = 0; i < n; i++)
		plain.data[300000 + i] ^= 0xa5;
	tree_add(t, "/a-plain", plain.data, plain.len);
	tree_add(t, "/b-program", program.data, program.len);
	tree_add(t, "/c-packed.zst", packed.data, packed.len);
	tree_seal(t);
	return t;
}

struct state {
	struct tree *old, *new_;
	uint64_t memory;
	int fd;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));
	const struct ay_make_options o = {.threads = 2, .level = 1};
	struct ay_make_result res;

	assert_non_null(t);
	t->old = tree_build(0);
	t->new_ = tree_build(3);
	t->fd = bundle_make(t->old, t->new_, &o, &res);
	t->memory = res.apply_memory;
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	close(t->fd);
	tree_free(t->old);
	tree_free(t->new_);
	free(t);
	return 0;
}

static void killed_at_every_part(void **arg)
{
	const struct state *t = *arg;
	struct reading whole = {.old = t->old};
	struct ay_err err = {0};
	unsigned elf = 0, filtered = 0, skipped = 0;

	if (read_on(&whole, t->fd, t->memory, true, UINT32_MAX, &err))
		fail_msg("%s", err.msg);
	assert_complete(&whole, t->new_);
	assert_true(whole.parts >= 4);
	for (uint32_t k = 0; k < whole.parts; k++) {
		struct reading x = {.old = t->old};

		assert_int_equal(read_on(&x, t->fd, t->memory, k % 2, k, &err), -ECANCELED);
		elf += k > 0 && x.last.method == AY_METHOD_ELF && x.last.filters == 0;
		filtered += k > 0 && x.last.filters != 0;
		if (read_on(&x, t->fd, t->memory, k % 2 == 0, UINT32_MAX, &err))
			fail_msg("part %u: %s", k, err.msg);
		assert_complete(&x, t->new_);
		assert_true(x.made + x.skipped <= t->new_->n);
		skipped += x.placed && x.made < t->new_->n;
		reading_release(&x);
	}
	print_message("%u parts, %u begin within a program, %u within what is packed again\n", whole.parts,
		      elf, filtered);
	assert_true(elf > 0 && filtered > 0 && skipped > 0);
	reading_release(&whole);
}

/* Killed again and again, each time a part further on. */
static void killed_again_and_again(void **arg)
{
	const struct state *t = *arg;
	struct reading x = {.old = t->old};
	struct ay_err err = {0};
	uint32_t k = 1;
	int rc;

	while ((rc = read_on(&x, t->fd, t->memory, k % 2, k, &err)) == -ECANCELED)
		k++;
	if (rc)
		fail_msg("%s", err.msg);
	assert_true(k >= 4);
	assert_complete(&x, t->new_);
	reading_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_part),
		cmocka_unit_test(killed_again_and_again),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
