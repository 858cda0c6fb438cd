/* SPDX-License-Identifier: MIT */
/*
 * sim/mutant.h - errors put in on purpose, to see that the checks of the simulation bite.
 */
#ifndef AYNI_SIM_MUTANT_H
#define AYNI_SIM_MUTANT_H

enum ay_mutant {
	AY_MUTANT_PROMISE = 1 << 0,   /* STORED is answered long before it is durable */
	AY_MUTANT_REFETCH = 1 << 1,   /* a start forgets the blocks of partial bundles */
	AY_MUTANT_ANY_BLOCK = 1 << 2, /* blocks and hashes count without being checked */
	AY_MUTANT_STRANGER_ROOT =
		1 << 3, /* was installed with a stranger's root (by who puts it on the disk) */
	AY_MUTANT_FORGET_HEAD = 1 << 4, /* a stop forgets the durable head and the floor */
	AY_MUTANT_FORGET_TREE = 1 << 5, /* a stop brings back the tree before the current one */
	AY_MUTANT_LOST_ANSWER = 1 << 6, /* FINISH_BUNDLE is never answered */
	AY_MUTANT_STORM = 1 << 7,       /* each datagram is sent over and over */
};

/** ay_mutant_by_name() - its bit; 0: there is none of that name. */
unsigned ay_mutant_by_name(const char *name);
/** ay_mutant_name() - of the @i-th, from 0; NULL behind the last. */
const char *ay_mutant_name(unsigned i);

#endif
