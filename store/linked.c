/* SPDX-License-Identifier: MIT */
/* Taking back what adopt lent: names in objects/ of inodes that belong to somebody's directory as well. */
#include "store/linked.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/spill.h"

#define SLICE 256 /* lines under the exclusive lock at once */

static bool get_number(const char **p, unsigned long long *v)
{
	char *end;

	if (**p < '1' || **p > '9')
		return false;
	*v = strtoull(*p, &end, 10);
	*p = end + 1;
	return *end == ' ';
}

/* "NLINK INODE NAME\n", and the name is of an object's form. */
static bool parse(const char *line, unsigned long long *nlink, unsigned long long *ino,
		  struct ay__object_name *name)
{
	const char *p = line;

	if (!get_number(&p, nlink) || !get_number(&p, ino))
		return false;
	size_t n = strcspn(p, "\n");
	if (n != AY__OBJECT_NAME_MAX - 1 || p[n] != '\n' || p[2] != '/' || p[65] != '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (i != 2 && i != 65 && !strchr("0123456789abcdef", p[i]))
			return false;
	}
	memcpy(name->s, p, n);
	name->s[n] = '\0';
	return true;
}

/* 1: more. */
static int drop_slice(struct ay_store *s, FILE *f, struct ay_gc_result *res, int *failed, struct ay_err *err)
{
	char line[AY__OBJECT_NAME_MAX + 64];

	for (int i = 0; i < SLICE; i++) {
		struct ay__object_name name;
		unsigned long long nlink, ino;
		struct stat st;
		if (!fgets(line, sizeof(line), f) || !parse(line, &nlink, &ino, &name))
			return 0;
		if (fstatat(s->objects, name.s, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (!ay__not_there(-errno))
				*failed = ay_err_errno(err, errno, "cannot look at object %s", name.s);
			continue;
		}
		/* Another inode may have the name by now: the links that it has are trees'. */
		if (st.st_nlink != nlink || st.st_ino != ino)
			continue;
		int u = ay__object_drop(s, &name);
		if (u < 0)
			*failed = ay_err_errno(err, -u, "cannot remove object %s", name.s);
		else if (u > 0 && res)
			res->objects++; /* its bytes stay where the source is */
	}
	return 1;
}

int ay__linked_drop(struct ay_store *s, int fd, struct ay_gc_result *res, struct ay_err *err)
{
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	AY_FCLOSE FILE *f = dup < 0 ? NULL : fdopen(dup, "r");
	int r = 1, failed = 0;

	if (!f) {
		int saved = errno;
		if (dup >= 0)
			close(dup);
		return ay_err_errno(err, saved, "cannot read which objects were linked");
	}
	while (r > 0) {
		if ((r = ay__store_lock(s, LOCK_EX, err)) < 0)
			return r;
		r = drop_slice(s, f, res, &failed, err);
		ay__store_unlock(s);
	}
	return failed;
}
