/* SPDX-License-Identifier: MIT */
/*
 * Who holds the lock for a mount? The kernel does not, so a small process does: it
 * waits until the mount is gone, however that went (`ayni umount`, umount(8), a
 * namespace that ended), and ends. Should it be killed, the mount itself still protects the
 * tree: the collector looks for mounts too (store/in_use.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/mount.h"
#include "store/store.h"

/* The kernel wakes us when a mount changes; should it not, we look again after a minute. */
#define LOOK_MS 60000

unsigned long long ay_mount_id(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

/* "36 35 98:0 /root /at opts - type source super" */
static bool parse(const char *line, struct ay_mount_line *out)
{
	char *end = NULL;
	out->id = strtoull(line, &end, 10);
	if (sscanf(end, " %*u %*s %4095s", out->root) != 1)
		return false;
	const char *dash = strstr(end, " - ");
	char type[64] = "";
	if (!dash || sscanf(dash + 3, "%63s %127s", type, out->source) != 2)
		return false;
	out->overlay = strcmp(type, "overlay") == 0;
	return true;
}

int ay_mount_find(unsigned long long id, struct ay_mount_line *out)
{
	AY_FCLOSE FILE *f = fopen("/proc/self/mountinfo", "re");
	AY_FREE char *line = NULL;
	size_t cap = 0;

	if (!f)
		return -errno;
	while (getline(&line, &cap, f) >= 0) {
		if (strtoull(line, NULL, 10) == id)
			return parse(line, out);
	}
	return ferror(f) ? -EIO : 0;
}

/* A number is given out again when its mount is gone; another mount of it shows something else. */
static bool still_there(unsigned long long id, const struct ay_mount_line *was)
{
	struct ay_mount_line now = {0};

	int r = ay_mount_find(id, &now);
	if (r <= 0)
		return r < 0; /* who cannot look does not let go */
	/* The root's path changes when the tree is moved aside; that it is a tree's root does not. */
	const char *end = strrchr(now.root, '/');
	return now.overlay == was->overlay && strcmp(now.source, was->source) == 0 &&
	       (was->overlay || (end && strncmp(end, "/root", 5) == 0));
}

static void quiet(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (chdir("/") < 0)
		_exit(1);
	setsid();
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
}

/* The lock at a known place, and nothing else of what we were given. */
static int only_this(int fd)
{
	int kept = dup3(fd, 3, O_CLOEXEC) < 0 && errno != EINVAL ? -1 : 3;

	close_range(4, ~0u, 0);
	return kept;
}

static void wait_until_gone(unsigned long long id, const struct ay_mount_line *was)
{
	AY_CLOSE int table = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	while (still_there(id, was)) {
		struct pollfd p = {.fd = table, .events = POLLPRI};
		if (poll(&p, table < 0 ? 0 : 1, LOOK_MS) < 0 && errno != EINTR)
			break;
	}
}

static void hold(unsigned long long id, int ref, const char *store_path)
{
	struct ay_mount_line was = {0};
	struct ay_store *s = NULL;

	quiet();
	int kept = only_this(ref);
	if (kept < 0 || ay_mount_find(id, &was) != 1)
		_exit(1);
	wait_until_gone(id, &was);
	close(kept);
	/* If the tree was removed meanwhile, opening the store deletes it. */
	if (ay_store_open(ay_fs_real(), store_path, 0, &s, NULL) == 0)
		ay_store_close(s);
	_exit(0);
}

int ay_mount_hold(unsigned long long id, int ref, const char *store_path, int *pid, struct ay_err *err)
{
	AY_FREE char *path = realpath(store_path, NULL); /* it goes to / */

	if (!path)
		return ay_err_errno(err, errno, "%s", store_path);
	fflush(NULL);
	pid_t p = fork();
	if (p < 0)
		return ay_err_errno(err, errno, "cannot leave a process behind that holds the tree");
	if (p == 0)
		hold(id, ref, path);
	*pid = p;
	return 0;
}
