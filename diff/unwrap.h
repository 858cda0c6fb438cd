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
 * @recipe: checked (ay__recipe_check()).
 *
 * Return: 0; AY_EBASE the base is not what the recipe says; -errno, -ENOMEM; what @put returned.
 */
int ay__unwrap(struct ay__view *base, struct ay_slice recipe,
	       int (*put)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct ay_err *err);

#endif
