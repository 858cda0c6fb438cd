/* SPDX-License-Identifier: MIT */
/* Mount, look, unmount; what the mount changed is put right when the next image is written. */
#include "tests/powercut/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/powercut/facts.h"
#include "tests/powercut/mnt.h"
#include "tests/powercut/story.h"

int bench_init(struct bench *b, const struct world *w, const struct blk_log *log, unsigned id)
{
	char file[320];

	*b = (struct bench){.w = w, .fs = log->fs, .fd = -1, .held = -1, .size = log->disk_size};
	snprintf(b->dir, sizeof(b->dir), "%s/look-%u", w->k.dir, id);
	snprintf(file, sizeof(file), "%s/disk-%u", w->k.dir, id);
	if (mkdir(b->dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	/* After a power cut the machine has been started anew; some of what a store does depends on that. */
	int r = mnt_private();
	if (r < 0 || (r = mnt_other_boot(file)) < 0)
		return r;
	unlink(file);
	b->fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (b->fd < 0 || ftruncate(b->fd, (off_t)b->size) < 0)
		return -errno;
	b->map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	if (b->map == MAP_FAILED)
		return -errno;
	r = loop_attach(file, &b->held, b->dev);
	unlink(file); /* the loop device holds it; nothing is left when we die */
	return r;
}

void bench_release(struct bench *b)
{
	if (b->map && b->map != MAP_FAILED)
		munmap(b->map, b->size);
	if (b->held >= 0)
		close(b->held);
	if (b->fd >= 0)
		close(b->fd);
	rmdir(b->dir);
	ay_buf_release(&b->facts);
}

/* What may not be there any more is told among the first facts. */
static void look_again(struct bench *b, const char *path, const char *when, bool damage_is_old)
{
	struct ay_buf after = {0};

	facts_of(b->w, path, true, &after);
	const char *text = ay_buf_cstr(&after);
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		if (strncmp(line, "bad ", 4) == 0 || (!damage_is_old && strncmp(line, "damaged:", 8) == 0))
			ay_put_fmt(&b->facts, "bad after %s: %.*s\n", when, (int)n, line);
		line += n + (line[n] == '\n');
	}
	if (!strstr(text, "current:b 3\n") || !strstr(text, "tree:b:3 there\n"))
		ay_put_fmt(&b->facts, "bad after %s: serial 3 is not current\n", when);
	ay_buf_release(&after);
}

/*
 * First without healing: an object that lost its content in the cut, and is of the right size and time, shows itself in the next
 * tree that links it. Where a stranger has damaged one before, that goes on into the next tree too.
 */
static void finish(struct bench *b, const char *path)
{
	bool damaged = strstr(ay_buf_cstr(&b->facts), "\ndamaged:") != NULL;
	struct ay_err err = {0};

	if (story_go_on(b->w, b->dir, &err) < 0) {
		ay_put_fmt(&b->facts, "bad %s\n", err.msg);
		return;
	}
	look_again(b, path, "going on", damaged);
	if (story_heal_all(b->w, b->dir, &err) < 0)
		ay_put_fmt(&b->facts, "bad %s\n", err.msg);
	else
		look_again(b, path, "the second run", false);
}

static void run_in(const char *dir, const char *command)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		if (chdir(dir) == 0)
			execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

int bench_look(struct bench *b, const struct image *im, bool second_run)
{
	char path[320];

	image_write(im, b->fd, b->map);
	ioctl(b->held, BLKFLSBUF, 0); /* nothing of the disk before this one may be remembered */
	int r = fs_mount(b->fs, b->dev, b->dir);
	if (r < 0) {
		ay_buf_reset(&b->facts);
		ay_put_fmt(&b->facts, "unmountable %s\n", strerror(-r));
		return 1;
	}
	if (b->run)
		run_in(b->dir, b->run);
	story_store_path(b->dir, path, sizeof(path));
	if (b->look)
		b->look(b->dir, &b->facts);
	else
		facts_of(b->w, path, false, &b->facts);
	if (second_run && !b->look)
		finish(b, path);
	return fs_umount(b->dir);
}
