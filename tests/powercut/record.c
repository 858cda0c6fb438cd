/* SPDX-License-Identifier: MIT */
/* The layers, from below: FUSE file, loop device, file system, store. Taken down in the other order, whatever fails. */
#include "tests/powercut/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/powercut/disk.h"
#include "tests/powercut/mnt.h"
#include "tests/powercut/story.h"

struct manner manner_of(uint64_t seed)
{
	/* Often, rarely, never: a commit also flushes, and then less is left to be lost. One in four is quiet. */
	struct manner m = {.noise = seed % 4 != 3, .odds = (unsigned[]){10, 50, 0}[seed % 3]};

	if (!m.noise)
		m.odds = 0;
	m.threads = seed % 5 < 2 ? 4 : 1;
	return m;
}

struct manner manner_of_mutant(uint64_t seed, uint64_t i)
{
	switch (i % 3) {
	case 0:
		return (struct manner){.threads = 1};
	case 1:
		return (struct manner){.aimed = true, .threads = 1};
	default:
		return manner_of(seed);
	}
}

/* An empty file system becomes the disk's first content. */
static int make_base(const struct world *w, struct blk_log *log)
{
	char image[300];
	int r;

	snprintf(image, sizeof(image), "%s/mkfs", w->k.dir);
	if ((r = fs_make(log->fs, image)) < 0)
		return r;
	AY_CLOSE int fd = open(image, O_RDONLY | O_CLOEXEC);
	unlink(image);
	if (fd < 0)
		return -errno;
	for (off_t at = 0, end; (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
		end = lseek(fd, at, SEEK_HOLE);
		for (off_t done = at; done < end;) {
			ssize_t n = pread(fd, log->base + done, (size_t)(end - done), done);
			if (n <= 0)
				return -EIO;
			memcpy(log->disk + done, log->base + done, (size_t)n);
			done += n;
		}
	}
	return 0;
}

static int tell(const struct world *w, const char *mounted, struct manner manner, uint64_t seed,
		struct seam *m)
{
	struct ay_err err = {0};
	int noise = manner.noise ? noise_start(mounted, seed) : 0;
	int r = story_tell(w, mounted, manner.threads, m, seed, &err);
	noise_stop(noise);
	if (r < 0)
		fprintf(stderr, "powercut: the story does not come to its end: %s\n", err.msg);
	return r < 0 ? 1 : noise < 0 ? noise : 0;
}

static int mount_and_tell(const struct world *w, struct blk_log *log, const char *fuse, struct manner manner,
			  const char *skip, struct seam *m)
{
	char dir[300], path[320], marks[320], dev[32];
	AY_CLOSE int held = -1;

	snprintf(dir, sizeof(dir), "%s/mnt", w->k.dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/disk", fuse);
	snprintf(marks, sizeof(marks), "%s/marks", fuse);
	int r = loop_attach(path, &held, dev);
	if (r < 0 || (r = fs_mount(log->fs, dev, dir)) < 0)
		return r;
	story_store_path(dir, path, sizeof(path));
	seam_init(m, path, skip);
	snprintf(path, sizeof(path), "%s/somebody", dir);
	AY_CLOSE int other = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	AY_CLOSE int marked = open(marks, O_WRONLY | O_CLOEXEC);
	if (other < 0 || marked < 0)
		return -errno;
	m->marks = marked;
	seam_disturb(m, other, manner.odds, manner.aimed ? 4 : 0, log->seed);
	r = tell(w, dir, manner, log->seed, m);
	close(ay_steal_fd(&marked));
	close(ay_steal_fd(&other));
	int u = fs_umount(dir);
	return r != 0 ? r : u;
}

int record(const struct world *w, const char *fs, struct manner manner, uint64_t seed, const char *skip,
	   struct blk_log *log, struct seam *m)
{
	char fuse[300];

	blk_log_reset(log);
	snprintf(log->fs, sizeof(log->fs), "%s", fs);
	snprintf(log->skip, sizeof(log->skip), "%s", skip ? skip : "");
	log->seed = seed;
	snprintf(fuse, sizeof(fuse), "%s/fuse", w->k.dir);
	if (mkdir(fuse, 0700) < 0 && errno != EEXIST)
		return -errno;
	int r = make_base(w, log);
	pid_t disk = r < 0 ? r : disk_start(log, fuse);
	if (disk < 0)
		return disk;
	/*
	 * From here on the disk's process has a mount namespace to itself. Were it the last one in ours when all of us
	 * are killed, it would have to unmount the file system, and wait for the disk that it was.
	 */
	if ((r = mnt_private()) == 0)
		r = mount_and_tell(w, log, fuse, manner, skip, m);
	disk_stop(disk, fuse);
	if (r == 0 && log->full)
		r = -ENOSPC;
	/* A story has more syncs than this. Were flushes not passed on, everything after would prove nothing. */
	if (r == 0 && log->n_flushes < 40) {
		fprintf(stderr,
			"powercut: only %llu flushes in the log: the loop device does not pass them on\n",
			(unsigned long long)log->n_flushes);
		r = -EOPNOTSUPP;
	}
	return r;
}
