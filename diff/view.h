/* SPDX-License-Identifier: MIT */
/*
 * diff/view.h - a base as a record sees it: bytes that can be read at any offset (internal to diff/).
 *
 * Whether they are a file as it lies on the disk, or what was found inside of it, the reader of a record does not know.
 * Always by pread, never mapped: a file that shrinks under a map would kill the process.
 */
#ifndef AYNI_DIFF_VIEW_H
#define AYNI_DIFF_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define AY__VIEW_BUFFER (256u << 10) /* bytes of a file kept; most files fit whole */

/* Zero-initialise; close; release. */
struct ay__view {
	uint64_t size;
	int fd;             /* owned while @from_fd */
	bool from_fd;       /* else @mem */
	const uint8_t *mem; /* borrowed */
	uint8_t *buffer;    /* AY__VIEW_BUFFER bytes; kept from file to file */
	uint64_t at, len;   /* what is in it */
};

/**
 * ay__view_open_fd() - see the file in @fd, which must have @size bytes. Takes ownership of @fd in any case.
 *
 * Return: 0; AY_EBASE another size; -errno, -ENOMEM.
 */
int ay__view_open_fd(struct ay__view *v, int fd, uint64_t size, struct ay_err *err);

/** ay__view_open_mem() - see @size bytes at @mem, borrowed until the view is closed. */
void ay__view_open_mem(struct ay__view *v, const uint8_t *mem, uint64_t size);

/** ay__view_read() - @n bytes from @at to @dst; the caller knows that they are inside. 0, AY_EBASE, -errno. */
int ay__view_read(struct ay__view *v, uint64_t at, uint8_t *dst, size_t n, struct ay_err *err);

/** ay__view_read_once() - the same, for who will not read near there soon: nothing more is read than that. Several threads may. */
int ay__view_read_once(struct ay__view *v, uint64_t at, uint8_t *dst, size_t n, struct ay_err *err);

void ay__view_close(struct ay__view *v);
/** ay__view_release() - closed, and its buffer given back. */
void ay__view_release(struct ay__view *v);

#endif
