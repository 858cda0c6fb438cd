/* SPDX-License-Identifier: MIT */
/*
 * Two signs. A timer on the wall clock that is cancelled when that clock jumps (timerfd_create(2),
 * TFD_TIMER_CANCEL_ON_SET): the kernel sets the clock anew at each resume. And rtnetlink(7)'s messages about links
 * and addresses. Both come in bursts, so the call waits until they are quiet for a moment.
 */
#include "node/wake.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS 300 /* the question leaves within a second of the last sign */
#define FAR_S     (100ull * 365 * 86400)

struct ay_wake {
	void (*woke)(void *ctx, enum ay_wake_reason reason);
	void *ctx;
	int timer_fd, netlink_fd;
	uv_poll_t timer_poll, netlink_poll;
	uv_timer_t settle;
	enum ay_wake_reason reason;
};

static int arm(int fd)
{
	struct itimerspec far = {.it_value.tv_sec = time(NULL) + (time_t)FAR_S};
	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) ? -errno : 0;
}

static void on_settled(uv_timer_t *t)
{
	struct ay_wake *w = t->data;
	enum ay_wake_reason reason = w->reason;
	w->reason = AY_WAKE_NETWORK;
	w->woke(w->ctx, reason);
}

static void sign(struct ay_wake *w, enum ay_wake_reason reason)
{
	if (reason == AY_WAKE_RESUME)
		w->reason = reason;
	if (!uv_is_active((uv_handle_t *)&w->settle))
		uv_timer_start(&w->settle, on_settled, SETTLE_MS, 0);
}

static void on_clock(uv_poll_t *p, int status, int events)
{
	struct ay_wake *w = p->data;
	uint64_t count;
	(void)events;
	ssize_t n = read(w->timer_fd, &count, sizeof(count));
	if (status < 0 || (n < 0 && errno != ECANCELED && errno != EAGAIN)) {
		uv_poll_stop(p);
		return;
	}
	if (n < 0 && errno == ECANCELED)
		sign(w, AY_WAKE_RESUME);
	if (arm(w->timer_fd) < 0)
		uv_poll_stop(p);
}

/* A new address, or a link that is up and running now. */
static bool is_news(struct nlmsghdr *h)
{
	if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR || h->nlmsg_type == RTM_DELLINK)
		return true;
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return false;
	const struct ifinfomsg *i = NLMSG_DATA(h);
	return (i->ifi_flags & IFF_RUNNING) && (i->ifi_change & (IFF_UP | IFF_RUNNING));
}

static void on_netlink(uv_poll_t *p, int status, int events)
{
	struct ay_wake *w = p->data;
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} buf;
	(void)events;
	if (status < 0) {
		uv_poll_stop(p);
		return;
	}
	for (int i = 0; i < 16; i++) {
		ssize_t n = recv(w->netlink_fd, &buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == ENOBUFS) {
			sign(w, AY_WAKE_NETWORK); /* messages were lost: something happened */
			continue;
		}
		if (n <= 0)
			return;
		size_t left = (size_t)n;
		for (struct nlmsghdr *h = &buf.header; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (is_news(h))
				sign(w, AY_WAKE_NETWORK);
		}
	}
}

static int open_netlink(void)
{
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
				 .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void watch(uv_loop_t *loop, struct ay_wake *w, int *fd, uv_poll_t *poll, uv_poll_cb cb)
{
	poll->data = w;
	if (*fd >= 0 && uv_poll_init(loop, poll, *fd) < 0) {
		close(*fd);
		*fd = -1;
	}
	if (*fd >= 0)
		uv_poll_start(poll, UV_READABLE, cb);
}

int ay_wake_new(uv_loop_t *loop, void (*woke)(void *ctx, enum ay_wake_reason reason), void *ctx,
		struct ay_wake **out)
{
	struct ay_wake *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->woke = woke;
	w->ctx = ctx;
	w->reason = AY_WAKE_NETWORK;
	w->settle.data = w;
	uv_timer_init(loop, &w->settle);
	w->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->timer_fd >= 0 && arm(w->timer_fd) < 0) {
		close(w->timer_fd);
		w->timer_fd = -1;
	}
	w->netlink_fd = open_netlink();
	watch(loop, w, &w->timer_fd, &w->timer_poll, on_clock);
	watch(loop, w, &w->netlink_fd, &w->netlink_poll, on_netlink);
	*out = w;
	return 0;
}

void ay_wake_close(struct ay_wake *w)
{
	uv_close((uv_handle_t *)&w->settle, NULL);
	if (w->timer_fd >= 0)
		uv_close((uv_handle_t *)&w->timer_poll, NULL);
	if (w->netlink_fd >= 0)
		uv_close((uv_handle_t *)&w->netlink_poll, NULL);
}

void ay_wake_free(struct ay_wake *w)
{
	if (!w)
		return;
	if (w->timer_fd >= 0)
		close(w->timer_fd);
	if (w->netlink_fd >= 0)
		close(w->netlink_fd);
	free(w);
}
