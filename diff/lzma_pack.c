/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_pack.c - the branch filter, then LZMA2's chunks (after liblzma: XZ Utils, Igor Pavlov and Lasse Collin; public
 * domain).
 */
#include "diff/lzma_pack.h"

#include <stdlib.h>

#include "diff/filter_xz.h"
#include "diff/lzma_model.h"

#define UNPACKED_MAX (1u << 21) /* of a chunk */
#define HEAD_MAX     6
#define BUFFER       (64u << 10)
#define BACKLOG      (1u << 20) /* bytes that the finder may be given before its matches are asked for */
#define DICT_LEAST   (8u << 20) /* below, it would take more memory than liblzma, which is what is declared */

/* Branch filter x86: distances of calls and jumps become addresses. */
struct x86 {
	uint32_t at, mask, last;
};

struct ay__lzma_pack {
	struct ay__lzma z;
	ay__put_fn *put;
	void *ctx;
	bool needs_props, needs_state, needs_dict, in_chunk;
	uint8_t props;
	uint32_t unpacked; /* bytes of the chunk */
	struct x86 x86;
	uint8_t *buffer; /* what the filter has not done yet; NULL: there is none */
	size_t buffered;
};

bool ay__lzma_pack_can(const struct ay__xz_params *x)
{
	const unsigned lc = x->props % 9, lp = x->props / 9 % 5;

	return x->branch <= 1 && x->mode == 2 && x->finder == 0x14 && x->nice >= 4 &&
	       x->nice <= AY__LZMA_MATCH_MAX && lc + lp <= 4 && ay__xz_dict(x) >= DICT_LEAST &&
	       ay__xz_dict(x) <= 1u << 30;
}

struct ay__lzma_pack *ay__lzma_pack_new(const struct ay__xz_params *x, ay__put_fn *put, void *ctx)
{
	struct ay__lzma_pack *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->put = put;
	p->ctx = ctx;
	p->props = x->props;
	p->needs_props = p->needs_dict = true;
	p->z.find = ay__lzma_find_new(ay__xz_dict(x), x->nice, x->depth);
	p->buffer = x->branch ? malloc(BUFFER) : NULL;
	if (!p->z.find || (x->branch && !p->buffer)) {
		ay__lzma_pack_free(p);
		return NULL;
	}
	p->x86.last = (uint32_t)-5;
	p->z.v = ay__lzma_find_view(p->z.find);
	p->z.lc = x->props % 9;
	p->z.lp = x->props / 9 % 5;
	p->z.pb = x->props / 45;
	while (1u << p->z.slots < ay__xz_dict(x))
		p->z.slots++;
	p->z.slots *= 2;
	ay__lzma_reset(&p->z);
	return p;
}

void ay__lzma_pack_free(struct ay__lzma_pack *p)
{
	if (!p)
		return;
	ay__lzma_find_free(p->z.find);
	free(p->buffer);
	free(p);
}

/* ---- chunks ---- */

/* Symbols up to the chunk's end: true; or up to where more bytes must come first. */
static bool symbols(struct ay__lzma *z, uint32_t end, uint32_t limit)
{
	struct ay__lzma_view *v = z->v;

	if (!z->begun) {
		if (v->at >= limit)
			return false;
		ay__lzma_find_skip(z->find, 1);
		v->ahead = 0;
		ay__lzma_put_first(z, v->bytes[0]);
		z->begun = true;
	}
	while (v->at - v->ahead < end && z->rc.n + z->rc.cache_size + 4 < CHUNK_MAX - (AY__LZMA_OPTS + 1)) {
		uint32_t back, len;

		if (v->at >= limit && !v->finish)
			return false;
		if (v->at >= limit && v->ahead == 0)
			break;
		ay__lzma_choose(z, &back, &len);
		ay__lzma_put(z, back, len);
	}
	ay__lzma_flush(z);
	return true;
}

static int chunk_put(struct ay__lzma_pack *p)
{
	struct ay__lzma *z = &p->z;
	const uint32_t size = p->unpacked - 1, packed = (uint32_t)z->rc.n - 1;
	const unsigned what = p->needs_dict ? 3 : p->needs_props ? 2 : p->needs_state ? 1 : 0;
	const uint8_t head[HEAD_MAX] = {(uint8_t)(0x80 + (what << 5) + (size >> 16)),
					(uint8_t)(size >> 8),
					(uint8_t)size,
					(uint8_t)(packed >> 8),
					(uint8_t)packed,
					p->props};
	int rc = p->put(p->ctx, head, p->needs_props ? 6 : 5);

	p->needs_dict = p->needs_props = p->needs_state = false;
	return rc ? rc : p->put(p->ctx, z->rc.out, z->rc.n);
}

