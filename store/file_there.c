/* SPDX-License-Identifier: MIT */
/*
 * Is it there? That is a question with three answers: yes, no, and that it cannot be known now. Who takes the third for the second
 * removes a tree that is in use, or says of a good file that it is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/file.h"

bool ay__not_there(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

int ay__there(int dirfd, const char *name)
{
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return ay__not_there(-errno) ? 0 : -errno;
}

bool ay__own_lack(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

DIR *ay__list_dir(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return d;
}

struct dirent *ay__dir_next(DIR *d, int *r)
{
	struct dirent *e;

	do {
		errno = 0;
		e = readdir(d);
	} while (e && is_dot(e->d_name));
	*r = e ? 0 : -errno;
	return e;
}
