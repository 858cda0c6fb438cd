/* SPDX-License-Identifier: MIT */
/*
 * sim/medium_internal.h - what medium.c (events), links.c (sessions) and stations.c (time and stations) share.
 */
#ifndef AYNI_SIM_MEDIUM_INTERNAL_H
#define AYNI_SIM_MEDIUM_INTERNAL_H

#include "sim/heap.h"
#include "sim/medium.h"

#define AY__NET_MS  ((uint64_t)1000000)
#define AY__NET_FIN 255 /* beside the frame types: the other end has closed */

struct ay__net_link {
	unsigned refs, slot; /* slot: in the medium's table */
	bool dead;           /* carries nothing any more, and nobody was told */
	struct ay__net_end {
		unsigned station;
		uint64_t conn;
		bool open;
		uint64_t last_ns;                      /* nothing arrives here before */
		struct ay__net_parcel *waiting, *last; /* arrived, but the path was cut */
		uint64_t waiting_since;
		struct ay__net_parcel *out,
			*out_last; /* sim/fair.c: to be sent, and how much of the first was */
		size_t out_done;
		uint64_t part_ns; /* the first began, or a part of it was told */
	} ends[2];
};

struct ay__net_parcel {
	struct ay__net_parcel *next;
	uint8_t type;
	size_t len;
	uint8_t data[];
};

enum ay__net_kind {
	AY__NET_TIMER,
	AY__NET_HEARD,
	AY__NET_SYN,
	AY__NET_ACK,
	AY__NET_CLOSED,
	AY__NET_PARCEL,
	AY__NET_FLUSH,
	AY__NET_SENT,
	AY__NET_STALLED,
	AY__NET_CHUNK,
	AY__NET_PART,
	AY__NET_CALL
};

struct ay__net_event {
	uint64_t at_ns;
	enum ay__net_kind kind;
	unsigned station;
	uint64_t generation; /* of a timer; stalled: since when */
	struct ay__net_link *link;
	unsigned end; /* that it concerns: receiver, or who is told */
	int status;
	enum ay_group group;
	struct ay_addr from;
	struct ay__net_parcel *parcel;
	void (*fn)(void *ctx, uint64_t arg);
	void *ctx;
	uint64_t arg;
};

struct ay__net_station {
	struct ay_addr addr;
	struct ay_station_ops ops;
	void *ctx;
	enum ay_station_state state;
	unsigned island;
	uint64_t ps_per_byte; /* picoseconds: a rate need not divide 10^9 */
	uint64_t busy_until;
	uint64_t wake_at, generation;
	bool overslept;
	struct ay_station_counts counts;
};

struct ay_medium {
	struct ay_medium_config config;
	struct ay_prng prng;
	uint64_t now, next_conn, hash;
	struct ay_heap heap; /* of events */
	struct ay__net_station *stations;
	unsigned n_stations;
	struct ay__net_link **links;
	unsigned n_links, cap_links;
	bool sending;  /* sim/fair.c: a chunk is on its way */
	unsigned turn; /* whose the last one was */
};

struct ay__net_parcel *ay__net_parcel_new(uint8_t type, struct ay_slice data);
struct ay__net_event *ay__net_push_link(struct ay_medium *m, enum ay__net_kind kind, uint64_t at_ns,
					struct ay__net_link *l, unsigned end);
struct ay__net_link *ay__net_link_new(struct ay_medium *m);
void ay__net_drop_waiting(struct ay__net_end *e);
void ay__net_link_unref(struct ay_medium *m, struct ay__net_link *l);
void ay__net_end_open(struct ay__net_link *l, unsigned i, unsigned station, uint64_t conn);
void ay__net_end_close(struct ay_medium *m, struct ay__net_link *l, unsigned i);
struct ay__net_link *ay__net_link_of(const struct ay_medium *m, unsigned station, uint64_t conn,
				     unsigned *end);
uint64_t ay__net_delay(struct ay_medium *m);
bool ay__net_chance(struct ay_medium *m, unsigned permille);
bool ay__net_path(const struct ay_medium *m, unsigned a, unsigned b);
bool ay__net_passes(const struct ay_medium *m, const struct ay__net_link *l, unsigned end);
uint64_t ay__net_arrival(struct ay_medium *m, struct ay__net_link *l, unsigned end, uint64_t leaves_ns);
void ay__net_send_parcel(struct ay_medium *m, struct ay__net_link *l, unsigned end, uint64_t leaves_ns,
			 struct ay__net_parcel *p);
/** ay__net_fair_send() - in chunks, in turn with all other sessions (sim/fair.c). */
void ay__net_fair_send(struct ay_medium *m, struct ay__net_link *l, unsigned end, struct ay__net_parcel *p);
void ay__net_on_chunk(struct ay_medium *m, const struct ay__net_event *e);
void ay__net_on_part(struct ay_medium *m, const struct ay__net_event *e);
void ay__net_drop_out(struct ay__net_end *e);
#define AY__NET_FRAME_OVERHEAD 60 /* bytes on the wire beside the payload */
void ay__net_flush_links(struct ay_medium *m);
void ay__net_tell_closed(struct ay_medium *m, struct ay__net_link *l, unsigned end, int status);
void ay__net_on_parcel(struct ay_medium *m, struct ay__net_link *l, unsigned end, struct ay__net_parcel *p);
void ay__net_on_flush(struct ay_medium *m, struct ay__net_link *l, unsigned end);
void ay__net_on_stalled(struct ay_medium *m, const struct ay__net_event *e);
struct ay__net_event *ay__net_push(struct ay_medium *m, enum ay__net_kind kind, uint64_t at_ns);

#endif
