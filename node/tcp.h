/* SPDX-License-Identifier: MIT */
/*
 * node/tcp.h - sessions: listener, connections, frames in and out.
 *
 * BLOCK and HASHES frames go from the socket to the disk and back; the core sees
 * only the verdict. All other frames go to the core.
 *
 * What one session may hold is bounded: one cut frame coming in; going out, frames
 * of AY_TCP_QUEUE_BYTES and AY_TCP_QUEUE_BLOCKS blocks, which are read from the
 * page cache when the peer can take them. Who takes nothing for AY_TCP_STALL_MS
 * while something is waiting is closed.
 */
#ifndef AYNI_NODE_TCP_H
#define AYNI_NODE_TCP_H

#include <uv.h>

#include "base/error.h"
#include "node/disk.h"
#include "node/events.h"

#define AY_TCP_QUEUE_BYTES  (1u << 20) /* documents and hash blocks; a root is the largest, 256 KiB */
#define AY_TCP_QUEUE_BLOCKS 256        /* 16 MiB: more than any request window in use */
#define AY_TCP_STALL_MS     30000

struct ay_tcp;

struct ay_tcp_config {
	const struct ay_addr *address; /* of ours, to listen at and to connect from; NULL: any */
	uint16_t port;                 /* 0: any */
	unsigned sessions_max;
	uint64_t rate;     /* block bytes a second to all others together; 0: no limit */
	unsigned stall_ms; /* 0: AY_TCP_STALL_MS */
};

struct ay_tcp_totals {
	uint64_t bytes_in, bytes_out; /* on sockets, all frames */
	unsigned connections;
};

/**
 * ay_tcp_new() - listen.
 * @disk, @events: borrowed until ay_tcp_free().
 *
 * Return: 0; -EADDRINUSE, -EADDRNOTAVAIL, ... with a sentence that names address and port.
 */
int ay_tcp_new(uv_loop_t *loop, const struct ay_tcp_config *config, struct ay_disk *disk,
	       const struct ay_events *events, struct ay_tcp **out, struct ay_err *err);
/** ay_tcp_close() - close all at once, no events; run the loop until its handles are closed, then ay_tcp_free(). */
void ay_tcp_close(struct ay_tcp *t);
void ay_tcp_free(struct ay_tcp *t);

uint16_t ay_tcp_port(const struct ay_tcp *t);
void ay_tcp_totals(const struct ay_tcp *t, struct ay_tcp_totals *out);

/** ay_tcp_order() - CONNECT, CLOSE, FRAME, SEND_BLOCK, SEND_HASHES; events it causes may come inside the call. */
void ay_tcp_order(struct ay_tcp *t, const struct ay_order *order);

#endif
