/* SPDX-License-Identifier: MIT */
/*
 * sim/run.h - one simulated term in one classroom: first everything goes wrong, then all must be well.
 *
 *   safety     publishing goes on; datagrams are lost, late, doubled; sessions break; islands form; laptops sleep;
 *              each machine is killed once and loses power once; liars lie. Nothing that the monitor forbids happens.
 *   liveness   the room is healed. Within AY_RUN_PATIENCE_NS every laptop has the newest release.
 *   silence    with some seeds: an hour in which nothing happens, and hardly anybody speaks.
 */
#ifndef AYNI_SIM_RUN_H
#define AYNI_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#define AY_RUN_NODES_MIN 2
#define AY_RUN_NODES_MAX 200
/* Way failed because of its base: an hour; the way before it backed off as long. */
#define AY_RUN_PATIENCE_NS ((uint64_t)3 * 3600 * 1000000000)
/* What a node may say in an hour of silence: Trickle's 14 intervals of 256 s and a question after each session. */
#define AY_RUN_SILENCE_MAX 20

struct ay_run_config {
	uint64_t seed;
	unsigned nodes;    /* laptops; 0: 20, and more with some seeds */
	unsigned mutants;  /* of enum ay_mutant */
	const char *trace; /* see struct ay_room */
	bool verbose;      /* print what befalls the room */
	/*
	 * Six laptops unless told otherwise, and one channel of 1 Mbit/s that all share: a block takes seconds. @no_parts: a mutant, which is
	 * not told that it comes.
	 */
	bool slow, no_parts;
	bool calm; /* nothing goes wrong but what the network loses; for measuring */
};

struct ay_run_result {
	bool ok;
	char broken[400]; /* what, if not ok */
	char node[16];    /* by whom */
	uint64_t at_ns;   /* virtual time of the end, or of the failure */
	uint64_t hash;    /* of all events: equal seeds, equal hashes */
	uint64_t steps;   /* of all cores */
	unsigned laptops, liars, releases, starts;
	uint64_t heal_ns, converge_ns; /* when the room was healed; how long it took then */
	double laptop_copies; /* payload of blocks that anybody sent, by what was of use to who got it */
	double school_copies; /* payload that the school sent, in bundles that anybody installed from */
	uint64_t blocks, blocks_twice;     /* verified payload; and what came a second time */
	uint64_t datagrams, datagrams_max; /* in all; of the one who said most */
	uint64_t silence_max, silence_all; /* datagrams in the hour of silence; UINT64_MAX: there was none */
	unsigned orders_max;
};

void ay_run(const struct ay_run_config *config, struct ay_run_result *result);

#endif
