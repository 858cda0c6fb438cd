/* SPDX-License-Identifier: MIT */
/*
 * manifest/lines.c - a stream cut into lines, in bounded memory.
 *
 * One window slides over the stream and grows only when a single line needs it,
 * up to the line limit: a manifest of a million short lines stays at 64 KiB.
 */
#include "manifest/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 65536 /* first size: one read call's worth, as pipes and page cache like it */

int ay__lines_init(struct ay__lines *l, ay_read_fn read, void *ctx, size_t line_max)
{
	*l = (struct ay__lines){.read = read, .ctx = ctx, .line_max = line_max, .cap = WINDOW};
	l->data = malloc(l->cap);
	l->hasher = ay_hasher_new();
	return l->data && l->hasher ? 0 : -ENOMEM;
}

void ay__lines_release(struct ay__lines *l)
{
	free(l->data);
	ay_hasher_free(l->hasher);
	*l = (struct ay__lines){0};
}

/* Read some more behind data[end], after making room. */
static int fill(struct ay__lines *l, struct ay_err *err)
{
	if (l->start > 0) {
		memmove(l->data, l->data + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
	}
	AY_ASSERT(l->cap > 0);
	if (l->end == l->cap) {
		size_t cap =
			l->cap * 2; /* at most twice line_max + 1, because a longer line was refused before */
		uint8_t *data = realloc(l->data, cap);
		if (!data)
			return ay_err_set(err, -ENOMEM, "out of memory for a line of %zu bytes", l->end);
		l->data = data;
		l->cap = cap;
	}
	long n = l->read(l->ctx, l->data + l->end, l->cap - l->end);
	if (n < 0)
		return ay_err_errno(err, (int)-n, "reading behind byte %llu", (unsigned long long)l->size);
	AY_ASSERT((size_t)n <= l->cap - l->end);
	if (n == 0) {
		l->eof = true;
		return 0;
	}
	ay_hasher_update(l->hasher, l->data + l->end, (size_t)n);
	l->end += (size_t)n;
	l->size += (uint64_t)n;
	return 0;
}

int ay__lines_next(struct ay__lines *l, struct ay_slice *line, struct ay_err *err)
{
	size_t seen = 0; /* bytes of this line already searched for the newline */

	for (;;) {
		size_t have = l->end - l->start;
		const uint8_t *nl = have > seen ? memchr(l->data + l->start + seen, '\n', have - seen) : NULL;
		size_t len = nl ? (size_t)(nl - l->data) - l->start : have;
		if (len > l->line_max)
			return ay_err_set(err, AY_ELIMIT, "line %llu: longer than %zu bytes",
					  (unsigned long long)l->line + 1, l->line_max);
		if (nl) {
			*line = (struct ay_slice){l->data + l->start, len};
			l->start += len + 1;
			l->line++;
			return 1;
		}
		if (l->eof) {
			if (have == 0)
				return 0;
			return ay_err_set(err, AY_EFORMAT, "line %llu: no newline at the end (cut off?)",
					  (unsigned long long)l->line + 1);
		}
		seen = have;
		int r = fill(l, err);
		if (r)
			return r;
	}
}
