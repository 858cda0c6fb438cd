/* SPDX-License-Identifier: MIT */
/*
 * proto/peers.h - addresses, and hosts with a bad name.
 */
#ifndef AYNI_PROTO_PEERS_H
#define AYNI_PROTO_PEERS_H

#include "proto/core_state.h"

bool ay__same_host(const struct ay_addr *a, const struct ay_addr *b);
bool ay__same_addr(const struct ay_addr *a, const struct ay_addr *b);
bool ay__loopback(const struct ay_addr *a);
bool ay__host_banned(const struct ay_core *c, const struct ay_addr *addr);
/* @points < 0. The host's score now. */
int ay__host_punish(struct ay_core *c, const struct ay_addr *addr, int points, bool ban);

/* The static ones, at the first event. */
void ay__peers_start(struct ay_core *c);
/* Somebody shouted. Its index, or AY__NONE: no room. */
int ay__peer_heard(struct ay_core *c, const struct ay_addr *addr, const struct ay_wire_datagram *d);
/* The peer at @teller names others: those that it may name (proto/reach.h), and no more than its share. */
void ay__peer_passed(struct ay_core *c, const struct ay_addr *teller, const struct ay_wire_peers *p);
/* Only named by somebody, never heard and never met. */
bool ay__peer_stranger(const struct ay__peer *p);
void ay__peer_greeted(struct ay_core *c, struct ay__session *s);
void ay__peer_done(struct ay_core *c, struct ay__session *s, bool failed);
/* Not connected to before @for_ns have passed. */
void ay__peer_avoid(struct ay_core *c, struct ay__session *s, uint64_t for_ns);
/* Heard in CHAT lately. */
unsigned ay__neighbours(const struct ay_core *c);
/* Between half of @ns and @ns. */
uint64_t ay__jitter(struct ay_core *c, uint64_t ns);

#endif
