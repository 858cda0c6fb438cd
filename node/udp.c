/* SPDX-License-Identifier: MIT */
/*
 * Datagrams. A group frame goes out on each interface, by IPv4 where the interface has such an address and by IPv6
 * where it has a link-local one: laptops without an IPv4 address yet hear the news too. Who hears both copies takes
 * one. Our own frames come back, because several nodes may share a host; they are known by their source.
 *
 * Plain sockets under uv_poll: libuv cannot choose the interface of each datagram.
 */
#include "node/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "node/address.h"
#include "node/log.h"

#define SOCKETS_MAX    (4 + 2 * AY_UDP_INTERFACES_MAX) /* IPv6 groups need one per interface */
#define READS_PER_TURN 64
#define OWN_MAX        64  /* addresses of ours that are known again */
#define TWIN_MS        250 /* the IPv6 copy of an IPv4 frame (or the reverse) comes within */
#define TWINS          16
#define DSCP_CS1       (8 << 2)

enum kind { OWN4, OWN6, NEWS4, CHAT4, NEWS6, CHAT6 };

struct sock {
	struct ay_udp *udp;
	int fd;
	enum kind kind;
	uint32_t ifindex; /* NEWS6, CHAT6 */
	uv_poll_t poll;
	bool open;
};

struct iface {
	uint32_t index;
	char name[IF_NAMESIZE];
	bool v4, v6, joined4, joined6;
	bool named; /* the configuration's, or the one that has our address */
};

struct twin {
	uint64_t hash, at_ms;
	bool v4;
};

struct ay_udp {
	uv_loop_t *loop;
	struct ay_events events;
	char interface[IF_NAMESIZE];
	bool has_address, closed;
	struct ay_addr address;
	uint16_t news_port, chat_port;
	uint16_t own_port4, own_port6;
	struct sock socks[SOCKETS_MAX];
	struct iface ifaces[AY_UDP_INTERFACES_MAX];
	unsigned n_ifaces;
	struct ay_addr own[OWN_MAX];
	unsigned n_own;
	struct twin twins[TWINS];
	unsigned next_twin;
};

/* ---- sockets ---- */

static void on_readable(uv_poll_t *p, int status, int events);

static struct sock *find_sock(struct ay_udp *u, enum kind kind, uint32_t ifindex)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		struct sock *s = &u->socks[i];
		if (s->open && s->kind == kind && s->ifindex == ifindex)
			return s;
	}
	return NULL;
}

/* Takes @fd over. */
static int add_sock(struct ay_udp *u, int fd, enum kind kind, uint32_t ifindex)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		struct sock *s = &u->socks[i];
		if (s->udp)
			continue;
		int r = uv_poll_init_socket(u->loop, &s->poll, fd);
		if (r < 0) {
			close(fd);
			return r;
		}
		s->udp = u;
		s->fd = fd;
		s->kind = kind;
		s->ifindex = ifindex;
		s->open = true;
		s->poll.data = s;
		return uv_poll_start(&s->poll, UV_READABLE, on_readable);
	}
	close(fd);
	return -ENOBUFS;
}

static void on_sock_closed(uv_handle_t *h)
{
	struct sock *s = h->data;
	close(s->fd);
	s->udp = NULL; /* free for the next */
}

static void close_sock(struct sock *s)
{
	if (!s->open)
		return;
	s->open = false;
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}

static int make_socket(int family)
{
	int one = 1, zero = 0, ttl = 1, tos = DSCP_CS1;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family == AF_INET) {
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl));
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof(zero));
		setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &ttl, sizeof(ttl));
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &one, sizeof(one));
#ifdef IPV6_MULTICAST_ALL
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &zero, sizeof(zero));
#endif
		setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	}
	return fd;
}

static int bind_port(int fd, const struct ay_addr *a)
{
	struct sockaddr_storage sa;
	socklen_t len = ay_addr_to_sockaddr(a, &sa);
	return bind(fd, (struct sockaddr *)&sa, len) ? -errno : 0;
}

/* @a as the wildcard of a family. */
static struct ay_addr any_address(bool v4)
{
	struct ay_addr a = {0};
	if (v4)
		memset(a.ip + 10, 0xff, 2);
	return a;
}

static struct ay_addr group_address(bool v4, uint16_t port, uint32_t scope)
{
	struct ay_addr a = any_address(v4);
	if (v4)
		inet_pton(AF_INET, AY_GROUP_V4, a.ip + 12);
	else
		inet_pton(AF_INET6, AY_GROUP_V6, a.ip);
	a.port = port;
	a.scope = v4 ? 0 : scope;
	return a;
}

