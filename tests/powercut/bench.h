/* SPDX-License-Identifier: MIT */
/* tests/powercut/bench.h - one worker's disk: a file in memory, a loop device on it, a place to mount it. */
#ifndef AYNI_TESTS_POWERCUT_BENCH_H
#define AYNI_TESTS_POWERCUT_BENCH_H

#include "tests/powercut/image.h"
#include "tests/powercut/world.h"

struct bench {
	const struct world *w;
	const char *fs;
	const char
		*run; /* a command for the shell, run in the mounted file system before the store is opened */
	/* What is looked at instead of a store, of another story than the store's; NULL: a store. */
	void (*look)(const char *mounted, struct ay_buf *facts);
	int fd, held;
	uint64_t size;
	uint8_t *map;
	char dev[32], dir[300];
	struct ay_buf facts;
};

int bench_init(struct bench *b, const struct world *w, const struct blk_log *log, unsigned id);
void bench_release(struct bench *b);
/**
 * bench_look() - b->facts becomes what is found on the disk that @im says.
 * @second_run: go on from there, too.
 * Return: 0; 1 the file system did not mount; -errno.
 */
int bench_look(struct bench *b, const struct image *im, bool second_run);

#endif
