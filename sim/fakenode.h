/* SPDX-License-Identifier: MIT */
/*
 * sim/fakenode.h - a machine in memory that carries out a core's orders.
 *
 *     network ──► ay_fakenode_heard/_frame/... ──► core ──► orders ──► ops (network), disk in memory
 *
 * A fakenode knows no clock and no network: both are callbacks. Nothing calls back into the core
 * from inside a step; the disk's answers come in ay_fakenode_run().
 *
 * Its disk does what node/disk.c and store/ promise. Documents, heads, finished bundles and trees are durable when
 * their answer comes, one job after the other. A block is written at once and survives a kill of the process; a power
 * cut may take what is younger than the last sync (2 s). After a start hash blocks and blocks are verified
 * anew with base/merkle.h, for real: what checks out is had.
 */
#ifndef AYNI_SIM_FAKENODE_H
#define AYNI_SIM_FAKENODE_H

#include "proto/core.h"
#include "proto/frame.h"
#include "sim/mutant.h"

struct ay_fakenode;

struct ay_fakenode_config {
	struct ay_core_config
		core;        /* session_id and seed are replaced at each start; peers borrowed for life */
	uint64_t seed;       /* of everything that chance decides in this machine */
	struct ay_addr addr; /* its own: what peers see */
	/* Durations are drawn between low and high; zeros: at once, but never inside the order. */
	uint64_t store_ns[2]; /* one job of the disk */
	uint64_t apply_ns[2];
	/* Of 1000 jobs so many fail. */
	unsigned no_space_permille; /* -ENOSPC: opening, finishing, applying */
	unsigned bad_base_permille; /* AY_EBASE: applying */
	unsigned mutants;           /* of enum ay_mutant */
};

/* What the machine is in: a network and a clock. Called from inside every function below; must not call back. */
struct ay_fakenode_ops {
	void *ctx;
	uint64_t (*now_ns)(void *ctx);
	/* Call ay_fakenode_run() at @at_ns (absolute; replaces the time before; UINT64_MAX: never). */
	void (*run_at)(void *ctx, struct ay_fakenode *n, uint64_t at_ns);
	/* @to: NULL for a group. */
	void (*datagram)(void *ctx, struct ay_fakenode *n, enum ay_group group, const struct ay_addr *to,
			 struct ay_slice data);
	void (*connect)(void *ctx, struct ay_fakenode *n, uint64_t conn, const struct ay_addr *to);
	void (*close)(void *ctx, struct ay_fakenode *n, uint64_t conn);
	/* All frames, also BLOCK and HASHES: of these tell ay_fakenode_sent() when they have left. */
	void (*frame)(void *ctx, struct ay_fakenode *n, uint64_t conn, uint8_t type, struct ay_slice payload);
	/* After each step, before its orders are carried out; may be NULL. */
	void (*stepped)(void *ctx, struct ay_fakenode *n, const struct ay_event *ev, int rc,
			const struct ay_orders *out);
};

/** ay_fakenode_new() - a machine with an empty disk, switched off. Both arguments are copied. */
struct ay_fakenode *ay_fakenode_new(const struct ay_fakenode_config *config,
				    const struct ay_fakenode_ops *ops);
void ay_fakenode_free(struct ay_fakenode *n);

/*
 * Put something on the disk, durable at once. When the node is running its core is told as well,
 * as a school's is of what is new in its repository.
 */

/** ay_fakenode_put() - @type: AY_EV_ROOT, _RELEASE, _OFFER; _HEAD of the one branch that was put before. */
void ay_fakenode_put(struct ay_fakenode *n, enum ay_event_type type, struct ay_slice data);
/** ay_fakenode_put_branch() - @have_serial 0: nothing is installed. */
void ay_fakenode_put_branch(struct ay_fakenode *n, const char *branch, bool follow, uint32_t have_serial,
			    const struct ay_digest *have_manifest);
/** ay_fakenode_roll_back() - the owner goes back to the tree before; both stay on the disk. There must be one. */
void ay_fakenode_roll_back(struct ay_fakenode *n, const char *branch);
/** ay_fakenode_put_bundle() - a whole one; the bytes are borrowed for the machine's life. */
void ay_fakenode_put_bundle(struct ay_fakenode *n, struct ay_slice data);

