/* SPDX-License-Identifier: MIT */
/*
 * diff/unwrap.h - a base's view out of the base, by its recipe, in one pass (internal to diff/).
 */
#ifndef AYNI_DIFF_UNWRAP_H
#define AYNI_DIFF_UNWRAP_H

#include "diff/recipe.h"
#include "diff/view.h"

/**
 * ay__unwrap() - read all of @base and give its view to @put, in order.
 * @recipe: checked (ay__recipe_check()); @view_size: what it adds up to.
 *
 * Return: 0; AY_EBASE the base is not what the recipe says; AY_EFORMAT what is in it, nested, comes to more than
 *   ay__unwrap_max(); -errno, -ENOMEM; what @put returned.
 */
int ay__unwrap(struct ay__view *base, struct ay_slice recipe, uint64_t view_size,
	       int (*put)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct ay_err *err);

#endif
