/* SPDX-License-Identifier: MIT */
/* A small story with one promise: the tree is in its new place, whole, and not in the old one too. */
#include "tests/powercut/moved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/powercut/mnt.h"
#include "tests/powercut/record.h"

#define FILE_SIZE 9000

/* After the rename: is a file of the tree written to, and what is synced? Up to two, "" none. */
static const struct way {
	const char *what;
	bool write;
	const char *sync[2];
} ways[] = {
	{"nothing", false, {"", ""}},
	{"a file of the tree", false, {"branches/b/1/file", ""}},
	{"a file of the tree, written to", true, {"branches/b/1/file", ""}},
	{"the tree", false, {"branches/b/1", ""}},
	{"where it was (tmp/staging)", false, {"tmp/staging", ""}},
	{"where it is (branches/b)", false, {"branches/b", ""}},
	{"branches", false, {"branches", ""}},
	{"where it was, where it is", false, {"tmp/staging", "branches/b"}},
};

static int sync_one(const char *mounted, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", mounted, name);
	AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The file grows, so that its inode changes: its time alone may be the same as before. */
static int put_file(int dir, off_t at)
{
	char data[FILE_SIZE];
	AY_CLOSE int fd = openat(dir, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	memset(data, 'a', sizeof(data));
	return fd < 0 || pwrite(fd, data, sizeof(data), at) != FILE_SIZE ? -EIO : 0;
}

static int prepare(const char *mounted)
{
	static const char *const dirs[] = {"tmp", "tmp/staging", "tmp/staging/tree", "branches",
					   "branches/b"};
	AY_CLOSE int top = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (mkdirat(top, dirs[i], 0755) < 0)
			return -errno;
	}
	AY_CLOSE int tree = openat(top, "tmp/staging/tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = tree < 0 ? -errno : put_file(tree, 0);
	return r == 0 && syncfs(top) < 0 ? -errno : r;
}

static int say(int marks, const char *text)
{
	return write(marks, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -EIO;
}

static int tell_moved(void *ctx, const char *mounted, int marks)
{
	const struct way *way = ctx;
	char from[400], to[400];
	int r = say(marks, "may old there\nmay old whole\n");

	if (r == 0)
		r = prepare(mounted);
	if (r == 0)
		r = say(marks, "must old whole\nmay old -\nmay new whole\n");
	snprintf(from, sizeof(from), "%s/tmp/staging/tree", mounted);
	snprintf(to, sizeof(to), "%s/branches/b/1", mounted);
	if (r == 0 && rename(from, to) < 0)
		r = -errno;
	if (r == 0 && way->write) {
		AY_CLOSE int tree = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = tree < 0 ? -errno : put_file(tree, FILE_SIZE);
	}
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = way->sync[i][0] ? sync_one(mounted, way->sync[i]) : 0;
	return r == 0 ? say(marks, "must old -\nmust new whole\n") : r;
}

static void look_for(const char *mounted, const char *name, const char *key, struct ay_buf *facts)
{
	char path[400], data[FILE_SIZE];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", mounted, name);
	if (lstat(path, &st) < 0)
		return;
	snprintf(path, sizeof(path), "%s/%s/file", mounted, name);
	AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool whole = fd >= 0 && read(fd, data, sizeof(data)) == FILE_SIZE && data[0] == 'a' &&
		     memcmp(data, data + 1, FILE_SIZE - 1) == 0;
	ay_put_fmt(facts, "%s %s\n", key, whole ? "whole" : "there");
}

static void look(const char *mounted, struct ay_buf *facts)
{
	ay_buf_reset(facts);
	look_for(mounted, "tmp/staging/tree", "old", facts);
	look_for(mounted, "branches/b/1", "new", facts);
}

int moved_try(const struct world *w, const char *const *fs, unsigned n_fs, const struct replay_options *o)
{
	struct replay_options ro = *o;
	int r = 0;
	bool ok = true;

	ro.look = look;
	ro.kinds = true;
	for (unsigned f = 0; f < n_fs && r == 0; f++) {
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && r == 0; i++) {
			struct way way = ways[i];
			struct blk_log *log = blk_log_new(fs_disk_size(fs[f]));
			struct replay_result *res = replay_result_new();
			AY_ASSERT(log && res);
			log->seed = i + 1;
			r = record_story_of(w, fs[f], tell_moved, &way, log);
			if (r == 0)
				r = replay_all(w, log, &ro, res);
			if (r == 0)
				printf("%-5s synced: %-32s %s %llu: %s\n", fs[f], way.what,
				       res->violations ? "lost, of" : "kept in",
				       (unsigned long long)res->states,
				       res->n_failures ? res->failures[0].what : "-");
			/* The last is what the store does; and were the first kept, nothing would be shown. */
			ok &= i == 0 ? res->violations > 0
				     : i + 1 < sizeof(ways) / sizeof(ways[0]) || res->violations == 0;
			fflush(stdout);
			replay_result_free(res);
			blk_log_free(log);
		}
	}
	return r > 0 ? -EIO : r < 0 ? r : !ok;
}
