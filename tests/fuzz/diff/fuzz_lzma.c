/* SPDX-License-Identifier: MIT */
/*
 * Any bytes packed by our LZMA2 and by liblzma's, with any parameters that ours takes: the streams are the same to the last bit. Byte 0:
 * bits 0-2 how often the bytes are repeated, 512 times more with depth 1 (long inputs where they cost least: the window moves), bit 3 branch filter, bits 4-7
 * the size of the pieces; byte 1 lc, lp and pb; byte 2 the dictionary; byte 3 nice; byte 4 depth.
 */
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/filter_xz.h"
#include "diff/lzma_pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LEN_MAX                                                                                              \
	(640u                                                                                                \
	 << 10)    /* so that the window moves; two threads take twice as many bytes, which tests/unit has */
#define DICT_MAX 4 /* 16 KiB: smaller than those that are ours, so that the window moves soon */

static int to_buf(void *ctx, const uint8_t *data, size_t len)
{
	AY_ASSERT(len > 0);
	ay_put_bytes(ctx, data, len);
	return 0;
}

static void pack_ours(const struct ay__xz_params *x, const uint8_t *data, size_t len, size_t piece,
		      struct ay_buf *out)
{
	struct ay__lzma_pack *p = ay__lzma_pack_new(x, to_buf, out);

	AY_ASSERT(p);
	for (size_t at = 0; at < len; at += piece)
		AY_ASSERT(ay__lzma_pack_write(p, data + at, len - at < piece ? len - at : piece) == 0);
	AY_ASSERT(ay__lzma_pack_end(p) == 0);
	ay__lzma_pack_free(p);
}

static void pack_theirs(const struct ay__xz_params *x, const uint8_t *data, size_t len, struct ay_buf *out)
{
	static uint8_t buf[65536];
	lzma_stream z = LZMA_STREAM_INIT;
	struct ay__xz_chain chain;
	lzma_ret ret = LZMA_OK;

	ay__xz_chain_make(&chain, x, true);
	AY_ASSERT(lzma_raw_encoder(&z, chain.filters) == LZMA_OK);
	z.next_in = data;
	z.avail_in = len;
	while (ret == LZMA_OK) {
		z.next_out = buf;
		z.avail_out = sizeof(buf);
		ret = lzma_code(&z, LZMA_FINISH);
		ay_put_bytes(out, buf, sizeof(buf) - z.avail_out);
	}
	AY_ASSERT(ret == LZMA_STREAM_END);
	lzma_end(&z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_buf ours = {0}, theirs = {0};

	if (len < 6)
		return 0;
	struct ay__xz_params x = {.branch = data[0] >> 3 & 1,
				  .mode = 2,
				  .finder = 0x14,
				  .props = data[1] % 225,
				  .dict_code = data[2] % (DICT_MAX + 1),
				  .nice = (uint16_t)(4 + data[3] % 255 * 2 % 270),
				  .depth = data[4]};
	const size_t piece = (size_t)4 << (data[0] >> 4),
		     times = ((size_t)1 << (data[0] & 7) / 2) * (data[4] == 1 ? 512 : 1);

	if (x.props % 9 + x.props / 9 % 5 > 4)
		x.props = 93;
	data += 5, len -= 5;
	const size_t all = len * times < LEN_MAX ? len * times : LEN_MAX;
	uint8_t *content = malloc(all);
	AY_ASSERT(content);
	/* Not all alike, but for a few. */
	for (size_t i = 0; i < all; i++)
		content[i] = (uint8_t)(data[i % len] ^ (i / len & 3 ? 0 : i / len));
	pack_ours(&x, content, all, piece, &ours);
	pack_theirs(&x, content, all, &theirs);
	AY_ASSERT(ours.len == theirs.len && memcmp(ours.data, theirs.data, ours.len) == 0);
	ay_buf_release(&ours);
	ay_buf_release(&theirs);
	free(content);
	return 0;
}
