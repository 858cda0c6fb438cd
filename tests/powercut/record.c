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
	m.killed = seed / 2 % 2;
	return m;
}

struct manner manner_of_mutant(uint64_t seed, uint64_t i)
{
	switch (i % 3) {
	case 0:
		return (struct manner){.killed = true, .threads = 1};
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

/* The disk's process is there; @tell is told where the file system on it is mounted. */
static int mount_and_tell(const struct world *w, struct blk_log *log, const char *fuse, record_story *tell,
			  void *ctx)
{
	char dir[300], path[320], dev[32];
	AY_CLOSE int held = -1;

	snprintf(dir, sizeof(dir), "%s/mnt", w->k.dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/disk", fuse);
	int r = loop_attach(path, &held, dev);
	if (r < 0 || (r = fs_mount(log->fs, dev, dir)) < 0)
		return r;
	snprintf(path, sizeof(path), "%s/marks", fuse);
	int marks = open(path, O_WRONLY | O_CLOEXEC);
	r = marks < 0 ? -errno : tell(ctx, dir, marks);
	if (marks >= 0)
		close(marks);
	int u = fs_umount(dir);
	return r != 0 ? r : u;
}

int record_story_of(const struct world *w, const char *fs, record_story *tell, void *ctx, struct blk_log *log)
{
	char fuse[300];

	blk_log_reset(log);
	snprintf(log->fs, sizeof(log->fs), "%s", fs);
	log->skip[0] = '\0';
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
		r = mount_and_tell(w, log, fuse, tell, ctx);
	disk_stop(disk, fuse);
	return r == 0 && log->full ? -ENOSPC : r;
}

/* ---- the store's story ---- */

struct stage {
	const struct world *w;
	const struct manner *manner;
	uint64_t seed;
	const char *skip;
	struct seam *m;
};

static int tell_store(void *ctx, const char *mounted, int marks)
{
	const struct stage *s = ctx;
	struct ay_err err = {0};
	char path[320];

	story_store_path(mounted, path, sizeof(path));
	seam_init(s->m, path, s->skip);
	snprintf(path, sizeof(path), "%s/somebody", mounted);
	AY_CLOSE int other = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (other < 0)
		return -errno;
	s->m->marks = marks;
	seam_disturb(s->m, other, s->manner->odds, s->manner->aimed ? 4 : 0, s->seed);
	int noise = s->manner->noise ? noise_start(mounted, s->seed) : 0;
	int r = story_tell(s->w, mounted, s->manner, s->m, s->seed, &err);
	noise_stop(noise);
	if (r < 0)
		fprintf(stderr, "powercut: the story does not come to its end: %s\n", err.msg);
	return r < 0 ? 1 : noise < 0 ? noise : 0;
}

int record(const struct world *w, const char *fs, struct manner manner, uint64_t seed, const char *skip,
	   struct blk_log *log, struct seam *m)
{
	struct stage s = {.w = w, .manner = &manner, .seed = seed, .skip = skip, .m = m};

	log->seed = seed;
	int r = record_story_of(w, fs, tell_store, &s, log);
	snprintf(log->skip, sizeof(log->skip), "%s", skip ? skip : "");
	/* A story has more syncs than this. Were flushes not passed on, everything after would prove nothing. */
	if (r == 0 && log->n_flushes < 40) {
		fprintf(stderr,
			"powercut: only %llu flushes in the log: the loop device does not pass them on\n",
			(unsigned long long)log->n_flushes);
		r = -EOPNOTSUPP;
	}
	return r;
}
