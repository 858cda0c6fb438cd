/* SPDX-License-Identifier: MIT */
/*
 * node/networks.h - which networks this machine's interfaces are in.
 */
#ifndef AYNI_NODE_NETWORKS_H
#define AYNI_NODE_NETWORKS_H

#include "proto/event.h"

/** ay_networks() - of all interfaces that are up, but loopback; at most @max. Return: how many; 0 also on failure. */
unsigned ay_networks(struct ay_network *out, unsigned max);

#endif
