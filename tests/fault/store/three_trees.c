/* SPDX-License-Identifier: MIT */
/* See three_trees.h. */
#include "tests/fault/store/three_trees.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void three_trees_init(struct three_trees *x, const char *branch, void (*make)(struct kit *k, int n))
{
	memset(x, 0, sizeof(*x));
	x->branch = branch;
	kit_init(&x->k);
	for (int i = 0; i < 3; i++) {
		char v[16];
		make(&x->k, i + 1);
		snprintf(v, sizeof(v), "v%d", i + 1);
		kit_publish(&x->k, v, branch, (uint32_t)i + 1, &x->v[i]);
	}
	x->bundle = kit_bundle(&x->k, &x->v[1], &x->v[2], &x->offer);
}

void three_trees_release(struct three_trees *x)
{
	close(x->bundle);
	for (int i = 0; i < 3; i++)
		kit_tree_release(&x->v[i]);
	kit_release(&x->k);
}

void three_trees_store(struct three_trees *x, struct ay_fs *fs)
{
	struct ay_err err = {0};
	struct ay_store *s;

	if (kit_store(&x->k, fs, &s, &err) < 0 || kit_import(&x->k, s, x->branch, &x->v[0], &err) < 0 ||
	    kit_import(&x->k, s, x->branch, &x->v[1], &err) < 0 ||
	    ay_store_switch(s, x->branch, 1, false, &err) < 0 ||
	    ay_store_switch(s, x->branch, 2, false, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_close(s);
}
