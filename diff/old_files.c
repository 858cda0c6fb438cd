/* SPDX-License-Identifier: MIT */
/*
 * diff/old_files.c - one walk over the manifest for the marks, then short ones from a mark on.
 *
 * Records mostly ask in the manifest's own order, so that most short walks stay within the buffer.
 */
#include "diff/old_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diff/file_line.h"

#define MARK_EVERY 64

/* Fill the buffer from @at on; the end of the file is 0 bytes. */
static int fill(struct ay_old_files *x, uint64_t at, struct ay_err *err)
{
	uint64_t left = x->size - at;
	size_t want = left < sizeof(x->buffer) ? (size_t)left : sizeof(x->buffer);
	ssize_t n;

	x->at = at;
	x->len = 0;
	if (!x->from_fd) {
		if (want)
			memcpy(x->buffer, x->mem + at, want);
		x->len = want;
		return 0;
	}
	do {
		n = pread(x->fd, x->buffer, sizeof(x->buffer), (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return ay_err_errno(err, errno, "cannot read the old manifest");
	x->len = (size_t)n;
	return 0;
}

struct walk {
	uint64_t at, line; /* where it is; where the line in hand begins */
	struct ay__file_line l;
};

/* To the next file: its digest is in the line. 1; 0 there is none any more. */
static int next(struct ay_old_files *x, struct walk *w, struct ay_err *err)
{
	for (;;) {
		int rc = w->at >= x->at && w->at - x->at < x->len ? 0 : fill(x, w->at, err);

		if (rc || x->len == 0)
			return rc;
		while (w->at - x->at < x->len) {
			const uint8_t *p = x->buffer + (w->at - x->at), *end = x->buffer + x->len;

			if (w->l.other) {
				p = memchr(p, '\n', (size_t)(end - p));
				w->at = x->at + (uint64_t)((p ? p : end) - x->buffer);
				if (!p)
					break;
			} else if (w->l.at == 0) {
				w->line = w->at;
			}
			w->at++;
			if (ay__file_line_step(&w->l, AY__FILE_LINE, *p))
				return 1;
		}
	}
}

static int mark_add(struct ay_old_files *x, uint64_t at)
{
	if (x->n_marks == x->cap_marks) {
		size_t cap = x->cap_marks ? x->cap_marks + x->cap_marks / 2 : 64;
		uint64_t *grown = reallocarray(x->marks, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		x->marks = grown;
		x->cap_marks = cap;
	}
	x->marks[x->n_marks++] = at;
	return 0;
}

static int count(struct ay_old_files *x, struct ay_err *err)
{
	struct walk w = {0};
	int rc;

	while ((rc = next(x, &w, err)) > 0) {
		if (x->n++ % MARK_EVERY == 0 && mark_add(x, w.line))
			return ay_err_errno(err, ENOMEM, "old manifest");
	}
	return rc;
}

int ay_old_files_open_fd(struct ay_old_files *x, int fd, struct ay_err *err)
{
	struct stat st;

	*x = (struct ay_old_files){.fd = fd, .from_fd = true};
	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "old manifest");
	x->size = (uint64_t)st.st_size;
	return count(x, err);
}

int ay_old_files_open_mem(struct ay_old_files *x, const void *data, size_t len, struct ay_err *err)
{
	*x = (struct ay_old_files){.mem = data, .size = len};
	return count(x, err);
}

void ay_old_files_release(struct ay_old_files *x)
{
	if (x->from_fd)
		close(x->fd);
	free(x->marks);
	*x = (struct ay_old_files){0};
}

int ay_old_files_get(struct ay_old_files *x, uint64_t i, struct ay_digest *d, struct ay_err *err)
{
	if (i >= x->n)
		return AY_ENOTHING;
	struct walk w = {.at = x->marks[i / MARK_EVERY]};
	for (uint64_t k = 0; k <= i % MARK_EVERY; k++) {
		int rc = next(x, &w, err);

		if (rc <= 0) /* 0: it became shorter since */
			return rc < 0 ? rc : ay_err_set(err, AY_EBASE, "the old manifest changed meanwhile");
	}
	memcpy(d->b, w.l.digest, AY_DIGEST_LEN);
	return 0;
}
