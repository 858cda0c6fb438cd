/* SPDX-License-Identifier: MIT */
/*
 * One connection: its queues, what leaves, what comes.
 *
 * Frames of one turn of the loop are gathered and leave together just before the loop waits again, so that ten
 * HAVEs are one packet on the air and not ten. Small frames overtake blocks that have not begun. The kernel is given
 * little in advance (TCP_NOTSENT_LOWAT): what still stands in our own queue can be overtaken. Blocks leave by
 * sendfile, from the page cache.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "node/tcp_internal.h"

#define READS_PER_TURN   4 /* then others have their turn */
#define WRITES_PER_TURN  16
#define IOV_MAX_OURS     32
#define UNSENT_IN_KERNEL (192 * 1024) /* three blocks: enough to keep a fast link busy between two turns */
#define DSCP_CS1         (8 << 2)     /* RFC 3662: lower effort, so that lessons go first */

static void on_poll(uv_poll_t *p, int status, int events);

/* ---- a connection's life ---- */

static void out_free(struct ay__out *o)
{
	if (o->bundle)
		ay_disk_bundle_unref(o->bundle);
	free(o);
}

static void queue_push(struct ay__queue *q, struct ay__out *o)
{
	if (q->last)
		q->last->next = o;
	else
		q->first = o;
	q->last = o;
}

static struct ay__out *queue_take(struct ay__queue *q)
{
	struct ay__out *o = q->first;
	q->first = o->next;
	if (!q->first)
		q->last = NULL;
	return o;
}

static void drop_queue(struct ay__conn *c)
{
	while (c->small.first)
		out_free(queue_take(&c->small));
	while (c->blocks.first)
		out_free(queue_take(&c->blocks));
	c->queue_bytes = 0;
	c->queue_blocks = 0;
}

bool ay__conn_waiting(const struct ay__conn *c)
{
	return c->small.first || c->blocks.first;
}

static bool block_begun(const struct ay__conn *c)
{
	return c->blocks.first && c->blocks.first->done > 0;
}

static void on_conn_closed(uv_handle_t *h)
{
	struct ay__conn *c = h->data;
	close(c->fd);
	ay_stream_release(&c->in);
	free(c);
}

/* Memory lives until the loop's next turn: callers up the stack still look at c->dead. */
void ay__conn_close(struct ay__conn *c)
{
	struct ay_tcp *t = c->tcp;
	if (c->dead)
		return;
	c->dead = true;
	struct ay__conn **p = &t->conns;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	t->n_conns--;
	drop_queue(c);
	uv_close((uv_handle_t *)&c->poll, on_conn_closed);
}

void ay__conn_fail(struct ay__conn *c, int status)
{
	if (c->dead)
		return;
	struct ay_event ev = {.type = AY_EV_CLOSED,
			      .status = status,
			      .conn = {.id = c->id, .addr = c->addr, .incoming = c->incoming}};
	struct ay_tcp *t = c->tcp;
	ay__conn_close(c);
	ay_events_post(&t->events, &ev);
}

void ay__conn_watch(struct ay__conn *c)
{
	if (c->dead)
		return;
	int events = c->connecting ? UV_WRITABLE : UV_READABLE | (c->want_write ? UV_WRITABLE : 0);
	uv_poll_start(&c->poll, events, on_poll);
}