/*
 * The socket that is ours alone. It is bound without SO_REUSEADDR, so that it takes the CHAT port only when nobody
 * else has it, and gets the option afterwards, so that it does not keep others from the groups' ports.
 */
static int open_own(struct ay_udp *u, bool v4, struct ay_err *err)
{
	AY_CLOSE int fd = make_socket(v4 ? AF_INET : AF_INET6);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a UDP socket");
	struct ay_addr a = u->has_address ? u->address : any_address(v4);
	char text[AY_ADDR_TEXT];
	a.port = u->chat_port;
	int r = bind_port(fd, &a), one = 1;
	if (r == -EADDRINUSE) {
		a.port = 0;
		r = bind_port(fd, &a);
	}
	if (r < 0)
		return ay_err_errno(err, -r, "cannot use the address %s%s", ay_addr_text(&a, text),
				    r == -EADDRNOTAVAIL ? " (no interface of this machine has it)" : "");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return ay_err_errno(err, errno, "cannot ask for the port");
	ay_addr_from_sockaddr((struct sockaddr *)&sa, &a);
	*(v4 ? &u->own_port4 : &u->own_port6) = a.port;
	return add_sock(u, ay_steal_fd(&fd), v4 ? OWN4 : OWN6, 0);
}

static int open_group(struct ay_udp *u, enum kind kind, uint32_t ifindex, struct ay_err *err)
{
	bool v4 = kind == NEWS4 || kind == CHAT4, news = kind == NEWS4 || kind == NEWS6;
	uint16_t port = news ? u->news_port : u->chat_port;
	int one = 1;
	AY_CLOSE int fd = make_socket(v4 ? AF_INET : AF_INET6);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a UDP socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	struct ay_addr a = group_address(v4, port, ifindex);
	int r = bind_port(fd, &a);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot listen at UDP port %u%s", (unsigned)port,
				    r == -EADDRINUSE ? " (another program holds it; choose another with "
						       "--news-port or --chat-port on all nodes)"
						     : "");
	return add_sock(u, ay_steal_fd(&fd), kind, ifindex);
}

/* ---- interfaces ---- */

static struct iface *get_iface(struct iface *list, unsigned *n, const char *name)
{
	for (unsigned i = 0; i < *n; i++) {
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	uint32_t index = if_nametoindex(name);
	if (*n == AY_UDP_INTERFACES_MAX || index == 0)
		return NULL;
	struct iface *f = &list[(*n)++];
	*f = (struct iface){.index = index};
	snprintf(f->name, sizeof(f->name), "%s", name);
	return f;
}

/* 127.0.0.3 belongs to lo, whose address is 127.0.0.1/8. */
static bool has_our_address(const struct ay_udp *u, const struct ifaddrs *i, const struct ay_addr *a)
{
	if (!u->has_address)
		return false;
	if (memcmp(a->ip, u->address.ip, 16) == 0)
		return true;
	return (i->ifa_flags & IFF_LOOPBACK) && ay_addr_is_v4(a) && ay_addr_is_v4(&u->address) &&
	       u->address.ip[12] == 127 && a->ip[12] == 127;
}

static void look_at(struct ay_udp *u, const struct ifaddrs *i, struct iface *list, unsigned *n)
{
	struct ay_addr a;
	if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
		return;
	ay_addr_from_sockaddr(i->ifa_addr, &a);
	bool v4 = i->ifa_addr->sa_family == AF_INET, v6 = i->ifa_addr->sa_family == AF_INET6;
	if (!v4 && !v6)
		return;
	a.port = 0;
	if (u->n_own < OWN_MAX)
		u->own[u->n_own++] = a;
	bool named = u->interface[0] ? strcmp(u->interface, i->ifa_name) == 0 : has_our_address(u, i, &a);
	bool wanted = u->interface[0] || u->has_address
			      ? named
			      : (i->ifa_flags & IFF_MULTICAST) &&
					!(i->ifa_flags & (IFF_LOOPBACK | IFF_POINTOPOINT));
	if (!wanted)
		return;
	/* Only a link-local address can speak to a link-local group. */
	bool use4 = v4 && (!u->has_address || ay_addr_is_v4(&u->address));
	bool use6 = v6 && a.ip[0] == 0xfe && (a.ip[1] & 0xc0) == 0x80 &&
		    (!u->has_address || !ay_addr_is_v4(&u->address));
	struct iface *f = use4 || use6 ? get_iface(list, n, i->ifa_name) : NULL;
	if (!f)
		return;
	f->v4 |= use4;
	f->v6 |= use6;
	f->named |= named;
}

static bool join4(struct ay_udp *u, const struct iface *f)
{
	struct ip_mreqn m = {.imr_ifindex = (int)f->index};
	inet_pton(AF_INET, AY_GROUP_V4, &m.imr_multiaddr);
	bool all = true;
	for (enum kind k = NEWS4; k <= CHAT4; k++) {
		struct sock *s = find_sock(u, k, 0);
		if (!s ||
		    (setsockopt(s->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)) && errno != EADDRINUSE))
			all = false;
	}
	return all;
}

