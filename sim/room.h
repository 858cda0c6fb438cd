/* SPDX-License-Identifier: MIT */
/*
 * sim/room.h - a classroom: fakenodes on one medium, watched by one monitor, with one publisher.
 */
#ifndef AYNI_SIM_ROOM_H
#define AYNI_SIM_ROOM_H

#include "sim/medium.h"
#include "sim/monitor.h"

#define AY_ROOM_NODES_MAX 256
#define AY_ROOM_PORT      7000

struct ay_room;

struct ay_room_node {
	struct ay_room *room;
	unsigned index, station;
	char name[16]; /* "school", "laptop7" */
	struct ay_addr addr;
	struct ay_fakenode *fake;
	uint64_t clock_ns; /* its clock is ahead of the room's by so much; other at each boot */
	bool school, wakes_on_news;
	/* After so many more blocks it is stopped (0: never), wherever it is then. */
	unsigned doom_blocks;
	enum ay_fakenode_end doom;
};

struct ay_room {
	struct ay_medium *medium;
	struct ay_world *world;
	struct ay_monitor *monitor;
	struct ay_room_node nodes[AY_ROOM_NODES_MAX]; /* 0 is the school */
	unsigned n;
	struct ay_prng prng;
	const char *trace; /* rooms of the core to trace, separated by commas; "all"; NULL: none */
	bool verbose;
	void (*doomed)(void *ctx, struct ay_room_node *n); /* called outside of any step */
	void *doomed_ctx;
};

/** ay_room_add() - a machine, switched off; @rate: bytes a second. @config's core.trace is set here. */
struct ay_room_node *ay_room_add(struct ay_room *room, struct ay_fakenode_config *config, uint64_t rate);
/** ay_room_watch() - the monitor begins; after the last ay_room_add(). */
void ay_room_watch(struct ay_room *room);
void ay_room_release(struct ay_room *room); /* does not free the world */

void ay_room_start(struct ay_room_node *n);
void ay_room_stop(struct ay_room_node *n, enum ay_fakenode_end how);
void ay_room_sleep(struct ay_room_node *n);
void ay_room_wake(struct ay_room_node *n);

/**
 * ay_room_copies() - payload of blocks that was sent, by what was of use to who got it: what was sent in vain (asked for twice, or of a
 * session that broke) makes it more than 1. 0: nothing was.
 */
double ay_room_copies(const struct ay_room *room);

/** ay_room_say() - one line of what befalls the room, when verbose. */
void ay_room_say(const struct ay_room *room, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
