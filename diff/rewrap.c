/* SPDX-License-Identifier: MIT */
/* diff/rewrap.c - what is put goes to the innermost packer, whose bytes go to the one around it, and so on outwards. */
#include "diff/rewrap.h"

#include <stdlib.h>

#include "diff/packer.h"

struct level {
	struct ay__rewrap *w;
	unsigned index; /* of the level that its packed bytes go to */
	struct ay__packer packer;
};

struct ay__rewrap {
	struct level levels[AY__RECIPE_DEPTH + 1]; /* 0 is the file */
	unsigned depth;
	struct ay_cursor recipe;
	uint64_t raw; /* bytes that the level in hand still takes */
	bool done;
	ay__put_fn *put;
	void *ctx;
	struct ay_err *err;
};

struct ay__rewrap *ay__rewrap_new(struct ay_slice recipe, ay__put_fn *put, void *ctx, struct ay_err *err)
{
	struct ay__rewrap *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	ay_cursor_init(&w->recipe, recipe.data, recipe.len);
	w->raw = ay_get_varint(&w->recipe);
	w->put = put;
	w->ctx = ctx;
	w->err = err;
	return w;
}

void ay__rewrap_free(struct ay__rewrap *w)
{
	for (; w && w->depth > 0; w->depth--)
		ay__packer_close(&w->levels[w->depth].packer);
	free(w);
}

static int level_write(struct ay__rewrap *w, unsigned level, const uint8_t *data, size_t len)
{
	return level ? ay__packer_write(&w->levels[level].packer, data, len, w->err)
		     : w->put(w->ctx, data, len);
}

static int packed_put(void *ctx, const uint8_t *data, size_t len)
{
	struct level *l = ctx;

	return level_write(l->w, l->index, data, len);
}

/* The raw bytes are through: the list ends here, or something begins. */
static int step(struct ay__rewrap *w)
{
	struct ay__filter_params p;
	struct level *l = &w->levels[w->depth];
	int rc = ay__filter_get(&w->recipe, true, &p, w->err);

	if (rc)
		return rc;
	if (p.id == AY__FILTER_END && w->depth == 0) {
		w->done = true;
		return 0;
	}
	if (p.id == AY__FILTER_END) {
		rc = ay__packer_end(&l->packer, w->err);
		ay__packer_close(&l->packer);
		w->depth--;
	} else {
		l = &w->levels[++w->depth];
		l->w = w;
		l->index = w->depth - 1;
		rc = ay__packer_open(&l->packer, &p, packed_put, l, w->err);
	}
	w->raw = ay_get_varint(&w->recipe);
	return rc;
}

int ay__rewrap_put(struct ay__rewrap *w, const uint8_t *data, size_t len)
{
	while (len > 0) {
		int rc = 0;

		while (rc == 0 && w->raw == 0 && !w->done)
			rc = step(w);
		if (rc == 0 && w->done)
			rc = ay_err_set(w->err, AY_EFORMAT, "the view goes on behind its recipe's end");
		if (rc)
			return rc;
		size_t n = len < w->raw ? len : (size_t)w->raw;
		rc = level_write(w, w->depth, data, n);
		if (rc)
			return rc;
		w->raw -= n;
		data += n;
		len -= n;
	}
	return 0;
}

int ay__rewrap_end(struct ay__rewrap *w)
{
	int rc = 0;

	while (rc == 0 && w->raw == 0 && !w->done)
		rc = step(w);
	return rc || w->done ? rc : ay_err_set(w->err, AY_EFORMAT, "the view ends before its recipe does");
}
