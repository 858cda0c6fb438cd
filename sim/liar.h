/* SPDX-License-Identifier: MIT */
/*
 * sim/liar.h - a station without a core that does what no ayni does: garbage, wrong blocks, a stranger's
 * signatures, old news, other people's packets, silence, floods.
 */
#ifndef AYNI_SIM_LIAR_H
#define AYNI_SIM_LIAR_H

#include "sim/medium.h"
#include "sim/world.h"

struct ay_liar;

enum ay_lie {
	AY_LIE_GARBAGE = 1 << 0, /* bytes without sense, in datagrams and frames */
	AY_LIE_BLOCKS = 1 << 1,  /* has every bundle, and gives wrong blocks and hashes of it */
	AY_LIE_FORGE = 1 << 2,   /* heads, releases, offers and roots signed by a stranger */
	AY_LIE_REPLAY = 1 << 3,  /* what was said long ago, also in others' names */
	AY_LIE_SILENCE = 1 << 4, /* promises everything and delivers nothing */
	AY_LIE_FLOOD = 1 << 5,   /* hundreds of nodes that do not exist, all asking and calling at once */
};

struct ay_liar_config {
	uint64_t seed;
	unsigned lies;
	struct ay_addr addr;
	const struct ay_world *truth, *stranger; /* borrowed for life */
	const struct ay_addr *others;            /* whom to connect to; borrowed for life */
	unsigned n_others;
};

/** ay_liar_new() - joins @m and begins. */
struct ay_liar *ay_liar_new(const struct ay_liar_config *config, struct ay_medium *m);
/** ay_liar_stop() - it goes away for good. */
void ay_liar_stop(struct ay_liar *l);
void ay_liar_free(struct ay_liar *l);

#endif
