/* SPDX-License-Identifier: MIT */
/*
 * Sessions: listening, connecting, carrying out orders, and what time brings. Plain non-blocking sockets under
 * uv_poll, because blocks leave by sendfile and because a queue must know exactly what the kernel has taken.
 */
#include "node/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "node/address.h"
#include "node/log.h"
#include "node/tcp_internal.h"

#define CHECK_MS         1000
#define ACCEPTS_PER_TURN 16

/* ---- connecting and accepting ---- */

static int start_connect(struct ay_tcp *t, const struct ay_order *order, int *out)
{
	struct sockaddr_storage to, from;
	socklen_t len = ay_addr_to_sockaddr(&order->conn.addr, &to);
	AY_CLOSE int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ay__tcp_set_options(fd, to.ss_family);
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
		struct ay__conn *c = ay__conn_new(t, fd, order->conn.id, &order->conn.addr, false);
		if (c) {
			c->connecting = true;
			ay__conn_watch(c);
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
	for (int i = 0; i < ACCEPTS_PER_TURN && !t->closed; i++) {
		struct sockaddr_storage sa = {0};
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
		ay__tcp_set_options(fd, sa.ss_family);
		uint64_t id = t->next_id;
		t->next_id += 2;
		struct ay__conn *c = ay__conn_new(t, fd, id, &addr, true);
		if (!c)
			return;
		ay__conn_watch(c);
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
	struct ay__conn *c = ay__conn_find(t, id);
	if (!c)
		return; /* gone; its CLOSED waits in the queue */
	if (order->type == AY_ORDER_CLOSE)
		ay__conn_close(c);
	else
		ay__conn_send(c, order);
}

/*
 * The kernel takes more only when much has left (TCP_NOTSENT_LOWAT); what the peer has acknowledged tells a slow one
 * from a dead one.
 */
static bool stalled(struct ay__conn *c, uint64_t now)
{
	int unacked;
	if (!ay__conn_waiting(c) || c->connecting)
		return false;
	if (ioctl(c->fd, SIOCOUTQ, &unacked) == 0) {
		if (unacked < c->unacked)
			c->progress_ms = now;
		c->unacked = unacked;
	}
	return now - c->progress_ms > c->tcp->stall_ms;
}

static void on_timer(uv_timer_t *timer)
{
	struct ay_tcp *t = timer->data;
	uint64_t now = uv_now(t->loop);
	if (!t->accepting) {
		t->accepting = true;
		uv_poll_start(&t->listen_poll, UV_READABLE, on_listen);
	}
	for (struct ay__conn *c = t->conns, *next; c; c = next) {
		next = c->next;
		if (c->held) {
			c->progress_ms = now;
			ay__conn_flush_soon(c);
		} else if (stalled(c, now)) {
			char text[AY_ADDR_TEXT];
			ay_log(AY_LOG_INFO, "%s takes nothing since %u s: closed",
			       ay_addr_text(&c->addr, text), t->stall_ms / 1000);
			ay__conn_fail(c, -ETIMEDOUT);
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
	uint8_t *buf = malloc(AY__TCP_READ_SIZE);
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
	t->stall_ms = config->stall_ms ? config->stall_ms : AY_TCP_STALL_MS;
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
	uint64_t every = t->rate ? AY__TCP_RATE_BURST_MS / 2 : CHECK_MS;
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
		ay__conn_close(t->conns);
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
