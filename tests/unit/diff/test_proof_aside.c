/* SPDX-License-Identifier: MIT */
/* The proof of a large packed stream in a thread of its own: it changes nothing of what comes out, and when it fails nothing depends on it. */
#include "tests/unit/diff/trees.h"

#include <lzma.h>

#include "diff/proof_aside.h"

#define SIZE   (3u << 19)
#define FLUSH  (1u << 20) /* behind what is packed to see whether the parameters are right */
#define PRESET 1

/* As .xz; @flush: with an end of a chunk that no packer without it would make, when so much has been packed. */
static struct ay_buf packed(const uint8_t *data, size_t len, size_t flush)
{
	struct ay_buf out = {0};
	lzma_stream z = LZMA_STREAM_INIT;
	size_t room = lzma_stream_buffer_bound(len) + 4096;
	lzma_ret ret = LZMA_OK;

	assert_int_equal(lzma_easy_encoder(&z, PRESET, LZMA_CHECK_CRC32), LZMA_OK);
	z.next_out = ay_buf_reserve(&out, room);
	z.avail_out = room;
	z.next_in = data;
	if (flush) {
		z.avail_in = flush;
		do
			ret = lzma_code(&z, LZMA_SYNC_FLUSH);
		while (ret == LZMA_OK);
		assert_int_equal(ret, LZMA_STREAM_END);
	}
	z.avail_in = len - flush;
	do
		ret = lzma_code(&z, LZMA_FINISH);
	while (ret == LZMA_OK);
	assert_int_equal(ret, LZMA_STREAM_END);
	out.len = room - z.avail_out;
	lzma_end(&z);
	return out;
}

/* Two versions of one packed file; the new one cannot be packed again where it was flushed. Returns how the bundle fared. */
static struct ay_make_result bundle_of(size_t flush, unsigned threads, struct ay_buf *bundle)
{
	struct tree *old = tree_new(), *new_ = tree_new();
	struct ay_make_options o = {.threads = threads};
	struct ay_make_result res;
	struct ay_prng r;
	size_t len;

	ay_prng_init(&r, 11);
	uint8_t *a = bytes_code(&r, SIZE), *b = bytes_edit(&r, a, SIZE, 40, &len);
	struct ay_buf pa = packed(a, SIZE, 0), pb = packed(b, len, flush);
	tree_add(old, "/image", pa.data, pa.len);
	tree_add(new_, "/image", pb.data, pb.len);
	tree_seal(old);
	tree_seal(new_);
	int fd = bundle_make(old, new_, &o, &res);
	struct ay_bundle_limits limits = {.memory = res.apply_memory, .unpacked_size = res.unpacked_size};
	bundle_complete(fd, old, new_, &limits);
	*bundle = bundle_bytes(fd);
	close(fd);
	ay_buf_release(&pa);
	ay_buf_release(&pb);
	free(a);
	free(b);
	tree_free(old);
	tree_free(new_);
	return res;
}

static void compare_threads(size_t flush, bool packs)
{
	struct ay_buf one, two;
	struct ay_make_result alone = bundle_of(flush, 1, &one), aside = bundle_of(flush, 2, &two);

	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	assert_int_equal(alone.encoders, aside.encoders);
	assert_int_equal(aside.encoders != 0, packs);
	ay_buf_release(&one);
	ay_buf_release(&two);
}

static void test_holds(void **state)
{
	(void)state;
	compare_threads(0, true);
}

static void test_fails(void **state)
{
	(void)state;
	compare_threads(FLUSH, false);
}

static void test_taken_once(void **state)
{
	(void)state;
	struct ay__proof_aside a = {0};
	struct ay__filter_params p = {.id = AY__FILTER_LZMA2};
	struct ay_prng r;

	ay_prng_init(&r, 12);
	uint8_t *data = bytes_code(&r, SIZE);
	struct ay_slice content = {data, SIZE}, little = {data, 1000};
	lzma_options_lzma o;

	assert_false(lzma_lzma_preset(&o, PRESET));
	p.xz = (struct ay__xz_params){.props = (uint8_t)((o.pb * 5 + o.lp) * 9 + o.lc),
				      .mode = (uint8_t)o.mode,
				      .finder = (uint8_t)o.mf,
				      .nice = (uint16_t)o.nice_len,
				      .depth = (uint16_t)o.depth};
	assert_int_equal(ay__proof_aside_end(&a), 1);
	assert_false(ay__proof_aside_begin(&a, &p, little, little));
	assert_true(ay__proof_aside_begin(&a, &p, content, little));
	assert_false(ay__proof_aside_begin(&a, &p, content, little));
	assert_int_equal(ay__proof_aside_end(&a), 0);
	/* Released while it is under way. */
	assert_true(ay__proof_aside_begin(&a, &p, content, content));
	ay__proof_aside_release(&a);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_holds), cmocka_unit_test(test_fails),
					   cmocka_unit_test(test_taken_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
