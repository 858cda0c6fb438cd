/* SPDX-License-Identifier: MIT */
/*
 * node/udp.h - the groups NEWS and CHAT, and single datagrams.
 *
 *     NEWS  224.0.0.254, ff12::6179:6e69   UDP 24953
 *     CHAT  the same groups                UDP 24954
 *
 * Per node one socket for what it sends and for what is sent to it alone, and one
 * socket per group to listen. Several nodes share a host: the groups' sockets are
 * shared, and a node's own socket takes the CHAT port where it is free and any
 * other where it is not, so that each has an address of its own.
 */
#ifndef AYNI_NODE_UDP_H
#define AYNI_NODE_UDP_H

#include <uv.h>

#include "base/error.h"
#include "node/events.h"

#define AY_GROUP_V4           "224.0.0.254"
#define AY_GROUP_V6           "ff12::6179:6e69"
#define AY_UDP_INTERFACES_MAX 8 /* more is a router, which says which */

struct ay_udp;

struct ay_udp_config {
	const char *interface; /* "": all that can multicast */
	const struct ay_addr
		*address; /* of ours, to speak from; NULL: any. Its family is the only one used */
	uint16_t news_port, chat_port;
};

/**
 * ay_udp_new() - open the sockets and join the groups.
 *
 * That no interface can multicast is no error here: see ay_udp_interfaces().
 * Return: 0; -EADDRINUSE, ... with a sentence: another program holds a port and does not share it.
 */
int ay_udp_new(uv_loop_t *loop, const struct ay_udp_config *config, const struct ay_events *events,
	       struct ay_udp **out, struct ay_err *err);
/** ay_udp_close() - no events any more; run the loop until its handles are closed, then ay_udp_free(). */
void ay_udp_close(struct ay_udp *u);
void ay_udp_free(struct ay_udp *u);

/** ay_udp_rescan() - interfaces or addresses changed: join what is new. */
void ay_udp_rescan(struct ay_udp *u);

/** ay_udp_interfaces() - on how many the groups are joined; @names gets them, separated by spaces. */
unsigned ay_udp_interfaces(const struct ay_udp *u, char *names, size_t size);

/** ay_udp_send() - carry out a DATAGRAM order. What does not leave is lost, as datagrams are. */
void ay_udp_send(struct ay_udp *u, const struct ay_order *order);

#endif
