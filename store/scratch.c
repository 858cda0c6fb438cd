/* SPDX-License-Identifier: MIT */
/*
 * store/scratch.c - a view is written here once and read at any offset; the name goes at once, so that whatever ends
 * the process, nothing is left but what staging's own clearing finds.
 */
#include "store/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME "unpacked"

static void drop(struct ay__scratch *s)
{
	if (s->out && s->out->fd >= 0)
		close(s->out->fd);
	if (s->out)
		s->out->fd = -1;
}

static int begin(void *ctx, uint64_t size, struct ay_err *err)
{
	struct ay__scratch *s = ctx;

	(void)size;
	if (!s->out && !(s->out = calloc(1, sizeof(*s->out))))
		return ay_err_errno(err, ENOMEM, "unpack");
	if (s->out->fs)
		drop(s);
	*s->out = (struct ay__fd_writer){.fs = s->fs, .fd = -1, .sparse = true};
	int fd = s->fs->ops->open(s->fs, s->dir, NAME, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a temporary file for what is unpacked");
	s->out->fd = fd;
	int r = s->fs->ops->unlink(s->fs, s->dir, NAME, 0);
	return r < 0 ? ay_err_errno(err, -r, "cannot take a temporary file's name") : 0;
}

static int data(void *ctx, const void *bytes, size_t len, struct ay_err *err)
{
	struct ay__scratch *s = ctx;
	int r = ay__fd_write(s->out, bytes, len);

	return r < 0 ? ay_err_errno(err, -r, "cannot write what is unpacked to a temporary file") : 0;
}

static int end(void *ctx, int *fd, struct ay_err *err)
{
	struct ay__scratch *s = ctx;
	int r = ay__fd_end_sparse(s->out);

	if (r < 0)
		return ay_err_errno(err, -r, "cannot write what is unpacked to a temporary file");
	*fd = s->out->fd;
	s->out->fd = -1;
	return 0;
}

void ay__scratch_init(struct ay__scratch *s, struct ay_fs *fs, int dir)
{
	*s = (struct ay__scratch){.fs = fs, .dir = dir};
	s->ops = (struct ay_bundle_scratch){.ctx = s, .begin = begin, .data = data, .end = end};
}

void ay__scratch_release(struct ay__scratch *s)
{
	drop(s);
	free(s->out);
	s->out = NULL;
}
