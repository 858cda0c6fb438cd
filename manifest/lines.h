/* SPDX-License-Identifier: MIT */
/*
 * manifest/lines.h - a stream cut into lines, in bounded memory (internal to manifest/).
 */
#ifndef AYNI_MANIFEST_LINES_H
#define AYNI_MANIFEST_LINES_H

#include "manifest/manifest.h"

struct ay__lines {
	ay_read_fn read;
	void *ctx;
	size_t line_max; /* bytes of a line without its newline */
	uint8_t *data;
	size_t cap, start, end; /* data[start..end) is read and not yet handed out */
	bool eof;
	uint64_t line;            /* number of the line handed out last */
	uint64_t size;            /* bytes read so far */
	struct ay_hasher *hasher; /* gets every byte read */
};

/** ay__lines_init() - 0 or -ENOMEM. Call ay__lines_release() in both cases. */
int ay__lines_init(struct ay__lines *l, ay_read_fn read, void *ctx, size_t line_max);
void ay__lines_release(struct ay__lines *l);

/**
 * ay__lines_next() - the next line.
 * @line: without its newline, which stands at line->data[line->len]; valid until the next call.
 *
 * Return: 1; 0 at the end; AY_EFORMAT no newline at the end; AY_ELIMIT line too long; -ENOMEM; the read's -errno.
 */
int ay__lines_next(struct ay__lines *l, struct ay_slice *line, struct ay_err *err);

#endif
