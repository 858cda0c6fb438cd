/* SPDX-License-Identifier: MIT */
/*
 * proto/reach.h - which addresses a peer may name to another. The only place that looks into an address.
 *
 * A pure question. A stranger's list is a stranger's wish: without this rule one frame
 * would send a whole class to any door in the world.
 */
#ifndef AYNI_PROTO_REACH_H
#define AYNI_PROTO_REACH_H

#include "proto/event.h"

#include <stdbool.h>

/**
 * ay_reach_passed() - may @teller, met at its address, name @addr as a place to connect to?
 * @own: networks that this node's interfaces are in (@n of them).
 *
 * Never: what is nobody's (unspecified, multicast, broadcast, reserved, translated to IPv4), ports below 1024 (other
 * people's services), IPv6 link-local (it needs an interface, which does not travel). Loopback only from loopback,
 * IPv4 link-local only from there. Else what lies in a network of ours; or private addresses (RFC 1918, RFC 6598,
 * RFC 4193) of the same block as the teller's or a network of ours: a school's other rooms.
 */
bool ay_reach_passed(const struct ay_network *own, unsigned n, const struct ay_addr *teller,
		     const struct ay_addr *addr);

#endif
