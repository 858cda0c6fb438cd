/* SPDX-License-Identifier: MIT */
/*
 * node/tcp_internal.h - what the two files of the sessions share: tcp.c (listening, connecting, orders, time) and
 * tcp_conn.c (one connection: its queues, its bytes). Nobody else includes it.
 */
#ifndef AYNI_NODE_TCP_INTERNAL_H
#define AYNI_NODE_TCP_INTERNAL_H

#include "node/stream.h"
#include "node/tcp.h"

#define AY__TCP_READ_SIZE     (256u * 1024) /* four blocks a system call; one buffer for all sessions */
#define AY__TCP_RATE_BURST_MS 250
/* Of a block that is coming the core is told so often, and when so much of it came: a byte now and then is no progress. */
#define AY__TCP_PART_MS    500
#define AY__TCP_PART_BYTES 4096

struct ay__out {
	struct ay__out *next;
	size_t len, done;              /* bytes in data: the frame, or a block's header */
	struct ay_disk_bundle *bundle; /* a block's rest: referenced; else NULL */
	off_t file_pos;
	size_t file_left;
	bool tell_sent;
	uint8_t data[];
};

struct ay__queue {
	struct ay__out *first, *last;
};

struct ay__conn {
	struct ay_tcp *tcp;
	struct ay__conn *next;
	uint64_t id;
	int fd;
	uv_poll_t poll;
	struct ay_addr addr;
	bool incoming, connecting, dead, want_write, held, dirty;
	struct ay_stream in;
	uint64_t part_ms;        /* when the core was last told that a block is coming, */
	size_t part_bytes;       /* and bytes since then */
	struct ay__queue small;  /* frames that lie in memory: first, unless a block has begun */
	struct ay__queue blocks; /* the first one may have begun (done > 0) */
	size_t queue_bytes;
	unsigned queue_blocks;
	int unacked;          /* bytes in the kernel that the peer has not acknowledged, at the last look */
	uint64_t progress_ms; /* when the peer last took something, or the queue was empty */
};

struct ay_tcp {
	uv_loop_t *loop;
	struct ay_disk *disk;
	struct ay_events events;
	struct ay_addr address;
	bool has_address, closed;
	int listen_fd;
	uv_poll_t listen_poll;
	uint16_t port;
	uv_prepare_t flush;
	uv_timer_t timer;
	struct ay__conn *conns;
	unsigned n_conns, conns_max;
	unsigned stall_ms;
	bool accepting;
	uint64_t next_id; /* even; the core's own are odd */
	uint64_t bytes_in, bytes_out;
	uint64_t rate;
	int64_t tokens; /* bytes; below zero: wait */
	uint64_t tokens_ms;
	uint8_t *buf; /* AY__TCP_READ_SIZE */
};

/** ay__conn_new() - takes @fd over in every case. NULL: out of memory. */
struct ay__conn *ay__conn_new(struct ay_tcp *t, int fd, uint64_t id, const struct ay_addr *addr,
			      bool incoming);
struct ay__conn *ay__conn_find(struct ay_tcp *t, uint64_t id);
/** ay__conn_close() - no event. Its memory lives until the loop's next turn: callers up the stack look at dead. */
void ay__conn_close(struct ay__conn *c);
/** ay__conn_fail() - close it and tell the core. */
void ay__conn_fail(struct ay__conn *c, int status);
/** ay__conn_watch() - wait for what the connection is in need of now. */
void ay__conn_watch(struct ay__conn *c);
/** ay__conn_waiting() - is anything in its queues? */
bool ay__conn_waiting(const struct ay__conn *c);
/** ay__conn_send() - carry out FRAME, SEND_BLOCK or SEND_HASHES; may fail the connection. */
void ay__conn_send(struct ay__conn *c, const struct ay_order *order);
/** ay__conn_flush_soon() - write at the end of this turn of the loop. */
void ay__conn_flush_soon(struct ay__conn *c);
/** ay__tcp_set_options() - of a socket of a session. */
void ay__tcp_set_options(int fd, int family);

#endif
