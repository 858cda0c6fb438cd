/* SPDX-License-Identifier: MIT */
/* Images as arrays of pointers: a state costs what differs, not what a disk holds. */
#include "tests/powercut/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static const uint8_t zeros[BLOCK];

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xbf58476d1ce4e5b9ull);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Of place and content; 0 for zeros, so that an empty disk sums to 0. */
static uint64_t block_sum(uint32_t block, const uint8_t *bytes)
{
	uint64_t h = mix(block + 1, 0x94d049bb133111ebull), v[4];

	if (!bytes)
		return 0;
	for (size_t i = 0; i < BLOCK; i += sizeof(v)) {
		memcpy(v, bytes + i, sizeof(v));
		h = mix(h ^ v[0], v[1]) + mix(v[2] ^ 0x2545f4914f6cdd1dull, h ^ v[3]);
	}
	return h;
}

static const uint8_t *or_null(const uint8_t *bytes)
{
	return memcmp(bytes, zeros, BLOCK) == 0 ? NULL : bytes;
}

static void *grow(void *p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return p;
	*cap = need * 2 + 64;
	p = realloc(p, *cap * size);
	AY_ASSERT(p);
	return p;
}

int image_init(struct image *im, const struct blk_log *log)
{
	memset(im, 0, sizeof(*im));
	im->log = log;
	im->n_blocks = (uint32_t)(log->disk_size / BLOCK);
	im->want = calloc(im->n_blocks, sizeof(*im->want));
	im->sums = calloc(im->n_blocks, sizeof(*im->sums));
	if (!im->want || !im->sums)
		return -ENOMEM;
	for (uint32_t i = 0; i < im->n_blocks; i++) {
		im->want[i] = or_null(log->base + (uint64_t)i * BLOCK);
		im->sum ^= im->sums[i] = block_sum(i, im->want[i]);
	}
	return 0;
}

static void arena_free(struct arena **a)
{
	while (*a) {
		struct arena *next = (*a)->next;
		free(*a);
		*a = next;
	}
}

void image_release(struct image *im)
{
	arena_free(&im->merged);
	arena_free(&im->scratch);
	free(im->want);
	free(im->sums);
	free(im->pieces);
	free(im->undo);
}

static void set_block(struct image *im, uint32_t block, const uint8_t *bytes, uint64_t sum)
{
	im->sum ^= im->sums[block] ^ sum;
	im->sums[block] = sum;
	im->want[block] = bytes;
}

/* A whole block is borrowed from the log, what fills one only in part is merged in a new block of @a. */
static void lay_over(struct image *im, const struct piece *p, struct arena **a)
{
	if (p->len == BLOCK) {
		set_block(im, p->block, p->bytes, p->sum);
		return;
	}
	struct arena *n = malloc(sizeof(*n));
	AY_ASSERT(n);
	n->next = *a;
	*a = n;
	const uint8_t *old = im->want[p->block];
	memcpy(n->block, old ? old : zeros, BLOCK);
	memcpy(n->block + p->off, p->bytes ? p->bytes : zeros, p->len);
	const uint8_t *bytes = or_null(n->block);
	set_block(im, p->block, bytes, block_sum(p->block, bytes));
}

static void cut_into_pieces(struct image *im, const struct blk_event *e, uint32_t event)
{
	const uint8_t *bytes = e->kind == BLK_WRITE ? im->log->data + e->data : NULL;

	for (uint32_t done = 0; done < e->len;) {
		uint64_t at = e->off + done;
		uint32_t off = (uint32_t)(at % BLOCK), len = BLOCK - off;
		if (len > e->len - done)
			len = e->len - done;
		struct piece p = {.bytes = bytes ? bytes + done : NULL,
				  .block = (uint32_t)(at / BLOCK),
				  .off = off,
				  .len = len,
				  .event = event};
		if (len == BLOCK) {
			p.bytes = p.bytes ? or_null(p.bytes) : NULL;
			p.sum = block_sum(p.block, p.bytes);
		}
		im->pieces = grow(im->pieces, &im->cap, im->n_pieces + 1, sizeof(*im->pieces));
		im->pieces[im->n_pieces++] = p;
		done += len;
	}
}

bool image_next(struct image *im)
{
	AY_ASSERT(im->n_undo == 0);
	if (im->at == im->log->n)
		return false;
	const struct blk_event *e = &im->log->events[im->at];
	if (e->kind == BLK_WRITE || e->kind == BLK_TRIM)
		cut_into_pieces(im, e, (uint32_t)im->at);
	if (e->kind == BLK_FLUSH) {
		for (size_t i = 0; i < im->n_pieces; i++)
			lay_over(im, &im->pieces[i], &im->merged);
		im->n_pieces = 0;
	}
	im->at++;
	return true;
}

void image_choose(struct image *im, const bool *keep, size_t torn, uint32_t torn_len)
{
	for (size_t i = 0; i < im->n_pieces; i++) {
		struct piece cut = im->pieces[i], *p = &cut;
		if (!keep[i])
			continue;
		if (i == torn && torn_len < cut.len)
			cut.len = torn_len;
		im->undo = grow(im->undo, &im->undo_cap, im->n_undo + 1, sizeof(*im->undo));
		im->undo[im->n_undo++] = (struct undo){
			.block = p->block, .was = im->want[p->block], .sum = im->sums[p->block]};
		lay_over(im, p, &im->scratch);
	}
}

void image_take_back(struct image *im)
{
	while (im->n_undo > 0) {
		const struct undo *u = &im->undo[--im->n_undo];
		set_block(im, u->block, u->was, u->sum);
	}
	arena_free(&im->scratch);
}

void image_write(const struct image *im, int fd, uint8_t *map)
{
	off_t size = (off_t)im->log->disk_size;

	for (off_t at = 0; at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole = data < 0 ? size : lseek(fd, data, SEEK_HOLE);
		if (data < 0)
			data = size;
		for (uint32_t i = (uint32_t)(at / BLOCK); i < data / BLOCK; i++) {
			if (im->want[i])
				memcpy(map + (uint64_t)i * BLOCK, im->want[i], BLOCK);
		}
		for (uint32_t i = (uint32_t)(data / BLOCK); i < hole / BLOCK; i++) {
			const uint8_t *want = im->want[i] ? im->want[i] : zeros;
			if (memcmp(map + (uint64_t)i * BLOCK, want, BLOCK) != 0)
				memcpy(map + (uint64_t)i * BLOCK, want, BLOCK);
		}
		at = hole;
	}
}
