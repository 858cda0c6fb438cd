/* SPDX-License-Identifier: MIT */
/*
 * proto/core_internal.h - what the rooms of the core call of each other.
 *
 *     core.c      the door: one event in, orders out; deadlines
 *     orders.c    the list of orders and the bytes they lend
 *     docs.c      roots, releases and offers in memory
 *     announce.c  NEWS, CHAT, questions; a head is heard and verified           (step 1 of the data's way)
 *     learn.c     asks peers for roots, heads, releases, offers; answers them
 *     update.c    what to take, by which way (way.c, plan.c), apply, announce   (step 2, and drives 3 to 6)
 *     swarm.c     collects the bundle's blocks; pick.c: which block from whom   (step 3)
 *     links.c     what two peers know of each other about one bundle
 *     bundles.c   the table of bundles
 *     serve.c     answers requests
 *     session.c   handshake, frames in, penalties
 *     peers.c     addresses: whom to connect to, whom not to let in
 *     check.c     invariants, status
 */
#ifndef AYNI_PROTO_CORE_INTERNAL_H
#define AYNI_PROTO_CORE_INTERNAL_H

#include "proto/core_state.h"

/* ---- orders.c */
void ay__orders_reset(struct ay__orders *o);
void ay__orders_release(struct ay__orders *o);
int ay__orders_reserve(struct ay__orders *o);
struct ay_order *ay__order(struct ay_core *c, enum ay_order_type type);
/* Bytes that live until the next step; NULL: out of memory (noted, the order is to be left out). */
const uint8_t *ay__lend(struct ay_core *c, const void *data, size_t len);
/* A frame whose payload is in c->scratch (then emptied). */
void ay__frame(struct ay_core *c, struct ay__session *s, uint8_t type);
uint64_t ay__token_new(struct ay_core *c, enum ay__token_kind kind, int index);
uint64_t ay__store(struct ay_core *c, enum ay_order_type type, enum ay__token_kind kind, int index,
		   const void *data, size_t len, const char *branch);
bool ay__token_room(const struct ay_core *c);
void ay__trace(struct ay_core *c, const char *room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define AY__TRACE(c, room, ...)                                                                              \
	do {                                                                                                 \
		if ((c)->cfg.trace)                                                                          \
			ay__trace(c, room, __VA_ARGS__);                                                     \
	} while (0)
struct ay__hex {
	char s[17];
};
/* The first 8 digits, for traces and problems. */
struct ay__hex ay__short(const struct ay_digest *d);

/* ---- docs.c */
int ay__branch_find(const struct ay_core *c, const char *name);
int ay__branch_find_id(const struct ay_core *c, const struct ay_branch_id *id);
int ay__branch_add(struct ay_core *c, const char *name);
void ay__branch_ids(struct ay_core *c);
int ay__root_local(struct ay_core *c, struct ay_slice data);
int ay__root_heard(struct ay_core *c, struct ay_slice data);
void ay__root_stored(struct ay_core *c, int status);
const struct ay__root_doc *ay__root_doc(const struct ay_core *c, uint32_t version);
int ay__release_find(const struct ay_core *c, const struct ay_digest *digest);
int ay__release_of(const struct ay_core *c, int branch, const struct ay_digest *manifest);
int ay__release_serial(const struct ay_core *c, int branch, uint32_t serial);
/* @branch AY__NONE: whichever it names. @index: where it is now. */
int ay__release_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index);
int ay__offer_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index);
void ay__docs_recheck(struct ay_core *c);
void ay__docs_release(struct ay_core *c);

/* ---- announce.c */
void ay__announce_start(struct ay_core *c);
int ay__head_local(struct ay_core *c, struct ay_slice data);
enum ay__head_source { AY__HEAD_NEWS, AY__HEAD_CHAT, AY__HEAD_SESSION };
/* A head that somebody sent. 0 also for old news; negative: it is a lie. */
int ay__head_heard(struct ay_core *c, struct ay_slice data, enum ay__head_source source);
void ay__head_stored(struct ay_core *c, struct ay__branch *b, uint64_t token, int status);
int ay__announce_datagram(struct ay_core *c, enum ay_group group, const struct ay_addr *from,
			  struct ay_slice data);
