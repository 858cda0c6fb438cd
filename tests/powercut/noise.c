/* SPDX-License-Identifier: MIT */
/*
 * Somebody else on the same disk. His fsyncs commit whatever the file system has at hand, also half of what the
 * store is doing; and he starts the writing of data that nobody has asked to be synced, as the kernel does after a while.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "tests/powercut/story.h"

static void touch_file(int dir, struct ay_prng *r)
{
	char name[16], buf[20000];
	size_t len = 1 + ay_prng_below(r, sizeof(buf) - 1);

	snprintf(name, sizeof(name), "f%u", (unsigned)ay_prng_below(r, 8));
	AY_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	memset(buf, (int)ay_prng_below(r, 256), sizeof(buf));
	if (fd < 0 || pwrite(fd, buf, len, (off_t)ay_prng_below(r, 40000)) < 0)
		return;
	switch (ay_prng_below(r, 5)) {
	case 0:
	case 1:
		fsync(fd);
		break;
	case 2:
		fdatasync(fd);
		break;
	case 3:
		unlinkat(dir, "moved", 0);
		renameat(dir, name, dir, "moved");
		fsync(dir);
		break;
	default:
		break;
	}
}

/* nftw() has no context; one process, one thread. */
static struct ay_prng walk_prng;

static int start_writing(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || st->st_size == 0 || ay_prng_below(&walk_prng, 3))
		return 0;
	AY_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static void make_noise(const char *mounted, uint64_t seed)
{
	char path[300];
	struct ay_prng r;

	snprintf(path, sizeof(path), "%s/other", mounted);
	mkdir(path, 0755);
	AY_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ay_prng_init(&r, seed ^ 0x6e6f697365);
	ay_prng_init(&walk_prng, seed + 1);
	for (;;) {
		touch_file(dir, &r);
		if (ay_prng_below(&r, 6) == 0)
			nftw(mounted, start_writing, 16, FTW_PHYS | FTW_MOUNT);
		usleep((useconds_t)ay_prng_below(&r, 4000));
	}
}

int noise_start(const char *mounted, uint64_t seed)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			make_noise(mounted, seed);
		_exit(0);
	}
	return pid < 0 ? -errno : pid;
}

void noise_stop(int pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
