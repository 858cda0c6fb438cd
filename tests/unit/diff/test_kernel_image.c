/* SPDX-License-Identifier: MIT */
/*
 * A packed kernel is coded as well as its image is when it lies there unpacked: an ELF image somewhere in what the file unpacks
 * to, with a packed sample in its data, the list of its addresses right behind it and other bytes behind that.
 */
#include "tests/unit/diff/trees.h"

#include <lzma.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "diff/elf_columns.h"
#include "diff/encoders.h"
#include "diff/inside.h"
#include "elf_kit.h"

#define FUNCTIONS 1200
#define SAMPLE    3000 /* bytes of it, unpacked */
#define TEXT      0x401000
#define ROOM      (1u << 20) /* zeros behind the list, so that the view is a large one */

/* A packed sample in .rodata, as the kernel has some to test itself with: all other sections but .text lie behind it. */
static void sample_put(struct ay_buf *image)
{
	struct ay__source src = ay__source_memory(image->data, image->len);
	uint8_t sample[SAMPLE], packed[1024];
	struct ay__elf elf;

	for (unsigned i = 0; i < SAMPLE; i++)
		sample[i] = (uint8_t)("join us now and share the software "[i % 35] ^ (i % 97 == 0));
	size_t n = ZSTD_compress(packed, sizeof(packed), sample, sizeof(sample), 19);
	assert_false(ZSTD_isError(n));
	assert_int_equal(ay__elf_parse(&src, 0, &elf), 0);
	assert_true(elf.sections[2].size > 2 * n);
	memcpy(image->data + elf.sections[2].offset + 64, packed, n);
	ay__elf_release(&elf);
}

/* The image, and the list: some of the places in .text, as the kernel's build finds them. */
static struct ay_buf image_make(unsigned variant)
{
	struct ay_buf b = {0};

	elf_kit_program(21, FUNCTIONS, variant, AY__ELF_X86_64, AY__ELF_EXEC, &b);
	sample_put(&b);
	ay_put_u32(&b, 0);
	for (unsigned i = 0; i < 4000; i++)
		ay_put_u32(&b, TEXT + 32 * i + (i > 300 ? 16 * variant : 0));
	uint8_t *room = ay_buf_reserve(&b, ROOM);
	assert_non_null(room);
	memset(room, 0, ROOM);
	b.len += ROOM;
	return b;
}

/* A program that unpacks it around it; @odd bytes more at the end, so that nothing is a multiple of anything. */
static struct ay_buf packed_make(const struct ay_buf *image, unsigned odd)
{
	struct ay_buf b = {0};
	struct ay_prng r;
	size_t cap = lzma_stream_buffer_bound(image->len), n = 0;

	ay_prng_init(&r, 3);
	for (unsigned i = 0; i < 21196; i++)
		ay_put_u8(&b, (uint8_t)ay_prng_below(&r, 128));
	uint8_t *p = ay_buf_reserve(&b, cap);
	assert_non_null(p);
	assert_int_equal(
		lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, image->data, image->len, p, &n, cap),
		LZMA_OK);
	b.len += n;
	for (unsigned i = 0; i < 5000 + odd; i++)
		ay_put_u8(&b, (uint8_t)ay_prng_below(&r, 128));
	assert_int_equal(ay_buf_status(&b), 0);
	return b;
}

static struct tree *tree_of(const struct ay_buf *b)
{
	struct tree *t = tree_new();

	tree_add(t, "/vmlinuz", b->data, b->len);
	tree_seal(t);
	return t;
}

/* The bundle's size; it gives the very file. */
static uint64_t delta(const struct ay_buf *a, const struct ay_buf *b, struct ay_make_result *res)
{
	struct tree *old = tree_of(a), *new_ = tree_of(b);
	struct ay_make_options o = {.threads = 1, .level = 19};
	int fd = bundle_make(old, new_, &o, res);
	struct ay_bundle_limits limits = {.memory = res->apply_memory};

	bundle_complete(fd, old, new_, &limits);
	close(fd);
	tree_free(old);
	tree_free(new_);
	return res->bundle_size;
}

static void as_well_as_unpacked(void **state)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf a = image_make(0), b = image_make(3);
	AY_CLEANUP(ay_buf_release) struct ay_buf pa = packed_make(&a, 3), pb = packed_make(&b, 6);
	struct ay_make_result res, plain;
	uint64_t bare = delta(&a, &b, &plain), packed = delta(&pa, &pb, &res);

	(void)state;
	print_message("packed %zu bytes: delta %llu, of the images %llu\n", pb.len,
		      (unsigned long long)packed, (unsigned long long)bare);
	assert_int_equal(res.encoders, 1u << AY__FILTER_LZMA2);
	/* Recipes, the container's checks, digests. */
	assert_true(packed < bare + 400);
	assert_true(packed < pb.len / 16);
}

/*
 * Addresses are predicted first, then it is packed: what the two need is never there at once, but the view waits in a temporary
 * file, beside the base's.
 */
