/* SPDX-License-Identifier: MIT */
/*
 * Sessions. Plain non-blocking sockets under uv_poll, because blocks leave by sendfile and because a queue must
 * know exactly what the kernel has taken.
 *
 * Frames of one turn of the loop are gathered and leave together just before the loop waits again, so that ten
 * HAVEs are one packet on the air and not ten. Small frames overtake blocks that have not begun. The kernel is given little in advance (TCP_NOTSENT_LOWAT): what
 * still stands in our own queue, a CANCEL can stop.
 */
#include "node/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "node/address.h"
#include "node/log.h"
#include "node/stream.h"

#define READ_SIZE        (256u * 1024) /* four blocks a system call; one buffer for all sessions */
#define READS_PER_TURN   4             /* then others have their turn */
#define WRITES_PER_TURN  16
#define IOV_MAX_OURS     32
#define UNSENT_IN_KERNEL (192 * 1024) /* three blocks: enough to keep a fast link busy between two turns */
#define CHECK_MS         1000
#define DSCP_CS1         (8 << 2) /* RFC 3662: lower effort, so that lessons go first */
#define RATE_BURST_MS    250

struct out {
	struct out *next;
	size_t len, done;              /* bytes in data: the frame, or a block's header */
	struct ay_disk_bundle *bundle; /* a block's rest: referenced; else NULL */
	off_t file_pos;
	size_t file_left;
	bool tell_sent;
	uint8_t data[];
};

struct queue {
	struct out *first, *last;
};

struct conn {
	struct ay_tcp *tcp;
	struct conn *next;
	uint64_t id;
	int fd;
	uv_poll_t poll;
	struct ay_addr addr;
	bool incoming, connecting, dead, want_write, held, dirty;
	struct ay_stream in;
	struct queue small;  /* frames that lie in memory: first, unless a block has begun */
	struct queue blocks; /* the first one may have begun (done > 0) */
	size_t queue_bytes;
	unsigned queue_blocks;
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
	struct conn *conns;
	unsigned n_conns, conns_max;
	bool accepting;
	uint64_t next_id; /* even; the core's own are odd */
	uint64_t bytes_in, bytes_out;
	uint64_t rate;
	int64_t tokens; /* bytes; below zero: wait */
	uint64_t tokens_ms;
	uint8_t *buf; /* READ_SIZE */
};

static void on_poll(uv_poll_t *p, int status, int events);

/* ---- a connection's life ---- */

static void out_free(struct out *o)
{
	if (o->bundle)
		ay_disk_bundle_unref(o->bundle);
	free(o);
}

static void queue_push(struct queue *q, struct out *o)
{
	if (q->last)
		q->last->next = o;
	else
		q->first = o;
	q->last = o;
}

static struct out *queue_take(struct queue *q)
{
	struct out *o = q->first;
	q->first = o->next;
	if (!q->first)
		q->last = NULL;
	return o;
}

static void drop_queue(struct conn *c)
{
	while (c->small.first)
		out_free(queue_take(&c->small));
	while (c->blocks.first)
		out_free(queue_take(&c->blocks));
	c->queue_bytes = 0;
	c->queue_blocks = 0;
}

static bool waiting(const struct conn *c)
{
	return c->small.first || c->blocks.first;
}

static bool block_begun(const struct conn *c)
{
	return c->blocks.first && c->blocks.first->done > 0;
}

static void on_conn_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	close(c->fd);
	ay_stream_release(&c->in);
	free(c);
}

/* Memory lives until the loop's next turn: callers up the stack still look at c->dead. */
static void conn_close(struct conn *c)
{
	struct ay_tcp *t = c->tcp;
	if (c->dead)
		return;
	c->dead = true;
	struct conn **p = &t->conns;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	t->n_conns--;
	drop_queue(c);
	uv_close((uv_handle_t *)&c->poll, on_conn_closed);
}

static void conn_fail(struct conn *c, int status)
{
	if (c->dead)
		return;
	struct ay_event ev = {.type = AY_EV_CLOSED,
			      .status = status,
			      .conn = {.id = c->id, .addr = c->addr, .incoming = c->incoming}};
	struct ay_tcp *t = c->tcp;
	conn_close(c);
	ay_events_post(&t->events, &ev);
}

