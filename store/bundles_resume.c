/* SPDX-License-Identifier: MIT */
/*
 * Resuming a partial bundle from files that may hold anything.
 *
 * The log of hash blocks is in the order of arrival, and a power cut may have
 * lost any part of it; so it is read once per level, from the top, and a record
 * counts only when the one above it does. Its length is bounded by the number of
 * hash blocks that the size allows, whatever the file's own length says.
 *
 * Data is checked piece by piece. Pieces without a known hash block and holes are
 * not read at all, so that resuming costs what was had, not what is to come.
 */
#include "store/bundles_resume.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/hash_pool.h"

#define BLOCKS_PER_PIECE   (AY_PIECE_SIZE / AY_BLOCK_SIZE)
#define PIECES_PER_THREAD  16 /* 8 MiB: below that a thread costs more than it saves */
#define RESUME_THREADS_MAX 8

void ay__hash_record(unsigned level, uint64_t index, const uint8_t *block, uint8_t out[AY__HASH_RECORD])
{
	for (unsigned i = 0; i < 4; i++) {
		out[i] = (uint8_t)((uint64_t)level >> (8 * i));
		out[4 + i] = (uint8_t)(index >> (8 * i));
	}
	memcpy(out + 8, block, AY_LEAF_SIZE);
}

static uint64_t all_hash_blocks(const struct ay_merkle *m)
{
	uint64_t n = 0;
	for (unsigned level = 0; level < ay_merkle_levels(m); level++)
		n += ay_merkle_width(m, level);
	return n;
}

/* All @len bytes at @offset. 1, 0 when the file ends before, -errno. */
static int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		got += (size_t)n;
	}
	return 1;
}

int ay__hash_log_read(int fd, struct ay_merkle *m, uint64_t *len, bool *clean)
{
	uint64_t max = all_hash_blocks(m), known = 0, records;
	uint8_t record[AY__HASH_RECORD];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	records = (uint64_t)st.st_size / AY__HASH_RECORD;
	*clean = records <= max;
	if (records > max)
		records = max;
	for (unsigned level = ay_merkle_levels(m); level-- > 0;) {
		for (uint64_t i = 0; i < records; i++) {
			int rc = read_at(fd, record, 4, i * AY__HASH_RECORD);
			if (rc > 0 && ay_get_le32(record) == level)
				rc = read_at(fd, record, sizeof(record), i * AY__HASH_RECORD);
			else if (rc > 0)
				continue;
			if (rc < 0)
				return rc;
			uint64_t index = ay_get_le32(record + 4);
			if (rc == 0 || ay_merkle_has(m, level, index))
				continue;
			rc = ay_merkle_add(m, level, index, record + 8);
			if (rc == -ENOMEM)
				return rc;
			known += rc == 0;
		}
	}
	if (known != records)
		*clean = false;
	*len = records * AY__HASH_RECORD;
	return 0;
}

void ay__hash_log_write(const struct ay_merkle *m, struct ay_buf *out)
{
	for (unsigned level = ay_merkle_levels(m); level-- > 0;) {
		for (uint64_t i = 0; i < ay_merkle_width(m, level); i++) {
			const uint8_t *block = ay_merkle_get(m, level, i);
			uint8_t *room = block ? ay_buf_reserve(out, AY__HASH_RECORD) : NULL;
			if (!room)
				continue;
			ay__hash_record(level, i, block, room);
			out->len += AY__HASH_RECORD;
		}
	}
}

/* The pieces [first, end) for one thread; bits of different pieces never share a byte. */
struct share {
	int fd;
	const struct ay_merkle *m;
	uint8_t *bitmap;
	uint64_t first, end, had;
	int rc;
	pthread_t thread;
	bool started;
};
_Static_assert(BLOCKS_PER_PIECE == 8, "one piece is one byte of the bitmap");

/* Is there any data of the piece in the file? File systems that cannot tell say yes. */
static bool piece_has_data(int fd, uint64_t piece)
{
	off_t start = (off_t)(piece * AY_PIECE_SIZE);
	off_t data = lseek(fd, start, SEEK_DATA);
	return data < 0 ? errno != ENXIO : data < start + AY_PIECE_SIZE;
}

static void *resume_share(void *arg)
{
	struct share *s = arg;
	uint64_t size = ay_merkle_size(s->m);
	AY_FREE uint8_t *buf = malloc(AY_BLOCK_SIZE);

	s->rc = buf ? 0 : -ENOMEM;
	for (uint64_t piece = s->first; buf && piece < s->end; piece++) {
		if ((ay_merkle_levels(s->m) > 0 && !ay_merkle_has(s->m, 0, piece)) ||
		    !piece_has_data(s->fd, piece))
			continue;
		for (unsigned i = 0; i < BLOCKS_PER_PIECE; i++) {
			uint64_t block = piece * BLOCKS_PER_PIECE + i;
			uint32_t len = ay_block_len(size, block);
			if (len == 0 || read_at(s->fd, buf, len, block * AY_BLOCK_SIZE) <= 0 ||
			    ay_merkle_check(s->m, block * AY_BLOCK_SIZE, buf, len) < 0)
				continue;
			s->bitmap[piece] |= (uint8_t)(1u << i);
			s->had++;
		}
	}
	return NULL;
}

int ay__resume_blocks(int fd, const struct ay_merkle *m, uint8_t *bitmap, uint64_t *n_had)
{
	uint64_t size = ay_merkle_size(m), pieces = size / AY_PIECE_SIZE + (size % AY_PIECE_SIZE != 0);
	struct share shares[RESUME_THREADS_MAX];
	uint64_t n = ay__cpu_count();
	int rc = 0;

	if (n > RESUME_THREADS_MAX)
		n = RESUME_THREADS_MAX;
	if (n > pieces / PIECES_PER_THREAD + 1)
		n = pieces / PIECES_PER_THREAD + 1;
	for (uint64_t i = 0; i < n; i++) {
		struct share *s = &shares[i];
		*s = (struct share){.fd = fd,
				    .m = m,
				    .bitmap = bitmap,
				    .first = pieces * i / n,
				    .end = pieces * (i + 1) / n};
		s->started = i + 1 < n && pthread_create(&s->thread, NULL, resume_share, s) == 0;
		if (!s->started)
			resume_share(s); /* the last share, or no thread to be had */
	}
	*n_had = 0;
	for (uint64_t i = 0; i < n; i++) {
		if (shares[i].started)
			pthread_join(shares[i].thread, NULL);
		*n_had += shares[i].had;
		if (shares[i].rc < 0)
			rc = shares[i].rc;
	}
	return rc;
}
