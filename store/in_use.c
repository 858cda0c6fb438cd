/* SPDX-License-Identifier: MIT */
/*
 * Who uses a tree holds its .ref shared, and all that it starts inherits that. Two
 * things get round it: a daemon that closes every fd it was given, and a mount whose
 * holder was killed. Both leave a mount behind that the kernel shows, so it is asked too.
 *
 * A tree that was moved aside lies below a name that was drawn at random, so the kernel's word for a bind mount's root
 * is enough: no path has to be looked up, which might hang on a dead server. An overlay does not
 * show what lies below it; ours carry the tree's device and inode as their source.
 */
#include "store/in_use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/file.h"
#include "store/use.h"

struct look {
	char below[160];                /* "/tmp/staging-…/tree/root" */
	char source[AY_USE_SOURCE_MAX]; /* of an overlay */
	char (*seen)[32];
	size_t n_seen;
	bool too_many;
};

/* The @n-th word of a line of mountinfo, from 0; its end is cut off. */
static char *word(char *line, unsigned n)
{
	char *save = NULL, *w = strtok_r(line, " \n", &save);

	while (w && n-- > 0)
		w = strtok_r(NULL, " \n", &save);
	return w;
}

static bool line_uses(const struct look *l, char *line)
{
	/* "… - overlay SOURCE …": a path cannot hold " - ", its spaces are escaped */
	const char *type = strstr(line, " - overlay ");
	size_t n = strlen(l->source);

	if (type && strncmp(type + 11, l->source, n) == 0 && type[11 + n] == ' ')
		return true;
	const char *root = word(line, 3);
	const char *at = root ? strstr(root, l->below) : NULL;
	char next = at ? at[strlen(l->below)] : 'x';
	return next == '\0' || next == '/';
}

static int space_uses(const struct look *l, int proc, const char *pid)
{
	char path[300];
	AY_FREE char *line = NULL;
	size_t cap = 0;
	bool used = false;

	snprintf(path, sizeof(path), "%s/mountinfo", pid);
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && ay__own_lack(-errno))
		return -errno;
	AY_FCLOSE FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f && fd >= 0) {
		close(fd);
		return -ENOMEM;
	}
	while (f && !used && getline(&line, &cap, f) >= 0)
		used = line_uses(l, line);
	return used;
}

/* Has this process's namespace been looked at? Remembers it. */
static bool seen(struct look *l, int proc, const char *pid)
{
	char path[300], name[32];

	snprintf(path, sizeof(path), "%s/ns/mnt", pid);
	ssize_t n = readlinkat(proc, path, name, sizeof(name) - 1);
	if (n <= 0)
		return true; /* it has ended, or is none of our business */
	name[n] = '\0';
	for (size_t i = 0; i < l->n_seen; i++) {
		if (strcmp(l->seen[i], name) == 0)
			return true;
	}
	if (l->n_seen == AY__SPACES_MAX) {
		l->too_many = true;
		return true;
	}
	if ((l->n_seen & (l->n_seen - 1)) == 0) {
		void *grown = realloc(l->seen, (l->n_seen ? 2 * l->n_seen : 1) * sizeof(*l->seen));
		if (!grown)
			return false;
		l->seen = grown;
	}
	memcpy(l->seen[l->n_seen++], name, (size_t)n + 1);
	return false;
}

int ay__tree_mounted(int proc, int tree, const char *staging)
{
	struct look l = {.seen = NULL};
	struct stat st;
	struct dirent *e;
	int used = 0, end = 0;
	AY_CLOSEDIR DIR *d = proc < 0 ? NULL : fdopendir(proc);

	if (!d && proc >= 0)
		close(proc);
	if (fstatat(tree, "root", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ay__not_there(-errno) ? 0 : -errno;
	if (!d)
		return proc >= 0 ? -ENOMEM : ay__not_there(proc) ? 0 : proc;
	snprintf(l.below, sizeof(l.below), "/tmp/%s/tree/root", staging);
	ay_use_source(&st, l.source);
	while (used == 0 && !l.too_many && (e = ay__dir_next(d, &end))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && !seen(&l, dirfd(d), e->d_name))
			used = space_uses(&l, dirfd(d), e->d_name);
	}
	free(l.seen);
	return used ? used : l.too_many ? 1 : end;
}

int ay__tree_in_use(int tree, const char *staging, int *ref)
{
	*ref = ay__open_beneath(tree, ".ref", O_RDONLY);
	if (*ref < 0) /* never complete, or already half gone: then nobody used it */
		return ay__not_there(*ref) ? 0 : *ref;
	int r = ay__lock(*ref, LOCK_EX | LOCK_NB);
	if (r < 0)
		return r == -EWOULDBLOCK ? 1 : r;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ay__tree_mounted(proc < 0 ? -errno : proc, tree, staging);
}