static void conn_watch(struct conn *c)
{
	if (c->dead)
		return;
	int events = c->connecting ? UV_WRITABLE : UV_READABLE | (c->want_write ? UV_WRITABLE : 0);
	uv_poll_start(&c->poll, events, on_poll);
}

static void set_options(int fd, int family)
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
static struct conn *conn_new(struct ay_tcp *t, int fd, uint64_t id, const struct ay_addr *addr, bool incoming)
{
	struct conn *c = calloc(1, sizeof(*c));
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

static struct conn *conn_find(struct ay_tcp *t, uint64_t id)
{
	for (struct conn *c = t->conns; c; c = c->next) {
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
	int64_t burst = (int64_t)(t->rate * RATE_BURST_MS / 1000);
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

static void took(struct conn *c, size_t n)
{
	c->tcp->bytes_out += n;
	c->progress_ms = uv_now(c->tcp->loop);
}

static void pop(struct conn *c, struct queue *q)
{
	struct out *o = queue_take(q);
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
static void advance(struct conn *c, size_t n)
{
	while (n > 0 && !c->dead) {
		struct out *o = c->small.first;
		size_t part = o->len - o->done < n ? o->len - o->done : n;
		o->done += part;
		n -= part;
		if (o->done == o->len)
			pop(c, &c->small);
	}
}

/* All that lies in memory, up to and with the next block's header. Bytes, or -errno. */
static ssize_t write_memory(struct conn *c)
{
	struct iovec iov[IOV_MAX_OURS];
	struct msghdr msg = {.msg_iov = iov};
	struct out *o = block_begun(c) ? NULL : c->small.first;
	size_t small = 0;
	for (; o && msg.msg_iovlen < IOV_MAX_OURS - 1; o = o->next) {
		iov[msg.msg_iovlen++] = (struct iovec){o->data + o->done, o->len - o->done};
		small += o->len - o->done;
	}
	struct out *block = o ? NULL : c->blocks.first;
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
	if ((size_t)n > small)
		block->done += (size_t)n - small;
	advance(c, (size_t)n < small ? (size_t)n : small);
	return n;
}

/* The rest of the block that has begun. Bytes, or -errno. */
static ssize_t write_file(struct conn *c)
{
	struct out *o = c->blocks.first;
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

static void conn_write(struct conn *c)
{
	ssize_t r = 0;
	for (int i = 0; i < WRITES_PER_TURN && !c->dead && waiting(c) && r >= 0; i++) {
		struct out *block = c->blocks.first;
		r = block && block->done == block->len ? write_file(c) : write_memory(c);
	}
	if (c->dead)
		return;
	if (r < 0 && r != -EAGAIN && r != -EINTR && r != -EBUSY) {
		conn_fail(c, (int)r);
		return;
	}
	c->held = r == -EBUSY; /* the timer goes on with it */
	bool want = waiting(c) && !c->held;
	if (want != c->want_write) {
		c->want_write = want;
		conn_watch(c);
	}
	if (!waiting(c))
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
		for (struct conn *c = t->conns; c; c = c->next) {
			if (!c->dirty || c->connecting)
				continue;
			c->dirty = false;
			conn_write(c);
			again = true;
			break;
		}
	}
}

/* Takes @o over. */
static void enqueue(struct conn *c, struct out *o)
{
	struct ay_tcp *t = c->tcp;
	if (c->queue_bytes + o->len > AY_TCP_QUEUE_BYTES || c->queue_blocks >= AY_TCP_QUEUE_BLOCKS) {
		out_free(o);
		conn_fail(c, AY_ELIMIT);
		return;
	}
	if (!waiting(c))
		c->progress_ms = uv_now(t->loop);
	queue_push(o->bundle ? &c->blocks : &c->small, o);
	c->queue_bytes += o->len;
	if (o->bundle)
		c->queue_blocks++;
	/* While the socket is full it will tell; else everything leaves at the end of this turn. */
	if (!c->want_write && !c->dirty) {
		c->dirty = true;
		uv_prepare_start(&t->flush, on_flush);
	}
}

static struct out *out_new(uint8_t type, const void *head, size_t head_len, const void *payload, size_t len,
			   size_t behind)
{
	struct out *o = calloc(1, sizeof(*o) + AY_FRAME_HEADER + head_len + len);
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

static void send_frame(struct conn *c, const struct ay_order *order)
{
	AY_ASSERT(order->data.len < AY_FRAME_MAX);
	struct out *o = out_new(order->frame.type, NULL, 0, order->data.data, order->data.len, 0);
	if (o)
		enqueue(c, o);
	else
		conn_fail(c, -ENOMEM);
}

static void send_block(struct conn *c, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(c->tcp->disk, &order->block.bundle);
	uint32_t len = b ? ay_block_len(ay_disk_bundle_size(b), order->block.index) : 0;
	uint8_t head[AY_BLOCK_HEADER];
	if (len == 0) {
		conn_fail(c, -ENOENT); /* dropped meanwhile; the peer asks another */
		return;
	}
	ay_frame_block_put(head, &order->block.bundle, order->block.index);
	struct out *o = out_new(AY_FRAME_BLOCK, head, sizeof(head), NULL, 0, len);
	if (!o) {
		conn_fail(c, -ENOMEM);
		return;
	}
	o->bundle = b;
	ay_disk_bundle_ref(b);
	o->file_pos = (off_t)order->block.index * AY_BLOCK_SIZE;
	o->file_left = len;
	o->tell_sent = true;
	enqueue(c, o);
}

static void send_hashes(struct conn *c, const struct ay_order *order)
{
	struct ay_disk_bundle *b = ay_disk_find(c->tcp->disk, &order->hashes.bundle);
	const uint8_t *block = b ? ay_merkle_get(ay_bundle_file_merkle(ay_disk_bundle_file(b)),
						 order->hashes.level, order->hashes.index)
				 : NULL;
	uint8_t head[AY_HASHES_HEADER];
	if (!block) {
		conn_fail(c, -ENOENT);
		return;
	}
	ay_frame_hashes_put(head, &order->hashes.bundle, order->hashes.level, order->hashes.index);
	struct out *o = out_new(AY_FRAME_HASHES, head, sizeof(head), block, AY_LEAF_SIZE, 0);
	if (!o) {
		conn_fail(c, -ENOMEM);
		return;
	}
	o->tell_sent = true;
	enqueue(c, o);
}

/* ---- in ---- */

static void on_frame(struct conn *c, const struct ay_stream_frame *f)
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
		conn_fail(c, r);
	else
		ay_events_post(&t->events, &ev);
}

static void conn_read(struct conn *c)
{
	struct ay_tcp *t = c->tcp;
	for (int i = 0; i < READS_PER_TURN && !c->dead; i++) {
		ssize_t n = recv(c->fd, t->buf, READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_fail(c, n < 0 ? -errno : -ECONNRESET);
			return;
		}
		t->bytes_in += (size_t)n;
		for (size_t pos = 0; pos < (size_t)n && !c->dead;) {
			struct ay_stream_frame f;
			size_t used;
			int r = ay_stream_next(&c->in, t->buf + pos, (size_t)n - pos, &used, &f);
			pos += used;
			if (r < 0)
				conn_fail(c, r);
			else if (r == 1)
				on_frame(c, &f);
		}
		if ((size_t)n < READ_SIZE)
			return;
	}
}

static void on_connected(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		conn_fail(c, -error);
		return;
	}
	c->connecting = false;
	conn_watch(c);
	struct ay_event ev = {.type = AY_EV_CONNECTED,
			      .conn = {.id = c->id, .addr = c->addr, .incoming = c->incoming}};
	ay_events_post(&c->tcp->events, &ev);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct conn *c = p->data;
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

/* ---- connecting and accepting ---- */

static int start_connect(struct ay_tcp *t, const struct ay_order *order, int *out)
{
	struct sockaddr_storage to, from;
	socklen_t len = ay_addr_to_sockaddr(&order->conn.addr, &to);
	AY_CLOSE int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_options(fd, to.ss_family);
	if (t->has_address) {
		struct ay_addr own = t->address;
		own.port = 0;
		socklen_t from_len = ay_addr_to_sockaddr(&own, &from);
		if (from.ss_family != to.ss_family)
			return -EAFNOSUPPORT;
		if (bind(fd, (struct sockaddr *)&from, from_len))
			return -errno;
	}
	if (connect(fd, (struct sockaddr *)&to, len) && errno != EINPROGRESS)
		return -errno;
	*out = ay_steal_fd(&fd);
	return 0;
}

static void do_connect(struct ay_tcp *t, const struct ay_order *order)
{
	int fd = -1, r = start_connect(t, order, &fd);
	if (r == 0) {
		struct conn *c = conn_new(t, fd, order->conn.id, &order->conn.addr, false);
		if (c) {
			c->connecting = true;
			conn_watch(c);
			return;
		}
		r = -ENOMEM;
	}
	struct ay_event ev = {
		.type = AY_EV_CLOSED, .status = r, .conn = {.id = order->conn.id, .addr = order->conn.addr}};
	ay_events_post(&t->events, &ev);
}

static void on_listen(uv_poll_t *p, int status, int events)
{
	struct ay_tcp *t = p->data;
	(void)status;
	(void)events;
	for (int i = 0; i < 16 && !t->closed; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(t->listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			/* It stays readable: rest until the timer, not spin. */
			uv_poll_stop(&t->listen_poll);
			t->accepting = false;
			return;
		}
		if (fd < 0)
			return;
		if (t->n_conns >= t->conns_max) {
			close(fd);
			continue;
		}
		struct ay_addr addr;
		ay_addr_from_sockaddr((struct sockaddr *)&sa, &addr);
		set_options(fd, sa.ss_family);
		uint64_t id = t->next_id;
		t->next_id += 2;
		struct conn *c = conn_new(t, fd, id, &addr, true);
		if (!c)
			return;
		conn_watch(c);
		struct ay_event ev = {.type = AY_EV_CONNECTED,
				      .conn = {.id = id, .addr = addr, .incoming = true}};
		ay_events_post(&t->events, &ev);
	}
}

/* ---- orders, timer, life ---- */

void ay_tcp_order(struct ay_tcp *t, const struct ay_order *order)
{
	if (order->type == AY_ORDER_CONNECT) {
		do_connect(t, order);
		return;
	}
	/* The id stands first in each of these, but under its own name. */
	uint64_t id = order->type == AY_ORDER_CLOSE        ? order->conn.id
		      : order->type == AY_ORDER_FRAME      ? order->frame.conn
		      : order->type == AY_ORDER_SEND_BLOCK ? order->block.conn
							   : order->hashes.conn;
	struct conn *c = conn_find(t, id);
	if (!c)
		return; /* gone; its CLOSED waits in the queue */
	if (order->type == AY_ORDER_CLOSE)
		conn_close(c);
	else if (order->type == AY_ORDER_FRAME)
		send_frame(c, order);
	else if (order->type == AY_ORDER_SEND_BLOCK)
		send_block(c, order);
	else
		send_hashes(c, order);
}

static void on_timer(uv_timer_t *timer)
{
	struct ay_tcp *t = timer->data;
	uint64_t now = uv_now(t->loop);
	if (!t->accepting) {
		t->accepting = true;
		uv_poll_start(&t->listen_poll, UV_READABLE, on_listen);
	}
	for (struct conn *c = t->conns, *next; c; c = next) {
		next = c->next;
		if (c->held) {
			c->dirty = true;
			c->progress_ms = now;
			uv_prepare_start(&t->flush, on_flush);
		} else if (waiting(c) && !c->connecting && now - c->progress_ms > AY_TCP_STALL_MS) {
			char text[AY_ADDR_TEXT];
			ay_log(AY_LOG_INFO, "%s takes nothing since %u s: closed",
			       ay_addr_text(&c->addr, text), AY_TCP_STALL_MS / 1000);
			conn_fail(c, -ETIMEDOUT);
			next = t->conns; /* the core may have closed others in the step */
		}
	}
}

static int start_listen(struct ay_tcp *t, const struct ay_addr *address, uint16_t port, struct ay_err *err)
{
	struct ay_addr addr = {.port = port};
	struct sockaddr_storage sa;
	char text[AY_ADDR_TEXT];
	int one = 1, zero = 0;
	if (address) {
		addr = *address;
		addr.port = port;
	}
	socklen_t len = ay_addr_to_sockaddr(&addr, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && !address) { /* a kernel without IPv6 */
		memset(addr.ip + 10, 0xff, 2);
		len = ay_addr_to_sockaddr(&addr, &sa);
		fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot make a TCP socket");
	t->listen_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa.ss_family == AF_INET6 && !address)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&sa, len) || listen(fd, 64)) {
		int e = errno;
		const char *what = e == EADDRINUSE ? " (another node? choose one with --port, or 0 for any)"
				   : e == EADDRNOTAVAIL ? " (no interface of this machine has that address)"
				   : e == EACCES        ? " (ports below 1024 need root)"
							: "";
		if (address)
			return ay_err_errno(err, e, "cannot listen at %s%s", ay_addr_text(&addr, text), what);
		return ay_err_errno(err, e, "cannot listen at TCP port %u%s", (unsigned)port, what);
	}
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return ay_err_errno(err, errno, "cannot ask for the port");
	ay_addr_from_sockaddr((struct sockaddr *)&sa, &addr);
	t->port = addr.port;
	return 0;
}

int ay_tcp_new(uv_loop_t *loop, const struct ay_tcp_config *config, struct ay_disk *disk,
	       const struct ay_events *events, struct ay_tcp **out, struct ay_err *err)
{
	struct ay_tcp *t = calloc(1, sizeof(*t));
	uint8_t *buf = malloc(READ_SIZE);
	if (!t || !buf) {
		free(t);
		free(buf);
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	t->buf = buf;
	t->loop = loop;
	t->disk = disk;
	t->events = *events;
	t->conns_max = config->sessions_max + 8; /* the core says goodbye to those above its limit */
	t->next_id = 2;
	t->rate = config->rate;
	t->has_address = config->address != NULL;
	if (config->address)
		t->address = *config->address;
	t->listen_fd = -1;
	int r = start_listen(t, config->address, config->port, err);
	if (r == 0 && (r = uv_poll_init_socket(loop, &t->listen_poll, t->listen_fd)) < 0)
		ay_err_set(err, r, "cannot watch the TCP socket: %s", uv_strerror(r));
	if (r < 0) {
		if (t->listen_fd >= 0)
			close(t->listen_fd);
		ay_tcp_free(t);
		return r;
	}
	t->listen_poll.data = t->flush.data = t->timer.data = t;
	uv_poll_start(&t->listen_poll, UV_READABLE, on_listen);
	t->accepting = true;
	uv_prepare_init(loop, &t->flush);
	uv_timer_init(loop, &t->timer);
	uint64_t every = t->rate ? RATE_BURST_MS / 2 : CHECK_MS;
	uv_timer_start(&t->timer, on_timer, every, every);
	*out = t;
	return 0;
}

uint16_t ay_tcp_port(const struct ay_tcp *t)
{
	return t->port;
}

void ay_tcp_totals(const struct ay_tcp *t, struct ay_tcp_totals *out)
{
	*out = (struct ay_tcp_totals){t->bytes_in, t->bytes_out, t->n_conns};
}

static void on_listen_closed(uv_handle_t *h)
{
	struct ay_tcp *t = h->data;
	close(t->listen_fd);
}

void ay_tcp_close(struct ay_tcp *t)
{
	t->closed = true;
	while (t->conns)
		conn_close(t->conns);
	uv_close((uv_handle_t *)&t->listen_poll, on_listen_closed);
	uv_close((uv_handle_t *)&t->flush, NULL);
	uv_close((uv_handle_t *)&t->timer, NULL);
}

void ay_tcp_free(struct ay_tcp *t)
{
	if (!t)
		return;
	free(t->buf);
	free(t);
}
