/* SPDX-License-Identifier: MIT */
/* diff/unwrap.c - the recipe is followed from piece to piece, each level an unpacker on top of the one below. */
#include "diff/unwrap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "diff/unpacker.h"

struct unwrapper {
	struct ay__unpacker *levels[AY__RECIPE_DEPTH + 1];
	unsigned depth;
	struct ay_cursor recipe;
	int (*put)(void *ctx, const uint8_t *data, size_t len);
	void *ctx;
	uint64_t left; /* bytes that the levels may still give each other */
	struct ay_err *err;
};

static int raw_copy(struct unwrapper *u, uint64_t n)
{
	struct ay__unpacker *s = u->levels[u->depth];

	while (n > 0) {
		const uint8_t *data;
		size_t len;
		int rc = ay__unpacker_peek(s, &data, &len, u->err);

		if (rc == 0 && len == 0)
			rc = ay_err_set(u->err, AY_EBASE, "the base has fewer bytes than its recipe says");
		if (rc)
			return rc;
		if (len > n)
			len = (size_t)n;
		rc = u->put(u->ctx, data, len);
		if (rc)
			return rc;
		ay__unpacker_take(s, len);
		n -= len;
	}
	return 0;
}

static int level_open(struct unwrapper *u, const struct ay__filter_params *p)
{
	struct ay__unpacker *s = malloc(sizeof(*s));

	if (!s)
		return ay_err_errno(u->err, ENOMEM, "unpack the base");
	struct ay__unpacker *below = u->levels[u->depth];
	u->levels[++u->depth] = s;
	int rc = ay__unpacker_open_filter(s, below, p, u->err);
	s->left = &u->left;
	return rc;
}

static void level_close(struct unwrapper *u)
{
	ay__unpacker_close(u->levels[u->depth]);
	free(u->levels[u->depth--]);
}

/* The list in hand is at its end: its unpacker must be, too. */
static int level_end(struct unwrapper *u)
{
	const uint8_t *data;
	size_t len;
	int rc = ay__unpacker_peek(u->levels[u->depth], &data, &len, u->err);

	if (rc == 0 && len > 0)
		rc = ay_err_set(u->err, AY_EBASE, "the base has more bytes than its recipe says");
	return rc;
}

static int run(struct unwrapper *u)
{
	for (;;) {
		struct ay__filter_params p;
		int rc = raw_copy(u, ay_get_varint(&u->recipe));

		if (rc == 0)
			rc = ay__filter_get(&u->recipe, false, &p, u->err);
		if (rc == 0 && p.id == AY__FILTER_END)
			rc = level_end(u);
		else if (rc == 0)
			rc = level_open(u, &p);
		if (rc)
			return rc;
		if (p.id == AY__FILTER_END && u->depth == 0)
			return 0;
		if (p.id == AY__FILTER_END)
			level_close(u);
	}
}

int ay__unwrap(struct ay__view *base, struct ay_slice recipe, uint64_t view_size,
	       int (*put)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct ay_err *err)
{
	AY_FREE struct ay__unpacker *bottom = malloc(sizeof(*bottom));
	struct unwrapper u = {.levels = {bottom}, .put = put, .ctx = ctx, .err = err};

	if (!bottom)
		return ay_err_errno(err, ENOMEM, "unpack the base");
	ay__unpacker_open_view(bottom, base);
	u.left = ay__unwrap_max(base->size, view_size);
	ay_cursor_init(&u.recipe, recipe.data, recipe.len);
	int rc = run(&u);
	while (u.depth > 0)
		level_close(&u);
	return rc;
}