void ay__announce_run(struct ay_core *c);
uint64_t ay__announce_next(const struct ay_core *c);
void ay__announce_ask(struct ay_core *c, uint64_t within_ns);
unsigned ay__neighbours(const struct ay_core *c);

/* ---- learn.c */
void ay__learn_run(struct ay_core *c);
void ay__learn_tick(struct ay_core *c);
int ay__learn_answer(struct ay_core *c, struct ay__session *s, const struct ay_wire_ask *a);
int ay__learn_doc(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__learn_none(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
void ay__learn_release_stored(struct ay_core *c, int index, int status);
void ay__learn_session_gone(struct ay_core *c, struct ay__session *s);
void ay__learn_summary(struct ay_core *c, struct ay__session *s, const struct ay_wire_hello *h);
void ay__learn_forget(struct ay_core *c, struct ay__session *s, const struct ay_digest *bundle);
void ay__learn_new_head(struct ay_core *c, struct ay__branch *b);
void ay__interest_add(struct ay__branch *b, const struct ay_digest *manifest, bool need_release);

/* ---- way.c */
struct ay__way {
	int offer;   /* whose bundle to collect now */
	int release; /* that applying it makes */
	uint32_t target_serial;
	unsigned steps;
};
/* May the tree of @r be made on the way to @b's head? */
bool ay__way_may_pass(const struct ay_core *c, const struct ay__branch *b, const struct ay__release *r);
bool ay__way_find(struct ay_core *c, struct ay__branch *b, struct ay__way *way);

/* ---- update.c */
void ay__update_run(struct ay_core *c);
void ay__update_now(struct ay_core *c, struct ay__branch *b, bool force);
void ay__update_tick(struct ay_core *c);
uint64_t ay__update_next(const struct ay_core *c);
void ay__update_bundle_open(struct ay_core *c, int bundle);
void ay__update_bundle_gone(struct ay_core *c, int bundle, int status);
void ay__update_bundle_full(struct ay_core *c, int bundle);
void ay__update_bundle_stored(struct ay_core *c, int bundle, int status);
void ay__update_offer_stored(struct ay_core *c, int offer, int status);
void ay__update_disk_trouble(struct ay_core *c, int bundle, int status);
void ay__update_applied(struct ay_core *c, const struct ay_event *ev);
/* Does this node need anything of anybody? Then it keeps sessions. */
bool ay__core_wants(const struct ay_core *c);
bool ay__core_incomplete(const struct ay_core *c);
/* Is a newer release known and not taken yet? */
bool ay__core_held(const struct ay_core *c);
enum ay_branch_phase ay__update_phase(const struct ay_core *c, const struct ay__branch *b);

/* ---- bundles.c */
int ay__bundle_find(const struct ay_core *c, const struct ay_digest *digest);
int ay__bundle_open(struct ay_core *c, const struct ay_digest *digest, uint64_t size);
int ay__bundle_event(struct ay_core *c, const struct ay_event *ev);
int ay__bundle_gone(struct ay_core *c, const struct ay_digest *digest, int status);
void ay__bundle_drop(struct ay_core *c, int bundle);
void ay__bundle_whole(struct ay__bundle *b);
void ay__bundle_free(struct ay_core *c, int bundle);
void ay__bundles_trim(struct ay_core *c);
static inline bool ay__bit(const uint64_t *words, uint32_t i)
{
	return words[i / 64] >> (i % 64) & 1;
}
static inline void ay__bit_set(uint64_t *words, uint32_t i)
{
	words[i / 64] |= (uint64_t)1 << (i % 64);
}
static inline void ay__bit_clear(uint64_t *words, uint32_t i)
{
	words[i / 64] &= ~((uint64_t)1 << (i % 64));
}
static inline bool ay__bundle_has(const struct ay__bundle *b, uint32_t i)
{
	return b->state == AY__B_WHOLE || (b->had && ay__bit(b->had, i));
}

/* ---- links.c */
struct ay__link *ay__link_find(struct ay__session *s, const struct ay_digest *digest);
struct ay__link *ay__link_of(struct ay__session *s, int bundle);
struct ay__link *ay__link_make(struct ay_core *c, struct ay__session *s, const struct ay_digest *digest,
			       uint64_t size);
void ay__link_clear(struct ay_core *c, struct ay__session *s, struct ay__link *l);
void ay__link_unwant(struct ay_core *c, struct ay__session *s, struct ay__link *l);
void ay__link_lose(struct ay_core *c, struct ay__session *s, struct ay__link *l);
void ay__swarm_bundle_here(struct ay_core *c, int bundle);
int ay__swarm_want(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_bitmap(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_have(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_refused(struct ay_core *c, struct ay__session *s, int bundle, uint32_t index, bool ask_peers,
		      uint32_t pause_ms);
bool ay__swarm_holder(const struct ay_core *c, int bundle);

/* ---- swarm.c */
void ay__swarm_collect(struct ay_core *c, int bundle, bool on);
void ay__swarm_greet(struct ay_core *c, struct ay__session *s);
int ay__swarm_reject(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__swarm_block(struct ay_core *c, struct ay__session *s, const struct ay_event *ev);
int ay__swarm_hashes(struct ay_core *c, struct ay__session *s, const struct ay_event *ev);
void ay__swarm_session_gone(struct ay_core *c, struct ay__session *s);
void ay__swarm_bundle_left(struct ay_core *c, int bundle);
void ay__swarm_fill(struct ay_core *c, struct ay__session *s);
void ay__swarm_run(struct ay_core *c);
void ay__swarm_tick(struct ay_core *c);

/* ---- pick.c */
struct ay__pick {
	int bundle;
	uint32_t index;
	uint8_t attempt;
};
bool ay__pick(struct ay_core *c, const struct ay__session *s, struct ay__pick *out);
/* A block asked of somebody slow already, for the end of a collection. */
bool ay__pick_again(struct ay_core *c, const struct ay__session *s, struct ay__pick *out);

/* ---- serve.c */
int ay__serve_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__serve_hash_request(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
int ay__serve_cancel(struct ay_core *c, struct ay__session *s, struct ay_slice payload);
void ay__serve_sent(struct ay_core *c, uint64_t conn);
void ay__serve_run(struct ay_core *c);
void ay__serve_bundle_left(struct ay_core *c, int bundle);

/* ---- session.c */
struct ay__session *ay__session_find(const struct ay_core *c, uint64_t conn);
struct ay__session *ay__session_new(struct ay_core *c, uint64_t conn, const struct ay_addr *addr,
				    bool incoming);
int ay__session_connected(struct ay_core *c, const struct ay_event *ev);
void ay__session_closed(struct ay_core *c, const struct ay_event *ev);
int ay__session_frame(struct ay_core *c, const struct ay_event *ev);
int ay__session_block(struct ay_core *c, const struct ay_event *ev);
/* Close it; it is freed when the step ends. */
void ay__session_close(struct ay_core *c, struct ay__session *s, int status, const char *why);
/* @points < 0. May close and ban. */
void ay__session_punish(struct ay_core *c, struct ay__session *s, int points, const char *why);
void ay__session_hello_all(struct ay_core *c);
void ay__session_tick(struct ay_core *c);
void ay__session_sweep(struct ay_core *c);
static inline bool ay__ready(const struct ay__session *s)
{
	return s && s->state == AY__SE_READY;
}

/* ---- peers.c */
bool ay__same_host(const struct ay_addr *a, const struct ay_addr *b);
bool ay__same_addr(const struct ay_addr *a, const struct ay_addr *b);
bool ay__host_banned(const struct ay_core *c, const struct ay_addr *addr);
int ay__host_punish(struct ay_core *c, const struct ay_addr *addr, int points, bool ban);
void ay__peers_start(struct ay_core *c);
bool ay__loopback(const struct ay_addr *a);
void ay__peer_greeted(struct ay_core *c, struct ay__session *s);
void ay__peer_avoid(struct ay_core *c, struct ay__session *s, uint64_t for_ns);
int ay__peer_heard(struct ay_core *c, const struct ay_addr *addr, const struct ay_wire_datagram *d);
void ay__peer_passed(struct ay_core *c, const struct ay__session *s, const struct ay_wire_peers *p);
void ay__peer_done(struct ay_core *c, struct ay__session *s, bool failed);
void ay__peers_run(struct ay_core *c);
void ay__peers_wake(struct ay_core *c);
uint64_t ay__peers_next(const struct ay_core *c);

/* ---- check.c has ay_core_status() and ay_core_check() */

#endif
