/* SPDX-License-Identifier: MIT */
/*
 * Method elf, from end to end: made-up programs of each kind, both ways, whole and damaged; that prediction pays; what a reader
 * refuses; the golden bundle:  AYNI_GOLDEN_WRITE=1 build/tests/unit/diff/test_elf     (from the top of the tree)
 */
#include "tests/unit/diff/golden_bundle.h"

#include <stdio.h>

#include "diff/bundle_writer.h"
#include "diff/codec.h"
#include "diff/elf_columns.h"
#include "diff/section.h"
#include "elf_kit.h"

#define GOLDEN "bundle-elf.bin"

static const struct {
	enum ay__elf_machine machine;
	enum ay__elf_type type;
} kinds[] = {
	{AY__ELF_X86_64, AY__ELF_DYN},  {AY__ELF_X86_64, AY__ELF_EXEC},  {AY__ELF_X86_64, AY__ELF_REL},
	{AY__ELF_AARCH64, AY__ELF_DYN}, {AY__ELF_AARCH64, AY__ELF_EXEC}, {AY__ELF_AARCH64, AY__ELF_REL},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A bundle of one record, of @method. */
static void write_record(int fd, struct tree *old, struct tree *new_, enum ay_bundle_method method,
			 uint32_t part_limit, const struct ay_columns *c)
{
	size_t old_len = old->files[0].len;
	const struct ay_bundle_record r = {
		.method = method,
		.n_bases = 1,
		.size = new_->files[0].len,
		.target = new_->files[0].digest,
		.bases = {old->files[0].digest},
		.base_sizes = {old_len},
		.extra_memory = method == AY_METHOD_ELF ? ay__elf_extra_memory(old_len) : 0};
	const struct ay_bundle_writer_options w = {.from = old->digest,
						   .to = new_->digest,
						   .part_limit = part_limit,
						   .level = 19,
						   .codecs = AY_CODECS_ALL};
	struct ay_bundle_writer *writer = ay_bundle_writer_new(fd, &w);

	assert_non_null(writer);
	assert_int_equal(ay_bundle_writer_record(writer, &r, NULL), 0);
	assert_int_equal(ay_bundle_writer_columns(writer, c, NULL), 0);
	assert_int_equal(ay_bundle_writer_finish(writer, NULL), 0);
	ay_bundle_writer_free(writer);
}

/* A bundle of one file, coded by @method, made without the choice of the smallest. */
static int bundle_of(struct tree *old, struct tree *new_, enum ay_bundle_method method, uint32_t part_limit)
{
	struct ay_slice o = {old->files[0].data, old->files[0].len},
			n = {new_->files[0].data, new_->files[0].len};
	struct ay_bsdiff_params params = {.threshold = AY_BSDIFF_THRESHOLD};
	struct ay_bsdiff_ops ops = {0};
	struct ay_columns c = {0};
	int fd = bundle_fd("", 0);

	assert_int_equal(ay_bsdiff(o, n, &params, &ops), 0);
	if (method == AY_METHOD_ELF) {
		int rc = ay__elf_columns_encode(&c, o, n, &ops, NULL, ay_bundle_piece_max(part_limit));

		if (rc) {
			assert_int_equal(rc, AY_EUNSUPPORTED);
			close(fd);
			fd = -1;
		}
	} else {
		assert_int_equal(ay_columns_encode(&c, o, 0, n, &ops, true, ay_bundle_piece_max(part_limit)),
				 0);
	}
	if (fd >= 0)
		write_record(fd, old, new_, method, part_limit, &c);
	ay_columns_release(&c);
	ay_bsdiff_ops_release(&ops);
	return fd;
}

static struct tree *tree_of(const uint8_t *data, size_t len)
{
	struct tree *t = tree_new();

	tree_add(t, "/program", data, len);
	tree_seal(t);
	return t;
}

static struct tree *program(uint64_t seed, unsigned n, unsigned variant, unsigned kind)
{
	struct ay_buf b = {0};

	elf_kit_program(seed, n, variant, kinds[kind].machine, kinds[kind].type, &b);
	struct tree *t = tree_of(b.data, b.len);
	ay_buf_release(&b);
	return t;
}

static const struct ay_bundle_limits limits = {.memory = 256u << 20};
static const struct ay_bundle_limits threads = {.memory = 256u << 20, .threads = true};

/* Bundle, apply, compare; returns the bundle's size, 0: method elf is not for these files. */
static uint64_t round_trip(struct tree *old, struct tree *new_, enum ay_bundle_method method,
			   uint32_t part_limit)
{
	int fd = bundle_of(old, new_, method, part_limit);

	if (fd < 0)
		return 0;
	uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
	bundle_complete(fd, old, new_, &limits);
	bundle_complete(fd, old, new_, &threads);
	close(fd);
	return size;
}

static void prediction_pays(void **state)
{
	(void)state;
	for (unsigned k = 0; k < KINDS; k++) {
		struct tree *old = program(11, 600, 0, k), *new_ = program(11, 600, 3, k);
		uint64_t plain = round_trip(old, new_, AY_METHOD_BSDIFF, AY_BUNDLE_PART_DEFAULT);
		uint64_t elf = round_trip(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT);
		uint64_t back = round_trip(new_, old, AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT);

		print_message("kind %u: plain %llu, elf %llu, back %llu\n", k, (unsigned long long)plain,
			      (unsigned long long)elf, (unsigned long long)back);
		assert_true(elf > 0 && elf * 3 < plain);
		assert_true(back > 0 && back * 3 < plain);
		tree_free(old);
		tree_free(new_);
	}
}

/* Parts of 16 KiB: the map, the operations and the runs go on from part to part. */
static void over_parts(void **state)
{
	struct tree *old = program(5, 2000, 0, 0), *new_ = program(6, 2000, 255, 0);

	(void)state;
	assert_true(round_trip(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN) > 4 * AY_BUNDLE_PART_MIN);
	tree_free(old);
	tree_free(new_);
}

static int skip_it(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	assert_int_equal(r->method, AY_METHOD_ELF);
	*skip = true;
	return 0;
}

/* The image begins somewhere in the file, not at the same place in both, and something follows it. */
static void image_inside(void **state)
{
	struct ay_buf a = {0}, b = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		ay_put_u8(&a, (uint8_t)i);
	ay_put_bytes(&b, a.data, 800);
	elf_kit_program(11, 600, 0, AY__ELF_X86_64, AY__ELF_EXEC, &a);
	elf_kit_program(11, 600, 3, AY__ELF_X86_64, AY__ELF_EXEC, &b);
	for (unsigned i = 0; i < 400; i++) {
		ay_put_u32(&a, 0x401000 + 64 * i);
		ay_put_u32(&b, 0x401010 + 64 * i);
	}
	struct tree *old = tree_of(a.data, a.len), *new_ = tree_of(b.data, b.len);
	uint64_t plain = round_trip(old, new_, AY_METHOD_BSDIFF, AY_BUNDLE_PART_DEFAULT);
	uint64_t elf = round_trip(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT);
	assert_true(elf > 0 && elf * 3 < plain);
	assert_true(round_trip(new_, old, AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT) > 0);
	ay_buf_release(&a);
	ay_buf_release(&b);
	tree_free(old);
	tree_free(new_);
}

/* A real program, this one: with bytes put into it, cut, and against a made-up one. */
static void this_program(void **state)
{
	struct ay_buf a = {0}, b = {0};
	FILE *f = fopen("/proc/self/exe", "rb");

	(void)state;
	assert_non_null(f);
	uint8_t *p = ay_buf_reserve(&a, 4u << 20);
	assert_non_null(p);
	a.len = fread(p, 1, 4u << 20, f);
	fclose(f);
	ay_put_bytes(&b, a.data, a.len / 2);
	ay_put_bytes(&b, a.data, 1000);
	ay_put_bytes(&b, a.data + a.len / 2, a.len - a.len / 2);
	struct tree *whole = tree_of(a.data, a.len), *longer = tree_of(b.data, b.len);
	struct tree *cut = tree_of(a.data, a.len - a.len / 3), *other = program(1, 900, 0, 0);
	struct tree *all[] = {whole, longer, cut, other};

	for (unsigned i = 0; i < 16; i++) {
		if (i / 4 != i % 4)
			round_trip(all[i / 4], all[i % 4], AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT);
	}
	for (unsigned i = 0; i < 4; i++)
		tree_free(all[i]);
	ay_buf_release(&a);
	ay_buf_release(&b);
}

/* Who does not want the file reads over it without its base. */
static void skipped(void **state)
{
	struct tree *old = program(5, 300, 0, 0), *new_ = program(5, 300, 7, 0);
	const struct ay_bundle_sink sink = {.begin = skip_it};
	struct ay_err err = {0};

	(void)state;
	int fd = bundle_of(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
	if (ay_bundle_read(fd, &limits, &sink, true, &err))
		fail_msg("%s", err.msg);
	close(fd);
	tree_free(old);
	tree_free(new_);
}

/* Whatever is wrong with the files, what was given comes back. */
static void damaged_files(void **state)
{
	struct ay_prng r;

	(void)state;
	ay_prng_init(&r, 1914);
	for (unsigned i = 0; i < 240; i++) {
		struct ay_buf a = {0}, b = {0};
		unsigned k = i % KINDS;

		elf_kit_program(i, 40, 0, kinds[k].machine, kinds[k].type, &a);
		elf_kit_program(i, 40, 1 + i % 7, kinds[k].machine, kinds[k].type, &b);
		for (unsigned n = 0; n < 1 + i % 64; n++) {
			/* mostly where headers and section headers are */
			struct ay_buf *f = i & 64 ? &a : &b;
			uint64_t at = n % 2 ? ay_prng_below(&r, f->len) : f->len - 1 - ay_prng_below(&r, 640);

			f->data[at] = (uint8_t)ay_prng_next(&r);
		}
		if (i % 5 == 0)
			b.len -= ay_prng_below(&r, b.len / 2);
		struct tree *old = tree_of(a.data, a.len), *new_ = tree_of(b.data, b.len);
		round_trip(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
		round_trip(new_, old, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
		tree_free(old);
		tree_free(new_);
		ay_buf_release(&a);
		ay_buf_release(&b);
	}
}

/* So many @times up to @changes bytes of a good bundle are others: mostly it is refused. */
static void damage(struct tree *old, struct tree *new_, unsigned times, unsigned changes,
		   const struct ay_bundle_limits *how)
{
	struct ay_prng r;
	unsigned refused = 0;

	ay_prng_init(&r, 7);
	int fd = bundle_of(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
	struct ay_buf good = bundle_bytes(fd);
	close(fd);
	for (unsigned i = 0; i < times; i++) {
		struct ay_buf b = {0};
		struct applied a = {0};
		struct ay_err err = {0};

		ay_put_bytes(&b, good.data, good.len);
		for (unsigned n = 0; n < 1 + i % changes; n++)
			b.data[AY_BUNDLE_HEADER_SIZE + ay_prng_below(&r, b.len - AY_BUNDLE_HEADER_SIZE)] ^=
				(uint8_t)(1 + ay_prng_below(&r, 255));
		bundle_fix_checks(b.data, b.len);
		fd = bundle_fd(b.data, b.len);
		int rc = bundle_apply(fd, old, new_, how, &a, &err);
		assert_true(rc == 0 || err.msg[0]);
		refused += rc != 0;
		close(fd);
		ay_buf_release(&a.delta);
		ay_buf_release(&b);
	}
	assert_true(refused > times / 6 * 5);
	ay_buf_release(&good);
	tree_free(old);
	tree_free(new_);
}

/* Bytes of good bundles changed, checks made to fit: refused or found wrong by the digest, with a reason; never more. */
static void damaged_bundles(void **state)
{
	(void)state;
	damage(program(5, 60, 0, 0), program(5, 60, 7, 0), 3000, 3, &limits);
}

/* Large enough for all threads: whichever of them is where when it comes out, none is waited for in vain. */
static void damaged_with_threads(void **state)
{
	struct tree *old = program(5, 2000, 0, 0), *new_ = program(5, 2000, 7, 0);

	(void)state;
	assert_true(old->files[0].len > 256u << 10);
	damage(old, new_, 150, 1, &threads);
}

/* Reading the bundle in @fd is refused at its record, with @word in the reason; closes it. */
static void bundle_refused(int fd, struct tree *old, struct tree *new_, const char *word)
{
	struct applied a = {0};
	struct ay_err err = {0};
	int rc = bundle_apply(fd, old, new_, &limits, &a, &err);

	if (rc != AY_EFORMAT || !strstr(err.msg, word) || !strstr(err.msg, "record 0"))
		fail_msg("%d \"%s\" instead of \"%s\"", rc, err.msg, word);
	close(fd);
	ay_buf_release(&a.delta);
}

/* One byte of one column of a good record is @value instead (a whole residue; < 0: less than it was): refused, with @word in the reason. */
static void refused(struct tree *old, struct tree *new_, unsigned stream, size_t at, int value,
		    const char *word)
{
	struct ay_slice o = {old->files[0].data, old->files[0].len},
			n = {new_->files[0].data, new_->files[0].len};
	struct ay_bsdiff_params params = {.threshold = AY_BSDIFF_THRESHOLD};
	struct ay_bsdiff_ops ops = {0};
	struct ay_columns c = {0};
	int fd = bundle_fd("", 0);

	assert_int_equal(ay_bsdiff(o, n, &params, &ops), 0);
	assert_int_equal(ay__elf_columns_encode(&c, o, n, &ops, NULL, 65536), 0);
	assert_true(at < c.col[stream].len);
	if (value < 0)
		value += c.col[stream].data[at];
	memset(c.col[stream].data + at, value, stream == AY_STREAM_FIELD_CODE ? 4 : 1);
	write_record(fd, old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_DEFAULT, &c);
	bundle_refused(fd, old, new_, word);
	ay_columns_release(&c);
	ay_bsdiff_ops_release(&ops);
}

/* The columns of this record: elf-run is the number of operations, 0 (all that is left), and three numbers. */
static void rules(void **state)
{
	struct tree *old = program(5, 60, 0, 0), *new_ = program(5, 60, 7, 0);

	(void)state;
	refused(old, new_, AY_STREAM_ELF_MAP, 0, 5, "no ELF image");
	refused(old, new_, AY_STREAM_ELF_MAP, 1, 1, "map that makes no sense");   /* one section */
	refused(old, new_, AY_STREAM_ELF_MAP, 4, 2, "map that makes no sense");   /* which: 0 says the same */
	refused(old, new_, AY_STREAM_ELF_MAP, 4, 120, "map that makes no sense"); /* no such section */
	refused(old, new_, AY_STREAM_ELF_MAP, 8, 2, "map that makes no sense");   /* section 1 again */
	refused(old, new_, AY_STREAM_ELF_RUN, 0, -1, "end before the record does");
	refused(old, new_, AY_STREAM_ELF_RUN, 2, 127, "more numbers than there are");
	refused(old, new_, AY_STREAM_ELF_RUN, 2, -1, "");
	refused(old, new_, AY_STREAM_FIELD_CODE, 0, 0, "no field needs");
	refused(old, new_, AY_STREAM_FIELD_RUN, 0, 0, "a pair that does not fit");
	refused(old, new_, AY_STREAM_FIELD_RUN, 0, 127, "a pair that does not fit");
	refused(old, new_, AY_STREAM_FIELD_ZERO, 1, 0, "a pair that does not fit");
	refused(old, new_, AY_STREAM_DIFF_LEN, 0, 0, "");
	tree_free(old);
	tree_free(new_);
}

/* The maker chooses method elf by itself, declares the memory, and does not where nothing is ELF. */
static void chosen(void **state)
{
	struct tree *old = program(5, 300, 0, 0), *new_ = program(5, 300, 7, 0);
	struct ay_bundle_header h = {0};
	struct ay_make_result res;

	(void)state;
	int fd = bundle_make(old, new_, NULL, &res);
	struct ay_buf b = bundle_bytes(fd);
	h.extra_memory = ay_get_le64(b.data + 104);
	assert_int_equal(h.extra_memory, ay__elf_extra_memory(old->files[0].len));
	assert_int_equal(res.apply_memory, ay_bundle_memory(AY_BUNDLE_PART_DEFAULT) + h.extra_memory);
	bundle_complete(fd, old, new_, &limits);
	close(fd);
	ay_buf_release(&b);
	/* who bounds what applying may need gets plain differences */
	struct ay_make_options tight = {.apply_memory = ay_bundle_memory(AY_BUNDLE_PART_DEFAULT)};
	fd = bundle_make(old, new_, &tight, &res);
	assert_int_equal(res.apply_memory, tight.apply_memory);
	bundle_complete(fd, old, new_, &limits);
	close(fd);
	tree_free(new_);
	new_ = tree_of(old->files[0].data + 1, old->files[0].len - 1);
	fd = bundle_make(old, new_, NULL, &res);
	assert_int_equal(res.apply_memory, ay_bundle_memory(AY_BUNDLE_PART_DEFAULT));
	close(fd);
	tree_free(old);
	tree_free(new_);
}

static void memory_declared(void **state)
{
	struct tree *old = program(5, 60, 0, 0), *new_ = program(5, 60, 7, 0);

	(void)state;
	int fd = bundle_of(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
	struct ay_buf b = bundle_bytes(fd);
	close(fd);
	b.data[104]--; /* the header says one byte less than is needed */
	bundle_fix_checks(b.data, b.len);
	fd = bundle_fd(b.data, b.len);
	bundle_refused(fd, old, new_, "memory");
	ay_buf_release(&b);
	tree_free(old);
	tree_free(new_);
}

/* The base is another one, no ELF file at all: refused, with record and offset. */
static void base_is_none(void **state)
{
	struct tree *old = program(5, 60, 0, 0), *new_ = program(5, 60, 7, 0);

	(void)state;
	int fd = bundle_of(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
	old->files[0].data[0] = 0;
	bundle_refused(fd, old, new_, "no ELF image");
	tree_free(old);
	tree_free(new_);
}

static void golden(void **state)
{
	struct tree *old = program(2007, 40, 0, 0), *new_ = program(2007, 40, 3, 0);

	(void)state;
	int made = bundle_of(old, new_, AY_METHOD_ELF, AY_BUNDLE_PART_MIN);
	struct ay_buf want = golden_bundle(GOLDEN, made, old, new_, &limits, true);
	/* It shows each column of the method. */
	unsigned streams = golden_shows(&want).streams;
	for (unsigned i = AY_STREAM_ELF_MAP; i <= AY_STREAM_FIELD_WIDE; i++)
		assert_true(streams >> i & 1);
	ay_buf_release(&want);
	tree_free(old);
	tree_free(new_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prediction_pays), cmocka_unit_test(over_parts),
		cmocka_unit_test(skipped),         cmocka_unit_test(image_inside),
		cmocka_unit_test(this_program),    cmocka_unit_test(damaged_files),
		cmocka_unit_test(damaged_bundles), cmocka_unit_test(damaged_with_threads),
		cmocka_unit_test(rules),           cmocka_unit_test(chosen),
		cmocka_unit_test(memory_declared), cmocka_unit_test(base_is_none),
		cmocka_unit_test(golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