/* What did not get smaller is stored as it is, and what was chosen beyond it forgotten. */
static int chunk_store(struct ay__lzma_pack *p)
{
	struct ay__lzma_view *v = p->z.v;
	const uint32_t size = p->unpacked + v->ahead;
	const uint8_t head[3] = {p->needs_dict ? 1 : 2, (uint8_t)((size - 1) >> 8), (uint8_t)(size - 1)};
	int rc = p->put(p->ctx, head, 3);

	v->ahead = 0;
	p->needs_dict = false;
	p->needs_state = true;
	return rc ? rc : p->put(p->ctx, v->bytes + v->at - size, size);
}

/* Pack up to place @limit of the window. */
static int chunks(struct ay__lzma_pack *p, uint32_t limit)
{
	struct ay__lzma *z = &p->z;
	struct ay__lzma_view *v = z->v;

	while (v->write - v->at + v->ahead > 0) {
		if (!p->in_chunk) {
			if (p->needs_state)
				ay__lzma_reset(z);
			p->in_chunk = true;
			p->unpacked = 0;
			z->rc.n = 0;
		}
		const uint32_t left = UNPACKED_MAX - p->unpacked, start = v->at - v->ahead;
		const bool done =
			symbols(z, left < AY__LZMA_MATCH_MAX ? 0 : start + left - AY__LZMA_MATCH_MAX, limit);
		p->unpacked += v->at - v->ahead - start;
		if (!done)
			return 0;
		p->in_chunk = false;
		int rc = z->rc.n >= p->unpacked ? chunk_store(p) : chunk_put(p);
		if (rc)
			return rc;
	}
	return 0;
}

static int feed(struct ay__lzma_pack *p, const uint8_t *data, size_t len)
{
	struct ay__lzma_view *v = p->z.v;

	while (len > 0) {
		const size_t n = ay__lzma_find_put(p->z.find, data, len);

		data += n;
		len -= n;
		int rc = chunks(p, len > 0 ? v->limit : v->limit > BACKLOG ? v->limit - BACKLOG : 0);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- the branch filter ---- */

/* Return: how many of the bytes are done; the last four wait for what comes. */
static size_t x86_filter(struct x86 *x, uint8_t *buf, size_t size)
{
	static const bool allowed[8] = {true, true, true, false, true, false, false, false};
	static const uint8_t bit_of[8] = {0, 1, 2, 2, 3, 3, 3, 3};
	size_t i = 0;

	if (size < 5)
		return 0;
	if (x->at - x->last > 5)
		x->last = x->at - 5;
	while (i <= size - 5) {
		if ((buf[i] & 0xfe) != 0xe8) {
			i++;
			continue;
		}
		const uint32_t here = x->at + (uint32_t)i, offset = here - x->last;
		const uint8_t top = buf[i + 4];
		x->last = here;
		if (offset > 5)
			x->mask = 0;
		for (uint32_t k = 0; offset <= 5 && k < offset; k++)
			x->mask = (x->mask & 0x77) << 1;
		if ((top != 0 && top != 0xff) || !allowed[x->mask >> 1 & 7] || x->mask >> 1 >= 0x10) {
			i++;
			x->mask |= top == 0 || top == 0xff ? 0x11 : 1;
			continue;
		}
		uint32_t src = ay_get_le32(buf + i + 1), dest;
		for (;;) {
			dest = src + here + 5;
			if (x->mask == 0)
				break;
			const uint32_t shift = bit_of[x->mask >> 1] * 8u;
			const uint8_t b = (uint8_t)(dest >> (24 - shift));
			if (b != 0 && b != 0xff)
				break;
			src = dest ^ ((1u << (32 - shift)) - 1);
		}
		buf[i + 1] = (uint8_t)dest;
		buf[i + 2] = (uint8_t)(dest >> 8);
		buf[i + 3] = (uint8_t)(dest >> 16);
		buf[i + 4] = dest >> 24 & 1 ? 0xff : 0;
		i += 5;
		x->mask = 0;
	}
	x->at += (uint32_t)i;
	return i;
}

int ay__lzma_pack_write(struct ay__lzma_pack *p, const uint8_t *data, size_t len)
{
	if (!p->buffer)
		return feed(p, data, len);
	while (len > 0) {
		const size_t room = BUFFER - p->buffered, n = len < room ? len : room;

		memcpy(p->buffer + p->buffered, data, n);
		p->buffered += n;
		data += n;
		len -= n;
		const size_t done = x86_filter(&p->x86, p->buffer, p->buffered);
		int rc = feed(p, p->buffer, done);
		if (rc)
			return rc;
		p->buffered -= done;
		memmove(p->buffer, p->buffer + done, p->buffered);
	}
	return 0;
}

int ay__lzma_pack_end(struct ay__lzma_pack *p)
{
	static const uint8_t end = 0;
	int rc = p->buffered ? feed(p, p->buffer, p->buffered) : 0;

	p->buffered = 0;
	ay__lzma_find_end(p->z.find);
	if (rc == 0)
		rc = chunks(p, p->z.v->limit);
	return rc ? rc : p->put(p->ctx, &end, 1);
}
