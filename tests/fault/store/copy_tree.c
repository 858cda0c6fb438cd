/* SPDX-License-Identifier: MIT */
/* Small directories only: inodes with several names are looked for in a list. */
#include "tests/fault/store/copy_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINKED_MAX 256 /* inodes with several names */

struct seen {
	ino_t ino;
	char path[200];
};

struct copier {
	int from, to;
	struct seen seen[LINKED_MAX];
	size_t n;
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

/* Those of users, which anybody may set. */
static void copy_attributes(int in, int out, const char *path)
{
	char names[1024], value[1024];
	ssize_t n = flistxattr(in, names, sizeof(names));

	must(n >= 0 || errno == EOPNOTSUPP, path);
	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		if (strncmp(p, "user.", 5) != 0)
			continue;
		ssize_t len = fgetxattr(in, p, value, sizeof(value));
		must(len >= 0 && fsetxattr(out, p, value, (size_t)len, 0) == 0, path);
	}
}

static void copy_file(struct copier *c, const char *path, const struct stat *st)
{
	char buf[65536];
	const struct timespec ts[2] = {st->st_mtim, st->st_mtim};

	for (size_t i = 0; i < c->n; i++) {
		if (c->seen[i].ino == st->st_ino) {
			must(linkat(c->to, c->seen[i].path, c->to, path, 0) == 0, path);
			return;
		}
	}
	AY_CLOSE int in = openat(c->from, path, O_RDONLY | O_CLOEXEC);
	AY_CLOSE int out = openat(c->to, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(in >= 0 && out >= 0, path);
	for (ssize_t n; (n = read(in, buf, sizeof(buf))) != 0;)
		must(n > 0 && write(out, buf, (size_t)n) == n, path);
	copy_attributes(in, out, path);
	must(fchmod(out, st->st_mode) == 0 && futimens(out, ts) == 0, path);
	if (st->st_nlink > 1) {
		must(c->n < LINKED_MAX, "fixture grew");
		c->seen[c->n].ino = st->st_ino;
		snprintf(c->seen[c->n++].path, sizeof(c->seen[0].path), "%s", path);
	}
}

static void copy_dir(struct copier *c, const char *path)
{
	struct stat st;
	int fd = openat(c->from, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = fdopendir(fd);
	struct dirent *e;

	must(d && fstat(fd, &st) == 0, path);
	must(mkdirat(c->to, path, 0700) == 0 || errno == EEXIST, path);
	while ((e = readdir(d))) {
		char sub[200], target[200];
		struct stat s;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		must(snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub), path);
		must(fstatat(c->from, sub, &s, AT_SYMLINK_NOFOLLOW) == 0, sub);
		const struct timespec ts[2] = {s.st_mtim, s.st_mtim};
		if (S_ISDIR(s.st_mode)) {
			copy_dir(c, sub);
		} else if (S_ISLNK(s.st_mode)) {
			ssize_t n = readlinkat(c->from, sub, target, sizeof(target) - 1);
			must(n > 0, sub);
			target[n] = '\0';
			must(symlinkat(target, c->to, sub) == 0, sub);
			must(utimensat(c->to, sub, ts, AT_SYMLINK_NOFOLLOW) == 0, sub);
		} else {
			copy_file(c, sub, &s);
		}
	}
	const struct timespec ts[2] = {st.st_mtim, st.st_mtim};
	AY_CLOSE int made = openat(c->to, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(made >= 0, path);
	copy_attributes(fd, made, path);
	must(fchmodat(c->to, path, st.st_mode, 0) == 0 && utimensat(c->to, path, ts, 0) == 0, path);
}

void copy_tree(struct kit *k, const char *from, const char *to)
{
	struct copier c = {.n = 0};

	kit_rm(k, to);
	must(mkdirat(k->fd, to, 0755) == 0, to);
	c.from = openat(k->fd, from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	c.to = openat(k->fd, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	copy_dir(&c, ".");
	close(c.from);
	close(c.to);
}
