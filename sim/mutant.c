/* SPDX-License-Identifier: MIT */
/*
 * The mutants' names, for the command line; what they do stands where they do it.
 */
#include "sim/mutant.h"

#include <stddef.h>
#include <string.h>

struct name {
	const char *name;
	unsigned bit;
};

static const struct name names[] = {
	{"promise", AY_MUTANT_PROMISE},         {"refetch", AY_MUTANT_REFETCH},
	{"any-block", AY_MUTANT_ANY_BLOCK},     {"stranger-root", AY_MUTANT_STRANGER_ROOT},
	{"forget-head", AY_MUTANT_FORGET_HEAD}, {"forget-tree", AY_MUTANT_FORGET_TREE},
	{"lost-answer", AY_MUTANT_LOST_ANSWER}, {"storm", AY_MUTANT_STORM},
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

unsigned ay_mutant_by_name(const char *name)
{
	for (unsigned i = 0; i < N_NAMES; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].bit;
	return 0;
}

const char *ay_mutant_name(unsigned i)
{
	return i < N_NAMES ? names[i].name : NULL;
}
