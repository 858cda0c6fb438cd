/* SPDX-License-Identifier: MIT */
/*
 * diff/source.h - bytes that are unpacked while they are read, one source on top of the other (internal to diff/).
 *
 * A source gives what it has (peek) and is told how much of it was used (take), so that what lies behind a packed
 * stream is there for the next one.
 */
#ifndef AYNI_DIFF_SOURCE_H
#define AYNI_DIFF_SOURCE_H

#include "diff/recipe.h"
#include "diff/view.h"

#define AY__SOURCE_BUFFER (32u << 10)

struct ay__source {
	struct ay__source *below;
	const uint8_t *next; /* bytes that are there */
	size_t len;
	bool ended; /* no more behind these */
	/* More bytes to @buffer: *@got 0 at the end only. */
	int (*more)(struct ay__source *s, size_t *got, struct ay_err *err);
	void (*close)(void *state);
	void *state;
	uint64_t at; /* of the bottom: in the view */
	uint8_t buffer[AY__SOURCE_BUFFER];
};

/** ay__source_peek() - what is there next; *@len 0 at the end only. Valid until the next peek. */
int ay__source_peek(struct ay__source *s, const uint8_t **data, size_t *len, struct ay_err *err);
/** ay__source_take() - @n bytes of what was peeked at are used. */
void ay__source_take(struct ay__source *s, size_t n);

/** ay__source_open_view() - the bottom: all bytes of @v, borrowed. */
void ay__source_open_view(struct ay__source *s, struct ay__view *v);
/** ay__source_open_filter() - what @p's filter makes of @below. 0, -ENOMEM. Close in any case. */
int ay__source_open_filter(struct ay__source *s, struct ay__source *below, const struct ay__filter_params *p,
			   struct ay_err *err);
void ay__source_close(struct ay__source *s);

#endif
