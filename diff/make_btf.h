/* SPDX-License-Identifier: MIT */
/*
 * diff/make_btf.h - what the kernel's type numbers became, learned from all modules that a bundle has (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_BTF_H
#define AYNI_DIFF_MAKE_BTF_H

#include "diff/btf.h"
#include "diff/make_plan.h"

/**
 * ay__make_btf() - learn from each record whose file is a module (*.ko) with a base.
 * @size_max: bytes that the map may have when coded; a larger one is left out.
 *
 * Files that cannot be read are left out: who diffs them will say so. Return: 0, release @map; -ENOMEM.
 */
int ay__make_btf(const struct ay_make_tree *old, const struct ay_make_tree *new_, const struct ay__plan *plan,
		 size_t size_max, struct ay__btf_map *map);

#endif