static bool join6(struct ay_udp *u, const struct iface *f)
{
	struct ipv6_mreq m = {.ipv6mr_interface = f->index};
	inet_pton(AF_INET6, AY_GROUP_V6, &m.ipv6mr_multiaddr);
	for (enum kind k = NEWS6; k <= CHAT6; k++) {
		if (!find_sock(u, k, f->index) && open_group(u, k, f->index, NULL))
			return false;
		struct sock *s = find_sock(u, k, f->index);
		if (setsockopt(s->fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof(m)) &&
		    errno != EADDRINUSE)
			return false;
	}
	return true;
}

/* IPv6 sockets of interfaces that are gone. */
static void drop_gone(struct ay_udp *u)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		struct sock *s = &u->socks[i];
		bool there = s->ifindex == 0;
		for (unsigned k = 0; k < u->n_ifaces && !there; k++)
			there = u->ifaces[k].index == s->ifindex && u->ifaces[k].v6;
		if (s->open && !there)
			close_sock(s);
	}
}

void ay_udp_rescan(struct ay_udp *u)
{
	struct ifaddrs *all;
	if (u->closed || getifaddrs(&all))
		return;
	u->n_ifaces = 0;
	u->n_own = 0;
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		look_at(u, i, u->ifaces, &u->n_ifaces);
	freeifaddrs(all);
	if (u->has_address && u->n_own < OWN_MAX)
		u->own[u->n_own++] = u->address;
	drop_gone(u);
	for (unsigned i = 0; i < u->n_ifaces; i++) {
		struct iface *f = &u->ifaces[i];
		f->joined4 = f->v4 && join4(u, f);
		f->joined6 = f->v6 && find_sock(u, OWN6, 0) && join6(u, f);
	}
}

unsigned ay_udp_interfaces(const struct ay_udp *u, char *names, size_t size)
{
	unsigned n = 0;
	size_t len = 0;
	if (size)
		names[0] = 0;
	for (unsigned i = 0; i < u->n_ifaces; i++) {
		const struct iface *f = &u->ifaces[i];
		if (!f->joined4 && !f->joined6)
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(names + len, size - len, "%s%s", len ? " " : "", f->name);
	}
	return n;
}

/* ---- out ---- */

static void send_to(struct sock *s, const struct ay_addr *to, struct ay_slice data)
{
	struct sockaddr_storage sa;
	socklen_t len = ay_addr_to_sockaddr(to, &sa);
	if (s)
		(void)!sendto(s->fd, data.data, data.len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa,
			      len);
}

static void send_group(struct ay_udp *u, uint16_t port, struct ay_slice data)
{
	struct sock *own4 = find_sock(u, OWN4, 0), *own6 = find_sock(u, OWN6, 0);
	for (unsigned i = 0; i < u->n_ifaces; i++) {
		const struct iface *f = &u->ifaces[i];
		if (f->joined4 && own4) {
			struct ip_mreqn m = {.imr_ifindex = (int)f->index};
			struct ay_addr to = group_address(true, port, 0);
			if (setsockopt(own4->fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m)) == 0)
				send_to(own4, &to, data);
		}
		if (f->joined6 && own6) {
			struct ay_addr to = group_address(false, port, f->index);
			send_to(own6, &to, data);
		}
	}
}

void ay_udp_send(struct ay_udp *u, const struct ay_order *order)
{
	if (order->data.len > AY_DATAGRAM_MAX)
		return;
	if (order->datagram.group == AY_GROUP_NONE)
		send_to(find_sock(u, ay_addr_is_v4(&order->datagram.to) ? OWN4 : OWN6, 0),
			&order->datagram.to, order->data);
	else
		send_group(u, order->datagram.group == AY_GROUP_NEWS ? u->news_port : u->chat_port,
			   order->data);
}

/* ---- in ---- */

