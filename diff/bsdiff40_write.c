/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff40_write.c - our own operations in the words of bsdiff(1) (diff/bsdiff40.h).
 *
 * A triple moves the old file's place behind what it does, an operation of ours says its place before: so each triple's
 * z looks ahead to the next copy, and where the first does not begin at 0, a triple that does nothing else leads there.
 */
#include <bzlib.h>
#include <errno.h>
#include <string.h>

#include "diff/bsdiff40.h"

#define STEP_MAX (1u << 30) /* bytes of one triple; see ay_bsdiff40_write() */
#define CHUNK    65536

/* One block: bytes in, a bzip2 stream out. */
struct packer {
	bz_stream bz;
	bool ready;
	int rc;
	struct ay_buf out;
};

uint64_t ay_bsdiff40_memory(uint64_t old_len, uint64_t new_len)
{
	/* Operations are at least a few bytes apart; the packed blocks are hardly larger than what they hold, twice while they grow. */
	return ay_bsdiff_memory(old_len, new_len) + 3 * new_len + (32u << 20);
}

static void packer_init(struct packer *p, int level)
{
	memset(p, 0, sizeof(*p));
	p->ready = BZ2_bzCompressInit(&p->bz, level, 0, 0) == BZ_OK;
	p->rc = p->ready ? 0 : -ENOMEM;
}

static void packer_release(struct packer *p)
{
	if (p->ready)
		BZ2_bzCompressEnd(&p->bz);
	ay_buf_release(&p->out);
}

static void pack(struct packer *p, int action)
{
	int want = action == BZ_RUN ? BZ_RUN_OK : BZ_STREAM_END, got;

	do {
		uint8_t *room = p->rc == 0 ? ay_buf_reserve(&p->out, CHUNK) : NULL;

		if (!room) {
			p->rc = -ENOMEM;
			return;
		}
		p->bz.next_out = (char *)room;
		p->bz.avail_out = CHUNK;
		got = BZ2_bzCompress(&p->bz, action);
		p->out.len += CHUNK - p->bz.avail_out;
	} while (action == BZ_RUN ? p->bz.avail_in > 0 && got == want : got == BZ_FINISH_OK);
	if (got != want)
		p->rc = -EIO;
}

static void pack_bytes(struct packer *p, const uint8_t *data, size_t len)
{
	while (p->rc == 0 && len > 0) {
		size_t n = len < STEP_MAX ? len : STEP_MAX;

		p->bz.next_in = (char *)(uintptr_t)data; /* it only reads */
		p->bz.avail_in = (unsigned)n;
		pack(p, BZ_RUN);
		data += n;
		len -= n;
	}
}

static void put_number(int64_t v, uint8_t out[8])
{
	uint64_t u = v < 0 ? (uint64_t)-v | 1ull << 63 : (uint64_t)v;

	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(u >> 8 * i);
}

static void put_triple(struct packer *control, uint64_t x, uint64_t y, int64_t z)
{
	uint8_t raw[24];

	put_number((int64_t)x, raw);
	put_number((int64_t)y, raw + 8);
	put_number(z, raw + 16);
	pack_bytes(control, raw, sizeof(raw));
}

static void put_differences(struct packer *p, const uint8_t *old, const uint8_t *new_, uint64_t len)
{
	uint8_t buf[CHUNK];

	while (p->rc == 0 && len > 0) {
		size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)(new_[i] - old[i]);
		pack_bytes(p, buf, n);
		old += n;
		new_ += n;
		len -= n;
	}
}

/* All operations into the three blocks. */
static void put_ops(struct packer blocks[3], struct ay_slice old, struct ay_slice new_,
		    const struct ay_bsdiff_ops *ops)
{
	uint64_t at = 0, old_at = 0;

	for (size_t i = 0; i < ops->n; i++) {
		const struct ay_bsdiff_op *op = &ops->ops[i];
		uint64_t diff = op->diff_len, extra = op->extra_len;

		if (diff > 0 && op->old_pos != old_at)
			put_triple(&blocks[0], 0, 0, (int64_t)(op->old_pos - old_at));
		if (diff > 0)
			put_differences(&blocks[1], old.data + op->old_pos, new_.data + at, diff);
		pack_bytes(&blocks[2], new_.data + at + diff, (size_t)extra);
		at += diff + extra;
		old_at = diff > 0 ? op->old_pos + diff : old_at;
		while (diff > STEP_MAX || extra > STEP_MAX) {
			uint64_t x = diff < STEP_MAX ? diff : STEP_MAX;
			uint64_t y = diff > STEP_MAX ? 0 : extra < STEP_MAX ? extra : STEP_MAX;

			put_triple(&blocks[0], x, y, 0);
			diff -= x;
			extra -= y;
		}
		/* Where the next copy begins is told here already, if there is one. */
		int64_t z = 0;
		if (i + 1 < ops->n && ops->ops[i + 1].diff_len > 0) {
			z = (int64_t)(ops->ops[i + 1].old_pos - old_at);
			old_at = ops->ops[i + 1].old_pos;
		}
		put_triple(&blocks[0], diff, extra, z);
	}
}

static int put_patch(struct packer blocks[3], uint64_t new_len, ay_write_fn write, void *ctx)
{
	uint8_t header[AY_BSDIFF40_HEADER_SIZE];

	memcpy(header, AY_BSDIFF40_MAGIC, 8);
	put_number((int64_t)blocks[0].out.len, header + 8);
	put_number((int64_t)blocks[1].out.len, header + 16);
	put_number((int64_t)new_len, header + 24);
	int r = write(ctx, header, sizeof(header));
	for (int i = 0; r == 0 && i < 3; i++)
		r = write(ctx, blocks[i].out.data, blocks[i].out.len);
	return r;
}

int ay_bsdiff40_write(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_params *params,
		      int level, ay_write_fn write, void *ctx, struct ay_err *err)
{
	struct ay_bsdiff_ops ops = {0};
	struct packer blocks[3];
	int r = ay_bsdiff(old, new_, params, &ops);

	for (int i = 0; i < 3; i++)
		packer_init(&blocks[i], level);
	if (r == 0)
		put_ops(blocks, old, new_, &ops);
	for (int i = 0; i < 3; i++) {
		if (r == 0 && blocks[i].rc == 0)
			pack(&blocks[i], BZ_FINISH);
		r = r == 0 ? blocks[i].rc : r;
	}
	if (r < 0)
		ay_err_errno(err, -r, "make a bsdiff40 patch");
	else if ((r = put_patch(blocks, new_.len, write, ctx)) < 0)
		ay_err_set(err, r, "write a bsdiff40 patch: %s", ay_strerror(r));
	for (int i = 0; i < 3; i++)
		packer_release(&blocks[i]);
	ay_bsdiff_ops_release(&ops);
	return r;
}