void ay__tcp_set_options(int fd, int family)
{
	int one = 1, unsent = UNSENT_IN_KERNEL, tos = DSCP_CS1, stall = AY_TCP_STALL_MS;
	/* Each only makes things nicer; a kernel without it still works. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof(stall));
	setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

/* Takes @fd over in every case. */
struct ay__conn *ay__conn_new(struct ay_tcp *t, int fd, uint64_t id, const struct ay_addr *addr,
			      bool incoming)
{
	struct ay__conn *c = calloc(1, sizeof(*c));
	if (!c || uv_poll_init_socket(t->loop, &c->poll, fd)) {
		free(c);
		close(fd);
		return NULL;
	}
	c->tcp = t;
	c->fd = fd;
	c->id = id;
	c->addr = *addr;
	c->incoming = incoming;
	c->poll.data = c;
	c->progress_ms = uv_now(t->loop);
	c->next = t->conns;
	t->conns = c;
	t->n_conns++;
	return c;
}

struct ay__conn *ay__conn_find(struct ay_tcp *t, uint64_t id)
{
	for (struct ay__conn *c = t->conns; c; c = c->next) {
		if (c->id == id)
			return c;
	}
	return NULL;
}

/* ---- out ---- */

static bool rate_allows(struct ay_tcp *t)
{
	if (!t->rate)
		return true;
	uint64_t now = uv_now(t->loop);
	int64_t burst = (int64_t)(t->rate * AY__TCP_RATE_BURST_MS / 1000);
	if (burst < AY_BLOCK_SIZE)
		burst = AY_BLOCK_SIZE;
	uint64_t passed = now - t->tokens_ms;
	if (passed > 60000)
		passed = 60000; /* keeps the product small; the bucket is full anyway */
	t->tokens += (int64_t)(t->rate * passed / 1000);
	if (t->rate * passed / 1000)
		t->tokens_ms = now;
	if (t->tokens > burst)
		t->tokens = burst;
	return t->tokens > 0;
}

static void took(struct ay__conn *c, size_t n)
{
	c->tcp->bytes_out += n;
	c->progress_ms = uv_now(c->tcp->loop);
}

static void pop(struct ay__conn *c, struct ay__queue *q)
{
	struct ay__out *o = queue_take(q);
	c->queue_bytes -= o->len;
	if (o->bundle)
		c->queue_blocks--;
	bool tell = o->tell_sent;
	out_free(o);
	if (tell) {
		struct ay_event ev = {.type = AY_EV_SENT, .block = {.conn = c->id}};
		ay_events_post(&c->tcp->events, &ev);
	}
}

/* The kernel took @n bytes of the small frames in front. */
static void advance(struct ay__conn *c, size_t n)
{
	while (n > 0 && !c->dead) {
		struct ay__out *o = c->small.first;
		size_t part = o->len - o->done < n ? o->len - o->done : n;
		o->done += part;
		n -= part;
		if (o->done == o->len)
			pop(c, &c->small);
	}
}

/* All that lies in memory, up to and with the next block's header. Bytes, or -errno. */
static ssize_t write_memory(struct ay__conn *c)
{
	struct iovec iov[IOV_MAX_OURS];
	struct msghdr msg = {.msg_iov = iov};
	struct ay__out *o = block_begun(c) ? NULL : c->small.first;
	size_t small = 0;
	for (; o && msg.msg_iovlen < IOV_MAX_OURS - 1; o = o->next) {
		iov[msg.msg_iovlen++] = (struct iovec){o->data + o->done, o->len - o->done};
		small += o->len - o->done;
	}
	struct ay__out *block = o ? NULL : c->blocks.first;
	if (block && (block->done > 0 || rate_allows(c->tcp)))
		iov[msg.msg_iovlen++] = (struct iovec){block->data + block->done, block->len - block->done};
	else
		block = NULL;
	if (msg.msg_iovlen == 0)
		return -EBUSY; /* held back by the rate */
	ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | (block ? MSG_MORE : 0));
	if (n < 0)
		return -errno;
	took(c, (size_t)n);
	/* The block first: what the small ones tell may bring new small ones. */
	if (block && (size_t)n > small)
		block->done += (size_t)n - small;
	advance(c, (size_t)n < small ? (size_t)n : small);
	return n;
}

/* The rest of the block that has begun. Bytes, or -errno. */
static ssize_t write_file(struct ay__conn *c)
{
	struct ay__out *o = c->blocks.first;
	int fd = ay_bundle_file_fd(ay_disk_bundle_file(o->bundle));
	ssize_t n = sendfile(c->fd, fd, &o->file_pos, o->file_left);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EIO; /* the file is shorter than its block: somebody cut it */
	took(c, (size_t)n);
	c->tcp->tokens -= n;
	o->file_left -= (size_t)n;
	if (o->file_left == 0)
		pop(c, &c->blocks);
	return n;
}

static void conn_write(struct ay__conn *c)
{
	ssize_t r = 0;
	for (int i = 0; i < WRITES_PER_TURN && !c->dead && ay__conn_waiting(c) && r >= 0; i++) {
		struct ay__out *block = c->blocks.first;
		r = block && block->done == block->len ? write_file(c) : write_memory(c);
	}
	if (c->dead)
		return;
	if (r < 0 && r != -EAGAIN && r != -EINTR && r != -EBUSY) {
		ay__conn_fail(c, (int)r);
		return;
	}
	c->held = r == -EBUSY; /* the timer goes on with it */
	bool want = ay__conn_waiting(c) && !c->held;
	if (want != c->want_write) {
		c->want_write = want;
		ay__conn_watch(c);
	}
	if (!ay__conn_waiting(c))
		c->progress_ms = uv_now(c->tcp->loop);
}