static bool is_own(const struct ay_udp *u, const struct ay_addr *from)
{
	if (from->port != (ay_addr_is_v4(from) ? u->own_port4 : u->own_port6))
		return false;
	for (unsigned i = 0; i < u->n_own; i++) {
		if (memcmp(u->own[i].ip, from->ip, 16) == 0)
			return true;
	}
	return false;
}

/* Did the same bytes come by the other family just now? */
static bool is_twin(struct ay_udp *u, const uint8_t *data, size_t len, bool v4)
{
	uint64_t hash = 14695981039346656037u,
		 now = uv_now(u->loop); /* FNV-1a: no secret, a clash costs one frame */
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ data[i]) * 1099511628211u;
	for (unsigned i = 0; i < TWINS; i++) {
		struct twin *t = &u->twins[i];
		if (t->hash == hash && t->v4 != v4 && now - t->at_ms < TWIN_MS) {
			t->hash = 0;
			return true;
		}
	}
	u->twins[u->next_twin++ % TWINS] = (struct twin){.hash = hash, .at_ms = now, .v4 = v4};
	return false;
}

static void on_datagram(struct sock *s, const struct sockaddr_storage *sa, const uint8_t *data, size_t len)
{
	struct ay_udp *u = s->udp;
	struct ay_event ev = {.type = AY_EV_DATAGRAM, .data = {data, len}};
	bool group = s->kind >= NEWS4;
	ay_addr_from_sockaddr((const struct sockaddr *)sa, &ev.datagram.from);
	ev.datagram.group = s->kind == NEWS4 || s->kind == NEWS6   ? AY_GROUP_NEWS
			    : s->kind == CHAT4 || s->kind == CHAT6 ? AY_GROUP_CHAT
								   : AY_GROUP_NONE;
	if (len > AY_DATAGRAM_MAX || is_own(u, &ev.datagram.from))
		return;
	if (group && is_twin(u, data, len, s->kind == NEWS4 || s->kind == CHAT4))
		return;
	ay_events_post(&u->events, &ev);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
	struct sock *s = p->data;
	uint8_t buf[AY_DATAGRAM_MAX + 1];
	(void)status;
	(void)events;
	for (int i = 0; i < READS_PER_TURN && s->open; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		ssize_t n = recvfrom(s->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&sa, &len);
		if (n < 0 && errno == ECONNREFUSED)
			continue; /* somebody does not listen any more: UDP tells on the next call */
		if (n < 0)
			return;
		on_datagram(s, &sa, buf, (size_t)n);
	}
}

/* ---- life ---- */

static int open_all(struct ay_udp *u, struct ay_err *err)
{
	bool only4 = u->has_address && ay_addr_is_v4(&u->address), only6 = u->has_address && !only4;
	int r = 0;
	if (!only6) {
		r = open_own(u, true, err);
		if (r == 0)
			r = open_group(u, NEWS4, 0, err);
		if (r == 0)
			r = open_group(u, CHAT4, 0, err);
	}
	if (r == 0 && !only4) {
		r = open_own(u, false, err);
		if (r == -EAFNOSUPPORT && !only6)
			r = 0; /* a kernel without IPv6 */
	}
	return r;
}

int ay_udp_new(uv_loop_t *loop, const struct ay_udp_config *config, const struct ay_events *events,
	       struct ay_udp **out, struct ay_err *err)
{
	if (config->interface[0] && if_nametoindex(config->interface) == 0)
		return ay_err_set(err, -ENODEV, "there is no interface %s (`ip link` lists them)",
				  config->interface);
	struct ay_udp *u = calloc(1, sizeof(*u));
	if (!u)
		return ay_err_set(err, -ENOMEM, "out of memory");
	u->loop = loop;
	u->events = *events;
	snprintf(u->interface, sizeof(u->interface), "%s", config->interface);
	u->has_address = config->address != NULL;
	if (config->address)
		u->address = *config->address;
	u->news_port = config->news_port;
	u->chat_port = config->chat_port;
	int r = open_all(u, err);
	if (r < 0) {
		if (err && !err->code)
			ay_err_set(err, r, "cannot watch a UDP socket: %s", ay_strerror(r));
		ay_udp_close(u);
		uv_run(loop,
		       UV_RUN_NOWAIT); /* the sockets' handles must be closed before their memory goes */
		ay_udp_free(u);
		return r;
	}
	ay_udp_rescan(u);
	*out = u;
	return 0;
}

void ay_udp_close(struct ay_udp *u)
{
	u->closed = true;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		close_sock(&u->socks[i]);
}

void ay_udp_free(struct ay_udp *u)
{
	free(u);
}
