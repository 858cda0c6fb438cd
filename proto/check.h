/* SPDX-License-Identifier: MIT */
/*
 * proto/check.h - what the core would tell its owner, and what must always hold; both only read.
 */
#ifndef AYNI_PROTO_CHECK_H
#define AYNI_PROTO_CHECK_H

#include "proto/event.h"

struct ay_core;

enum ay_branch_phase {
	AY_PHASE_IDLE,       /* at the newest release known, or nothing wanted */
	AY_PHASE_LEARNING,   /* a newer head is known; fetching release and offers */
	AY_PHASE_SEARCHING,  /* no way is known yet: nobody offers a bundle */
	AY_PHASE_COLLECTING, /* blocks are coming */
	AY_PHASE_APPLYING,
	AY_PHASE_HELD, /* newer release known, not taken: rollout, bad serial or auto_update off */
};

struct ay_branch_status {
	char branch[AY_BRANCH_NAME_MAX + 1];
	uint32_t have_serial, head_serial, target_serial;
	enum ay_branch_phase phase;
	uint64_t blocks_had, blocks_total; /* of the bundle in collection */
	uint64_t bytes_total;
	bool fetching;          /* a bundle is wanted for what is in it (AY_EV_FETCH) */
	unsigned fetched;       /* that came so, since the start */
	uint64_t fetched_bytes; /* as large they were */
	struct ay_digest fetch; /* the tree to which one is fetched; zeros: none */
	char problem[160];      /* why it does not go on; "" when all is well */
};

struct ay_peer_status {
	struct ay_addr addr;
	uint64_t conn;
	bool school, incoming, up;
	uint64_t bytes_from, bytes_to; /* block payload */
	int score;
};

struct ay_core_status {
	uint64_t bytes_from_peers, bytes_from_school, bytes_served; /* block payload, verified */
	uint64_t bytes_twice; /* verified payload of blocks that were had already */
	uint64_t packets_refused;
	unsigned neighbours; /* heard in CHAT lately */
	unsigned n_branches, n_peers;
	struct ay_branch_status branches[AY_CORE_BRANCHES_MAX];
	struct ay_peer_status peers[AY_CORE_SESSIONS_MAX]; /* the first ones */
};

void ay_core_status(const struct ay_core *core, struct ay_core_status *out);

/**
 * ay_core_check() - assert the core's invariants (for tests and the simulator); NULL or the broken one's text.
 */
const char *ay_core_check(const struct ay_core *core);

#endif