static void on_flush(uv_prepare_t *p)
{
	struct ay_tcp *t = p->data;
	bool again = true;
	uv_prepare_stop(p);
	/* SENT events may bring new frames and close sessions: begin anew after each. */
	while (again) {
		again = false;
		for (struct ay__conn *c = t->conns; c; c = c->next) {
			if (!c->dirty || c->connecting)
				continue;
			c->dirty = false;
			conn_write(c);
			again = true;
			break;
		}
	}
}

void ay__conn_flush_soon(struct ay__conn *c)
{
	c->dirty = true;
	uv_prepare_start(&c->tcp->flush, on_flush);
}

/* Takes @o over. */
static void enqueue(struct ay__conn *c, struct ay__out *o)
{
	struct ay_tcp *t = c->tcp;
	if (c->queue_bytes + o->len > AY_TCP_QUEUE_BYTES || c->queue_blocks >= AY_TCP_QUEUE_BLOCKS) {
		out_free(o);
		ay__conn_fail(c, AY_ELIMIT);
		return;
	}
	if (!ay__conn_waiting(c))
		c->progress_ms = uv_now(t->loop);
	queue_push(o->bundle ? &c->blocks : &c->small, o);
	c->queue_bytes += o->len;
	if (o->bundle)
		c->queue_blocks++;
	/* While the socket is full it will tell; else everything leaves at the end of this turn. */
	if (!c->want_write)
		ay__conn_flush_soon(c);
}

static struct ay__out *out_new(uint8_t type, const void *head, size_t head_len, const void *payload,
			       size_t len, size_t behind)
{
	struct ay__out *o = calloc(1, sizeof(*o) + AY_FRAME_HEADER + head_len + len);
	if (!o)
		return NULL;
	ay_frame_header_put(o->data, (uint32_t)(head_len + len + behind), type);
	if (head_len)
		memcpy(o->data + AY_FRAME_HEADER, head, head_len);
	if (len)
		memcpy(o->data + AY_FRAME_HEADER + head_len, payload, len);
	o->len = AY_FRAME_HEADER + head_len + len;
	return o;
}

static void send_frame(struct ay__conn *c, const struct ay_order *order)
{
	AY_ASSERT(order->data.len < AY_FRAME_MAX);
	struct ay__out *o = out_new(order->frame.type, NULL, 0, order->data.data, order->data.len, 0);
	if (o)
		enqueue(c, o);
	else
		ay__conn_fail(c, -ENOMEM);
}

static void send_block(struct ay__conn *c, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(c->tcp->disk, &order->block.bundle);
	uint32_t len = b ? ay_block_len(ay_disk_bundle_size(b), order->block.index) : 0;
	uint8_t head[AY_BLOCK_HEADER];
	if (len == 0) {
		ay__conn_fail(c, -ENOENT); /* dropped meanwhile; the peer asks another */
		return;
	}
	ay_frame_block_put(head, &order->block.bundle, order->block.index);
	struct ay__out *o = out_new(AY_FRAME_BLOCK, head, sizeof(head), NULL, 0, len);
	if (!o) {
		ay__conn_fail(c, -ENOMEM);
		return;
	}
	o->bundle = b;
	ay_disk_bundle_ref(b);
	o->file_pos = (off_t)order->block.index * AY_BLOCK_SIZE;
	o->file_left = len;
	o->tell_sent = true;
	enqueue(c, o);
}

static void send_hashes(struct ay__conn *c, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(c->tcp->disk, &order->hashes.bundle);
	const uint8_t *block = b ? ay_merkle_get(ay_bundle_file_merkle(ay_disk_bundle_file(b)),
						 order->hashes.level, order->hashes.index)
				 : NULL;
	uint8_t head[AY_HASHES_HEADER];
	if (!block) {
		ay__conn_fail(c, -ENOENT);
		return;
	}
	ay_frame_hashes_put(head, &order->hashes.bundle, order->hashes.level, order->hashes.index);
	struct ay__out *o = out_new(AY_FRAME_HASHES, head, sizeof(head), block, AY_LEAF_SIZE, 0);
	if (!o) {
		ay__conn_fail(c, -ENOMEM);
		return;
	}
	o->tell_sent = true;
	enqueue(c, o);
}

