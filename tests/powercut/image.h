/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/image.h - what a disk may hold after a power cut, block by block.
 *
 * At a cut behind event P of the log, everything up to the last flush before P is on the disk, and of the writes since
 * then any part: each piece of a write that lies in one block of 4 KiB is there or not (the tear). So
 *
 *     durable     blocks after the last flush; moves forward only
 *     pieces      what came since, in order
 *     chosen      a subset of them, laid over durable
 *
 * A block is a pointer to bytes that somebody owns for as long as the image lives, NULL for zeros. The sum names the
 * whole: equal sums, equal disks.
 */
#ifndef AYNI_TESTS_POWERCUT_IMAGE_H
#define AYNI_TESTS_POWERCUT_IMAGE_H

#include "tests/powercut/blocklog.h"

struct piece {
	const uint8_t *bytes; /* NULL: zeros */
	uint64_t sum;         /* of a piece that is a whole block */
	uint32_t block, off, len;
	uint32_t event;
};

struct image {
	const struct blk_log *log;
	uint64_t at; /* events taken in */
	uint32_t n_blocks;
	const uint8_t **want;
	uint64_t *sums; /* of each block's place and content */
	uint64_t sum;   /* of all */
	struct piece *pieces;
	size_t n_pieces, cap;
	/* What choosing changed, to be taken back. */
	struct undo {
		uint32_t block;
		const uint8_t *was;
		uint64_t sum;
	} * undo;
	size_t n_undo, undo_cap;
	struct arena {
		struct arena *next;
		uint8_t block[BLOCK];
	} * merged, *scratch; /* blocks that one piece fills only in part: of durable, of the chosen */
};

int image_init(struct image *im, const struct blk_log *log);
void image_release(struct image *im);
/** image_next() - take in the next event. False: there is none. What was chosen must have been taken back. */
bool image_next(struct image *im);
/**
 * image_choose() - lay the pieces with @keep[i] over what is durable; im->sum is the sum of that.
 * @torn: of this piece only the first @torn_len bytes (a drive whose sectors have 512 bytes); SIZE_MAX: of none.
 */
void image_choose(struct image *im, const bool *keep, size_t torn, uint32_t torn_len);
void image_take_back(struct image *im);

/** image_write() - make the file @fd, mapped at @map, hold what im->want says, whatever it holds now. */
void image_write(const struct image *im, int fd, uint8_t *map);

#endif
