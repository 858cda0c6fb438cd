/* SPDX-License-Identifier: MIT */
/*
 * diff/source.c - one window that follows where one looks. Who looks goes forward mostly; a look back costs a read.
 */
#include "diff/source.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH (64u << 10) /* read at once where one looks on forward ... */
#define GAP     (16u << 10) /* ... and passes over no more than this */

struct ay__source ay__source_memory(const void *data, uint64_t size)
{
	static const uint8_t nothing;

	return (struct ay__source){.size = size, .data = data ? data : &nothing};
}

struct ay__source ay__source_reader(uint64_t size, ay__source_read read, void *ctx)
{
	struct ay__source s = {.size = size, .read = read, .ctx = ctx};

	s.window = malloc(AY__SOURCE_WINDOW);
	s.rc = s.window ? 0 : -ENOMEM;
	return s;
}

void ay__source_release(struct ay__source *s)
{
	free(s->window);
	*s = (struct ay__source){0};
}

/* Make @len bytes at @at the window. */
static void window_fill(struct ay__source *s, uint64_t at, size_t len)
{
	uint64_t left = s->size - at;

	s->at = at;
	s->len = left < len ? (size_t)left : len;
	int rc = s->rc ? s->rc : s->read(s->ctx, s->at, s->window, s->len);
	if (rc) {
		s->rc = rc;
		memset(s->window, 0, s->len);
	}
}

static bool in_window(const struct ay__source *s, uint64_t offset, size_t len)
{
	return offset >= s->at && offset - s->at <= s->len && len <= s->len - (offset - s->at);
}

void ay__source_load(struct ay__source *s, uint64_t offset, size_t len)
{
	if (s->data || !s->window || offset > s->size)
		return;
	if (len > s->size - offset)
		len = (size_t)(s->size - offset);
	if (len > AY__SOURCE_WINDOW || in_window(s, offset, len))
		return;
	bool on = offset >= s->at && offset - s->at <= s->len + GAP;
	window_fill(s, offset, on && len < STRETCH ? STRETCH : len);
}

const uint8_t *ay__source_at(struct ay__source *s, uint64_t offset, size_t len)
{
	if (offset > s->size || len > s->size - offset)
		return NULL;
	if (s->data)
		return s->data + offset;
	if (!s->window || len > AY__SOURCE_AT_MAX)
		return NULL;
	if (!in_window(s, offset, len))
		window_fill(s, offset / 4096 * 4096, AY__SOURCE_WINDOW);
	return s->window + (offset - s->at);
}
