/* SPDX-License-Identifier: MIT */
/*
 * diff/unpacker.h - bytes that are unpacked while they are read, one unpacker on top of the other (internal to diff/).
 *
 * An unpacker gives what it has (peek) and is told how much of it was used (take), so that what lies behind a packed
 * stream is there for the next one.
 */
#ifndef AYNI_DIFF_UNPACKER_H
#define AYNI_DIFF_UNPACKER_H

#include "diff/recipe.h"
#include "diff/view.h"

#define AY__UNPACKER_BUFFER (32u << 10)

struct ay__unpacker {
	struct ay__unpacker *below;
	const uint8_t *next; /* bytes that are there */
	size_t len;
	bool ended; /* no more behind these */
	/* More bytes to @buffer: *@got 0 at the end only. */
	int (*more)(struct ay__unpacker *s, size_t *got, struct ay_err *err);
	void (*close)(void *state);
	void *state;
	uint64_t at;    /* of the bottom: in the view */
	uint64_t *left; /* bytes that may still come out, of this and others together; NULL: any number */
	uint8_t buffer[AY__UNPACKER_BUFFER];
};

/** ay__unpacker_peek() - what is there next; *@len 0 at the end only. Valid until the next peek. */
int ay__unpacker_peek(struct ay__unpacker *s, const uint8_t **data, size_t *len, struct ay_err *err);
/** ay__unpacker_take() - @n bytes of what was peeked at are used. */
void ay__unpacker_take(struct ay__unpacker *s, size_t n);

/** ay__unpacker_open_view() - the bottom: all bytes of @v, borrowed. */
void ay__unpacker_open_view(struct ay__unpacker *s, struct ay__view *v);
/** ay__unpacker_open_filter() - what @p's filter makes of @below. 0, -ENOMEM. Close in any case. */
int ay__unpacker_open_filter(struct ay__unpacker *s, struct ay__unpacker *below,
			     const struct ay__filter_params *p, struct ay_err *err);
void ay__unpacker_close(struct ay__unpacker *s);

#endif
