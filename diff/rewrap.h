/* SPDX-License-Identifier: MIT */
/*
 * diff/rewrap.h - a target's file out of its view, by its recipe, in one pass (internal to diff/).
 */
#ifndef AYNI_DIFF_REWRAP_H
#define AYNI_DIFF_REWRAP_H

#include "diff/recipe.h"

struct ay__rewrap;

/**
 * ay__rewrap_new() - @recipe: checked (ay__recipe_check()), borrowed. The file's bytes go to @put. @err: for all of it.
 *
 * NULL: out of memory.
 */
struct ay__rewrap *ay__rewrap_new(struct ay_slice recipe,
				  int (*put)(void *ctx, const uint8_t *data, size_t len), void *ctx,
				  struct ay_err *err);
void ay__rewrap_free(struct ay__rewrap *w);

/** ay__rewrap_put() - the view's next bytes. 0; AY_EFORMAT; -ENOMEM; what put() returned. */
int ay__rewrap_put(struct ay__rewrap *w, const uint8_t *data, size_t len);
/** ay__rewrap_end() - that was all of them. As above. */
int ay__rewrap_end(struct ay__rewrap *w);

#endif
