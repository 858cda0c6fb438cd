/* SPDX-License-Identifier: MIT */
/* Packing with zstd and liblzma takes no more memory than is charged for it: what a bundle declares is computed from that (diff/recipe.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <zstd.h>

#include "diff/filter_xz.h"
#include "diff/packer.h"
#include "diff/recipe.h"

#define DATA    (5u << 19)     /* what is packed: more than one job of a small window */
#define TOO_BIG (400ull << 20) /* is not tried: nobody declares so much, and the machine may not have it */

static int put_nowhere(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
	return 0;
}

/* Bytes that libzstd has for the packer after @DATA bytes. */
static size_t taken(const struct ay__filter_params *p, const uint8_t *data)
{
	struct ay__packer packer;
	struct ay_err err = {0};
	size_t n = p->zstd.sized && p->zstd.size < DATA ? (size_t)p->zstd.size : DATA;

	if (ay__packer_open(&packer, p, put_nowhere, NULL, &err) || ay__packer_write(&packer, data, n, &err))
		fail_msg("%s", err.msg);
	size_t size = ZSTD_sizeof_CCtx(packer.state);
	/* Where more was said to come it does not end well. */
	if (ay__packer_end(&packer, &err) == 0 && ZSTD_sizeof_CCtx(packer.state) > size)
		size = ZSTD_sizeof_CCtx(packer.state);
	ay__packer_close(&packer);
	return size;
}

static void test_zstd_memory(void **state)
{
	static const int8_t levels[] = {-7, -1, 1,  2,  3,  4,  5,  7,  8,  9,
					10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
	static const struct {
		uint8_t window_log;
		bool set;
		uint64_t size; /* 0: not known */
	} windows[] = {{10, false, 0}, {10, false, 100000}, {10, false, 8u << 20},
		       {17, true, 0},  {22, true, 0},       {22, false, 0}};
	uint8_t *data = calloc(1, DATA);
	unsigned tried = 0;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < DATA; i += 97)
		data[i] = (uint8_t)(i >> 9);
	for (unsigned l = 0; l < sizeof(levels); l++) {
		for (unsigned v = 0; v < 4 * sizeof(windows) / sizeof(windows[0]); v++) {
			struct ay__filter_params p = {.id = AY__FILTER_ZSTD};

			p.zstd = (struct ay__zstd_params){.level = levels[l],
							  .window_log = windows[v / 4].window_log,
							  .window_set = windows[v / 4].set,
							  .sized = windows[v / 4].size != 0,
							  .size = windows[v / 4].size,
							  .long_ = v & 1,
							  .worker = v & 2};
			uint64_t charge = ay__filter_memory(&p, true);
			if (charge > TOO_BIG)
				continue;
			size_t size = taken(&p, data);
			if (size > charge)
				print_error("level %d, window %u%s, size %llu%s%s: %zu bytes, charged %llu",
					    levels[l], p.zstd.window_log, p.zstd.window_set ? " set" : "",
					    (unsigned long long)p.zstd.size, p.zstd.long_ ? ", long" : "",
					    p.zstd.worker ? ", worker" : "", size,
					    (unsigned long long)charge);
			tried++;
		}
	}
	assert_true(tried > 300);
	free(data);
}

/* liblzma says itself what a filter needs; it allocates what it says. */
static void test_lzma_memory(void **state)
{
	static const uint8_t finders[] = {LZMA_MF_HC3, LZMA_MF_HC4, LZMA_MF_BT2, LZMA_MF_BT3, LZMA_MF_BT4};
	unsigned bad = 0;

	(void)state;
	for (uint8_t code = 0; code <= AY__XZ_DICT_CODE_MAX; code++) {
		struct ay__filter_params p = {.id = AY__FILTER_LZMA2, .xz = {.dict_code = code}};
		struct ay__xz_chain chain;
		ay__xz_chain_make(&chain, &p.xz, false);
		uint64_t size = lzma_raw_decoder_memusage(chain.filters), most = 0;
		uint64_t charge = ay__filter_memory(&p, false);
		assert_true(size != UINT64_MAX && size > 0);
		bad += size > charge;
		if (size > charge)
			print_error("dictionary %u: unpacking needs %llu, charged %llu\n", code,
				    (unsigned long long)size, (unsigned long long)charge);
		for (unsigned f = 0; f < 4 * sizeof(finders); f++) {
			p.xz.finder = finders[f / 4];
			p.xz.mode = f & 1 ? LZMA_MODE_NORMAL : LZMA_MODE_FAST;
			p.xz.branch = f & 2 ? 8 : 0;
			p.xz.props = 93; /* lc 3, lp 0, pb 2: as xz */
			p.xz.nice = 273;
			ay__xz_chain_make(&chain, &p.xz, true);
			size = lzma_raw_encoder_memusage(chain.filters);
			charge = ay__filter_memory(&p, true);
			assert_true(size != UINT64_MAX && size > 0);
			most = size > most ? size : most;
			bad += size > charge;
			if (size > charge)
				print_error("dictionary %u, match finder %u, mode %u: needs %llu, charged "
					    "%llu\n",
					    code, p.xz.finder, p.xz.mode, (unsigned long long)size,
					    (unsigned long long)charge);
		}
		/* And not much more, for machines refuse by it; above 32 MiB liblzma halves its table, which is not reckoned with. */
		assert_true(charge < most + (8u << 20) || code > 26);
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_zstd_memory),
					   cmocka_unit_test(test_lzma_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