static void one_after_the_other(void **state)
{
	static const struct ay__inside_options o = {
		.view_max = 64u << 20, .memory_max = 400u << 20, .encoders = AY_ENCODERS_ALL};
	AY_CLEANUP(ay_buf_release) struct ay_buf a = image_make(0), b = image_make(3);
	AY_CLEANUP(ay_buf_release) struct ay_buf pa = packed_make(&a, 3), pb = packed_make(&b, 6);
	AY_CLEANUP(ay__inside_release) struct ay__inside in_a = {0}, in_b = {0};
	struct ay__inside_options as_target = o;
	struct ay_make_options options = {.threads = 1, .level = 3};
	struct ay_make_result res;
	struct applied ap = {0};
	struct ay_err err = {0};

	(void)state;
	as_target.target = true;
	assert_int_equal(ay__inside((struct ay_slice){pa.data, pa.len}, &o, &in_a), 0);
	assert_int_equal(ay__inside((struct ay_slice){pb.data, pb.len}, &as_target, &in_b), 0);
	struct tree *old = tree_of(&pa), *new_ = tree_of(&pb);
	int fd = bundle_make(old, new_, &options, &res);
	AY_CLEANUP(ay_buf_release) struct ay_buf bytes = bundle_bytes(fd);
	uint64_t predicting = ay__elf_extra_memory(in_a.view.len), packing = in_b.sums.memory;
	uint64_t extra = ay_get_le64(bytes.data + 104), scratch = ay_get_le64(bytes.data + 112);
	uint64_t most = predicting > packing ? predicting : packing;
	assert_true(extra >= most && extra < most + (1u << 20));
	assert_int_equal(scratch, in_a.view.len + in_b.view.len);
	struct ay_bundle_limits limits = {.memory = res.apply_memory, .scratch_size = scratch};
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &ap, &err), 0);
	assert_int_equal(ap.records, 1);
	limits.scratch_size--;
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &ap, &err), AY_ELIMIT);
	limits.scratch_size++;
	ap.no_scratch = true;
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &ap, &err), AY_ELIMIT);
	ap.no_scratch = false;
	close(fd);
	/* A header that does not count the second file. */
	bytes.data[112] = (uint8_t)(bytes.data[112] - 1);
	assert_true(ay_get_le64(bytes.data + 112) < scratch);
	bundle_fix_checks(bytes.data, bytes.len);
	fd = bundle_fd(bytes.data, bytes.len);
	assert_int_equal(bundle_apply(fd, old, new_, &limits, &ap, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "temporary files"));
	close(fd);
	/* With hardly more memory it is found again. */
	options.apply_memory = res.apply_memory + (2u << 20);
	struct ay_make_result again;
	fd = bundle_make(old, new_, &options, &again);
	assert_int_equal(again.bundle_size, res.bundle_size);
	assert_true(again.apply_memory <= options.apply_memory);
	close(fd);
	ay_buf_release(&ap.delta);
	tree_free(old);
	tree_free(new_);
}

/* What is packed in the image stays so; what is nearly all of it does not, nor what lies behind it. */
static void spared(void **state)
{
	static const struct ay__inside_options o = {
		.target = true, .view_max = 64u << 20, .memory_max = 400u << 20, .encoders = AY_ENCODERS_ALL};
	AY_CLEANUP(ay_buf_release) struct ay_buf image = image_make(0);
	AY_CLEANUP(ay_buf_release) struct ay_buf inner = packed_make(&image, 0), small = {0}, more = {0};
	struct ay__inside in = {0};

	(void)state;
	AY_CLEANUP(ay_buf_release) struct ay_buf packed = packed_make(&image, 0);
	assert_int_equal(ay__inside((struct ay_slice){packed.data, packed.len}, &o, &in), 0);
	assert_int_equal(in.sums.filters, 1);
	ay__inside_release(&in);
	/* behind it */
	ay_put_bytes(&more, image.data, image.len);
	ay_put_bytes(&more, inner.data, inner.len);
	AY_CLEANUP(ay_buf_release) struct ay_buf packed_more = packed_make(&more, 0);
	assert_int_equal(ay__inside((struct ay_slice){packed_more.data, packed_more.len}, &o, &in), 0);
	assert_int_equal(in.sums.filters, 2);
	ay__inside_release(&in);
	/* an image that is there for what is packed in it */
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_EXEC,
			      .sections = {[1] = {.name = ".data",
						  .type = 1,
						  .flags = 3,
						  .addr = 0x1000,
						  .data = inner.data,
						  .len = inner.len}}};
	elf_kit_build(&kit, &small);
	AY_CLEANUP(ay_buf_release) struct ay_buf packed_small = packed_make(&small, 0);
	assert_int_equal(ay__inside((struct ay_slice){packed_small.data, packed_small.len}, &o, &in), 0);
	assert_int_equal(in.sums.filters, 2);
	ay__inside_release(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_well_as_unpacked),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(spared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
