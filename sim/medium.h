/* SPDX-License-Identifier: MIT */
/*
 * sim/medium.h - virtual time, and the network that the stations share.
 *
 * Everything that happens is an event on one heap, ordered by (time, sequence); every delay and every fault is
 * drawn from one seed. So a run is repeated exactly by repeating its seed.
 *
 *   datagrams   to a group or to one station: each receiver loses, delays, reorders and doubles on its own
 *   sessions    ordered and reliable, as TCP is: frames wait while the path is cut, and after 30 s of that the
 *               sender is told; who vanished without a word leaves its peer half-open
 *   bandwidth   a station sends one byte after the other, at its own rate, frame by frame; or all share a channel (@fair)
 *
 * This is not a radio: stations do not share air, but as @fair has it. (DESIGN section 11 has what comes later.)
 */
#ifndef AYNI_SIM_MEDIUM_H
#define AYNI_SIM_MEDIUM_H

#include "base/prng.h"
#include "proto/core.h"
#include "proto/frame.h"

struct ay_medium;

#define AY_MEDIUM_NEVER    UINT64_MAX
#define AY_MEDIUM_STALL_NS ((uint64_t)30000000000) /* as AY_TCP_STALL_MS */
#define AY_STATIONS_MAX    512

/* Who is on the network. Called from ay_medium_step() only. */
struct ay_station_ops {
	void (*timer)(void *ctx);
	void (*heard)(void *ctx, enum ay_group group, const struct ay_addr *from, struct ay_slice data);
	void (*news_asleep)(
		void *ctx); /* a NEWS datagram while it sleeps; may be NULL: it does not wake on news */
	void (*connected)(void *ctx, uint64_t conn, const struct ay_addr *addr, bool incoming);
	void (*closed)(void *ctx, uint64_t conn, int status);
	void (*frame)(void *ctx, uint64_t conn, uint8_t type, struct ay_slice payload);
	void (*part)(void *ctx,
		     uint64_t conn); /* 4 KiB more of a BLOCK frame came, not its end; may be NULL */
	void (*sent)(void *ctx, uint64_t conn); /* a BLOCK or HASHES frame has left */
};

struct ay_medium_config {
	uint64_t seed;
	unsigned loss_permille, twice_permille, late_permille; /* of datagrams, per receiver */
	uint64_t delay_ns[2];
	/*
	 * All sessions share one channel, 4 KiB of each in turn, as TCP's do on a radio; of a block that takes long the receiver is told
	 * that it comes. Else each station has a line of its own, on which one frame goes after the other, whole.
	 */
	bool fair;
	bool no_parts;    /* a mutant: nobody is told of parts */
	uint64_t late_ns; /* a late datagram comes up to so much later: others overtake it */
};

struct ay_medium *ay_medium_new(const struct ay_medium_config *config);
void ay_medium_free(struct ay_medium *m);
uint64_t ay_medium_now(const struct ay_medium *m);
/** ay_medium_hash() - of all events so far: equal runs have equal hashes. */
uint64_t ay_medium_hash(const struct ay_medium *m);
/** ay_medium_step() - the next event; false: there is none. */
bool ay_medium_step(struct ay_medium *m);
/** ay_medium_call() - @fn is called at @at_ns; for whoever makes the weather. */
void ay_medium_call(struct ay_medium *m, uint64_t at_ns, void (*fn)(void *ctx, uint64_t arg), void *ctx,
		    uint64_t arg);

enum ay_station_state {
	AY_STATION_OFF,    /* no power: silence */
	AY_STATION_DOWN,   /* no process: connections are refused and closed */
	AY_STATION_ASLEEP, /* hears nothing, does nothing, keeps its sessions */
	AY_STATION_UP,
};

/** ay_medium_join() - a station, AY_STATION_OFF. @bytes_per_s: what it can send. Return: its number. */
unsigned ay_medium_join(struct ay_medium *m, const struct ay_addr *addr, uint64_t bytes_per_s,
			const struct ay_station_ops *ops, void *ctx);
/** ay_medium_set_state() - its sessions end when it goes down (peers are told) or off (they are not). */
void ay_medium_set_state(struct ay_medium *m, unsigned station, enum ay_station_state state);
enum ay_station_state ay_medium_state(const struct ay_medium *m, unsigned station);
/** ay_medium_set_island() - stations on different islands do not reach each other. */
void ay_medium_set_island(struct ay_medium *m, unsigned station, unsigned island);
/** ay_medium_break() - one session that is up, by chance, is reset, or @silent: carries nothing any more. */
void ay_medium_break(struct ay_medium *m, bool silent);

/* What a station does. */
void ay_medium_run_at(struct ay_medium *m, unsigned station, uint64_t at_ns);
/** ay_medium_datagram() - @to: NULL for all in the group. @from: NULL: its own address. */
void ay_medium_datagram(struct ay_medium *m, unsigned station, enum ay_group group,
			const struct ay_addr *from, const struct ay_addr *to, struct ay_slice data);
void ay_medium_connect(struct ay_medium *m, unsigned station, uint64_t conn, const struct ay_addr *to);
void ay_medium_close(struct ay_medium *m, unsigned station, uint64_t conn);
void ay_medium_frame(struct ay_medium *m, unsigned station, uint64_t conn, uint8_t type,
		     struct ay_slice payload);

struct ay_station_counts {
	uint64_t datagrams, datagram_bytes;   /* sent */
	uint64_t blocks, block_bytes, frames; /* sent, whether or not they arrived */
};
const struct ay_station_counts *ay_medium_counts(const struct ay_medium *m, unsigned station);

#endif
