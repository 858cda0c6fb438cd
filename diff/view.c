/* SPDX-License-Identifier: MIT */
/* diff/view.c - one buffer of a file, moved to where it is read. */
#include "diff/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff/section.h"

int ay__view_open_fd(struct ay__view *v, int fd, uint64_t size, struct ay_err *err)
{
	struct stat st;

	ay__view_close(v);
	v->from_fd = true;
	v->fd = fd;
	v->size = size;
	if (!v->buffer)
		v->buffer = malloc(AY__VIEW_BUFFER);
	if (!v->buffer)
		return ay_err_errno(err, ENOMEM, "base");
	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "base");
	if ((uint64_t)st.st_size != size)
		return ay_err_set(err, AY_EBASE, "the base has %llu bytes instead of %llu",
				  (unsigned long long)st.st_size, (unsigned long long)size);
	return 0;
}

void ay__view_open_mem(struct ay__view *v, const uint8_t *mem, uint64_t size)
{
	ay__view_close(v);
	v->mem = mem;
	v->size = size;
}

static int buffer_fill(struct ay__view *v, uint64_t at, struct ay_err *err)
{
	v->at = v->size <= AY__VIEW_BUFFER ? 0 : at / 4096 * 4096;
	v->len = 0;
	size_t len = v->size - v->at < AY__VIEW_BUFFER ? (size_t)(v->size - v->at) : AY__VIEW_BUFFER;
	int rc = ay__pread_all(v->fd, v->buffer, len, v->at, AY_EBASE, err);
	if (rc)
		return ay_err_wrap(err, rc, "base");
	v->len = len;
	return 0;
}

int ay__view_read(struct ay__view *v, uint64_t at, uint8_t *dst, size_t n, struct ay_err *err)
{
	AY_ASSERT(at <= v->size && n <= v->size - at);
	if (!v->from_fd) {
		if (n)
			memcpy(dst, v->mem + at, n);
		return 0;
	}
	while (n > 0) {
		if (at < v->at || at >= v->at + v->len) {
			int rc = buffer_fill(v, at, err);

			if (rc)
				return rc;
		}
		uint64_t have = v->at + v->len - at;
		size_t step = have < n ? (size_t)have : n;
		memcpy(dst, v->buffer + (at - v->at), step);
		dst += step;
		at += step;
		n -= step;
	}
	return 0;
}

int ay__view_read_once(struct ay__view *v, uint64_t at, uint8_t *dst, size_t n, struct ay_err *err)
{
	AY_ASSERT(at <= v->size && n <= v->size - at);
	if (!v->from_fd)
		return ay__view_read(v, at, dst, n, err);
	int rc = ay__pread_all(v->fd, dst, n, at, AY_EBASE, err);
	return rc ? ay_err_wrap(err, rc, "base") : 0;
}

void ay__view_close(struct ay__view *v)
{
	if (v->from_fd)
		close(v->fd);
	*v = (struct ay__view){.buffer = v->buffer};
}

void ay__view_release(struct ay__view *v)
{
	ay__view_close(v);
	free(v->buffer);
	v->buffer = NULL;
}