/** ay_fakenode_start() - a new core, told what is on the disk. @session_id: of this start. */
void ay_fakenode_start(struct ay_fakenode *n, uint64_t session_id);
enum ay_fakenode_end {
	AY_END_KILL, /* the process is gone; what was written stays; the job that is running may or may not end */
	AY_END_POWER, /* the machine is: what was not synced may be lost */
};
/** ay_fakenode_stop() - no core any more, no event is wanted; the network closes its sessions. */
void ay_fakenode_stop(struct ay_fakenode *n, enum ay_fakenode_end how);

/* Events. Ignored while the node is off. Bytes are borrowed during the call. */
void ay_fakenode_run(struct ay_fakenode *n); /* the time asked for by run_at has come */
void ay_fakenode_heard(struct ay_fakenode *n, enum ay_group group, const struct ay_addr *from,
		       struct ay_slice data);
void ay_fakenode_connected(struct ay_fakenode *n, uint64_t conn, const struct ay_addr *addr, bool incoming);
void ay_fakenode_closed(struct ay_fakenode *n, uint64_t conn, int status);
/** ay_fakenode_frame() - BLOCK and HASHES are checked and written first, as node/ does. */
void ay_fakenode_frame(struct ay_fakenode *n, uint64_t conn, uint8_t type, struct ay_slice payload);
/** ay_fakenode_part() - a part of a block came, not its end. */
void ay_fakenode_part(struct ay_fakenode *n, uint64_t conn);
void ay_fakenode_sent(struct ay_fakenode *n, uint64_t conn);
void ay_fakenode_wake(struct ay_fakenode *n);
/** ay_fakenode_fetch() - something of the tree @manifest was lost here: a bundle to it is wanted. */
void ay_fakenode_fetch(struct ay_fakenode *n, const char *branch, const struct ay_digest *manifest);
/** ay_fakenode_update() - the owner asks; @branch "" is all. */
void ay_fakenode_update(struct ay_fakenode *n, const char *branch, bool force);

/** ay_fakenode_heal() - jobs do not fail any more. */
void ay_fakenode_heal(struct ay_fakenode *n);

/* ---- what is there now; only reads ---- */

struct ay_core *ay_fakenode_core(const struct ay_fakenode *n); /* NULL while it is off */
const struct ay_fakenode_config *ay_fakenode_config(const struct ay_fakenode *n);

/* A branch as it is on the disk. */
struct ay_fakebranch {
	char name[AY_BRANCH_NAME_MAX + 1];
	bool follow;
	uint32_t have_serial, floor, bad_serial;
	struct ay_digest have_manifest;
	uint32_t before_serial; /* the tree before this one; 0 none */
	struct ay_digest before_manifest;
	bool has_head;
	uint8_t head[AY_HEAD_SIZE];
};
/** ay_fakenode_branch() - NULL: the disk knows no such branch. */
const struct ay_fakebranch *ay_fakenode_branch(const struct ay_fakenode *n, const char *branch);
uint32_t ay_fakenode_root_version(const struct ay_fakenode *n); /* durable; 0 none */
/** ay_fakenode_has_doc() - is the envelope with this digest durable? @type: AY_EV_RELEASE or _OFFER. */
bool ay_fakenode_has_doc(const struct ay_fakenode *n, enum ay_event_type type,
			 const struct ay_digest *digest);
/** ay_fakenode_blocks() - blocks had of a bundle that is open or on the disk; @whole: finished, under its name. */
uint32_t ay_fakenode_blocks(const struct ay_fakenode *n, const struct ay_digest *bundle, bool *whole);
bool ay_fakenode_has_block(const struct ay_fakenode *n, const struct ay_digest *bundle, uint32_t index);
bool ay_fakenode_has_hashes(const struct ay_fakenode *n, const struct ay_digest *bundle, unsigned level,
			    uint32_t index);
/** ay_fakenode_bytes() - a bundle's bytes on the disk, borrowed until the next event; NULL when there are none. */
const uint8_t *ay_fakenode_bytes(const struct ay_fakenode *n, const struct ay_digest *bundle, uint64_t *size);

#endif