void ay__conn_send(struct ay__conn *c, const struct ay_order *order)
{
	if (order->type == AY_ORDER_FRAME)
		send_frame(c, order);
	else if (order->type == AY_ORDER_SEND_BLOCK)
		send_block(c, order);
	else
		send_hashes(c, order);
}

/* ---- in ---- */

static void on_frame(struct ay__conn *c, const struct ay_stream_frame *f)
{
	struct ay_tcp *t = c->tcp;
	struct ay_event ev = {0};
	int r = 0;
	if (f->type == AY_FRAME_BLOCK) {
		struct ay_slice data;
		ev.type = AY_EV_BLOCK;
		ev.block.conn = c->id;
		r = ay_frame_block_get(f->payload.data, f->payload.len, &ev.block.bundle, &ev.block.index,
				       &data);
		if (r == 0)
			ev.status = ay_disk_write_block(t->disk, &ev.block.bundle, ev.block.index, data.data,
							data.len);
	} else if (f->type == AY_FRAME_HASHES) {
		const uint8_t *block;
		ev.type = AY_EV_HASHES;
		ev.hashes.conn = c->id;
		r = ay_frame_hashes_get(f->payload.data, f->payload.len, &ev.hashes.bundle, &ev.hashes.level,
					&ev.hashes.index, &block);
		if (r == 0)
			ev.status = ay_disk_write_hashes(t->disk, &ev.hashes.bundle, ev.hashes.level,
							 ev.hashes.index, block);
	} else {
		ev.type = AY_EV_FRAME;
		ev.frame.conn = c->id;
		ev.frame.type = f->type;
		ev.data = f->payload;
	}
	if (r < 0)
		ay__conn_fail(c, r);
	else
		ay_events_post(&t->events, &ev);
}

/* A block on a slow link takes seconds: that it comes is told while it does. */
static void tell_part(struct ay__conn *c, size_t bytes)
{
	struct ay_event ev = {.type = AY_EV_BLOCK_PART, .block = {.conn = c->id}};
	uint64_t now = uv_now(c->tcp->loop);

	c->part_bytes += bytes;
	if (c->dead || !ay_stream_in_block(&c->in) || now - c->part_ms < AY__TCP_PART_MS ||
	    c->part_bytes < AY__TCP_PART_BYTES)
		return;
	c->part_ms = now;
	c->part_bytes = 0;
	ay_events_post(&c->tcp->events, &ev);
}

static void conn_read(struct ay__conn *c)
{
	struct ay_tcp *t = c->tcp;
	for (int i = 0; i < READS_PER_TURN && !c->dead; i++) {
		ssize_t n = recv(c->fd, t->buf, AY__TCP_READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			ay__conn_fail(c, n < 0 ? -errno : -ECONNRESET);
			return;
		}
		t->bytes_in += (size_t)n;
		for (size_t pos = 0; pos < (size_t)n && !c->dead;) {
			struct ay_stream_frame f;
			size_t used;
			int r = ay_stream_next(&c->in, t->buf + pos, (size_t)n - pos, &used, &f);
			pos += used;
			if (r < 0)
				ay__conn_fail(c, r);
			else if (r == 1)
				on_frame(c, &f);
		}
		tell_part(c, (size_t)n);
		if ((size_t)n < AY__TCP_READ_SIZE)
			return;
	}
}

static void on_connected(struct ay__conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		ay__conn_fail(c, -error);
		return;
	}
	c->connecting = false;
	ay__conn_watch(c);
	struct ay_event ev = {.type = AY_EV_CONNECTED,
			      .conn = {.id = c->id, .addr = c->addr, .incoming = c->incoming}};
	ay_events_post(&c->tcp->events, &ev);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct ay__conn *c = p->data;
	if (c->dead)
		return;
	if (c->connecting) {
		on_connected(c);
		return;
	}
	/* An error on the socket: reading it tells which. */
	if (status < 0 || (events & UV_READABLE))
		conn_read(c);
	if (!c->dead && (events & UV_WRITABLE))
		conn_write(c);
}
