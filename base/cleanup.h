/* SPDX-License-Identifier: MIT */
/*
 * base/cleanup.h - resources that release themselves when their scope ends.
 *
 *     AY_CLOSE int fd = openat(...);       closed at the end of the scope
 *     AY_FREE char *p = strdup(...);       freed at the end of the scope
 *     *out = ay_steal_ptr(&p);             hand over: p becomes NULL
 */
#ifndef AYNI_BASE_CLEANUP_H
#define AYNI_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void ay__cleanup_free(void *pp)
{
	free(*(void **)pp);
}

/* Keeps errno, so that a cleanup never hides why the scope was left. */
static inline void ay__cleanup_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

static inline void ay__cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void ay__cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define AY_CLEANUP(fn) __attribute__((cleanup(fn)))
#define AY_FREE        AY_CLEANUP(ay__cleanup_free)
#define AY_CLOSE       AY_CLEANUP(ay__cleanup_close)
#define AY_FCLOSE      AY_CLEANUP(ay__cleanup_fclose)
#define AY_CLOSEDIR    AY_CLEANUP(ay__cleanup_closedir)

static inline void *ay__steal_ptr(void *pp)
{
	void **p = pp;
	void *v = *p;
	*p = NULL;
	return v;
}

/* Take the pointer out of a variable that cleans up after itself. */
#define ay_steal_ptr(pp) ((__typeof__(*(pp)))ay__steal_ptr(pp))

static inline int ay_steal_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

#endif
