/* SPDX-License-Identifier: MIT */
/*
 * Between a fakenode and the medium. Each machine has a clock of its own, that begins anywhere at each boot, so
 * that nobody learns to rely on another's time, or on zero.
 */
#include "sim/room.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define S ((uint64_t)1000000000)

void ay_room_say(const struct ay_room *room, const char *who, const char *fmt, ...)
{
	va_list ap;

	if (!room->verbose)
		return;
	printf("%11.6f %-9s ", (double)ay_medium_now(room->medium) / 1e9, who);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static bool is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	if (strcmp(list, "all") == 0)
		return true;
	for (const char *p = list; (p = strstr(p, word)); p += len)
		if ((p == list || p[-1] == ',') && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

static void trace(void *ctx, const char *room, const char *line)
{
	const struct ay_room_node *n = ctx;

	if (is_listed(n->room->trace, room))
		printf("%11.6f %-9s %s %s\n", (double)ay_medium_now(n->room->medium) / 1e9, n->name, room,
		       line);
}

/* ---- what the node calls */

static struct ay_room_node *of(void *ctx)
{
	return ctx;
}

static uint64_t now_ns(void *ctx)
{
	return ay_medium_now(of(ctx)->room->medium) + of(ctx)->clock_ns;
}

static void run_at(void *ctx, struct ay_fakenode *n, uint64_t at_ns)
{
	(void)n;
	if (at_ns != AY_MEDIUM_NEVER)
		at_ns = at_ns > of(ctx)->clock_ns ? at_ns - of(ctx)->clock_ns : 0;
	ay_medium_run_at(of(ctx)->room->medium, of(ctx)->station, at_ns);
}

static void datagram(void *ctx, struct ay_fakenode *n, enum ay_group group, const struct ay_addr *to,
		     struct ay_slice data)
{
	(void)n;
	ay_monitor_datagram(of(ctx)->room->monitor, of(ctx)->index, ay_medium_now(of(ctx)->room->medium));
	ay_medium_datagram(of(ctx)->room->medium, of(ctx)->station, group, NULL, to, data);
}

static void connect(void *ctx, struct ay_fakenode *n, uint64_t conn, const struct ay_addr *to)
{
	(void)n;
	ay_medium_connect(of(ctx)->room->medium, of(ctx)->station, conn, to);
}

static void close(void *ctx, struct ay_fakenode *n, uint64_t conn)
{
	(void)n;
	ay_medium_close(of(ctx)->room->medium, of(ctx)->station, conn);
}

static void frame(void *ctx, struct ay_fakenode *n, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	(void)n;
	ay_medium_frame(of(ctx)->room->medium, of(ctx)->station, conn, type, payload);
}

static void say_applied(const struct ay_room_node *n, const struct ay_event *ev)
{
	if (ev->status == 0)
		ay_room_say(n->room, n->name, "release %u is installed", ev->applied.serial);
	else
		ay_room_say(n->room, n->name, "release %u is not installed: %s", ev->applied.serial,
			    ay_error_name(ev->status));
}

static void meet_doom(void *ctx, uint64_t arg)
{
	struct ay_room_node *n = ctx;

	(void)arg;
	n->room->doomed(n->room->doomed_ctx, n);
}

static void stepped(void *ctx, struct ay_fakenode *fake, const struct ay_event *ev, int rc,
		    const struct ay_orders *out)
{
	struct ay_room_node *n = ctx;

	(void)rc;
	if (ev->type == AY_EV_APPLIED)
		say_applied(n, ev);
	if (ev->type == AY_EV_BLOCK && n->doom_blocks && --n->doom_blocks == 0)
		ay_medium_call(n->room->medium, ay_medium_now(n->room->medium), meet_doom, n, 0);
	ay_monitor_step(n->room->monitor, n->index, fake, ay_medium_now(n->room->medium), ev, out);
}

/* ---- what the medium calls */

static void on_timer(void *ctx)
{
	ay_fakenode_run(of(ctx)->fake);
}

static void on_heard(void *ctx, enum ay_group group, const struct ay_addr *from, struct ay_slice data)
{
	ay_fakenode_heard(of(ctx)->fake, group, from, data);
}

static void on_news_asleep(void *ctx)
{
	if (of(ctx)->wakes_on_news)
		ay_room_wake(ctx);
}

static void on_connected(void *ctx, uint64_t conn, const struct ay_addr *addr, bool incoming)
{
	ay_fakenode_connected(of(ctx)->fake, conn, addr, incoming);
}

static void on_closed(void *ctx, uint64_t conn, int status)
{
	ay_fakenode_closed(of(ctx)->fake, conn, status);
}

static void on_frame(void *ctx, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	ay_fakenode_frame(of(ctx)->fake, conn, type, payload);
}

static void on_part(void *ctx, uint64_t conn)
{
	ay_fakenode_part(of(ctx)->fake, conn);
}

static void on_sent(void *ctx, uint64_t conn)
{
	ay_fakenode_sent(of(ctx)->fake, conn);
}

/* ---- life */

struct ay_room_node *ay_room_add(struct ay_room *room, struct ay_fakenode_config *config, uint64_t rate)
{
	const struct ay_station_ops station = {.timer = on_timer,
					       .heard = on_heard,
					       .news_asleep = on_news_asleep,
					       .connected = on_connected,
					       .closed = on_closed,
					       .frame = on_frame,
					       .part = on_part,
					       .sent = on_sent};
	AY_ASSERT(room->n < AY_ROOM_NODES_MAX);
	struct ay_room_node *n = &room->nodes[room->n];
	const struct ay_fakenode_ops ops = {.ctx = n,
					    .now_ns = now_ns,
					    .run_at = run_at,
					    .datagram = datagram,
					    .connect = connect,
					    .close = close,
					    .frame = frame,
					    .stepped = stepped};

	n->room = room;
	n->index = room->n++;
	n->school = config->core.role == AY_NODE_SCHOOL;
	n->addr = config->addr;
	snprintf(n->name, sizeof(n->name), n->school ? "school" : "laptop%u", n->index);
	if (room->trace) {
		config->core.trace = trace;
		config->core.trace_ctx = n;
	}
	n->fake = ay_fakenode_new(config, &ops);
	n->station = ay_medium_join(room->medium, &n->addr, rate, &station, n);
	return n;
}

void ay_room_watch(struct ay_room *room)
{
	struct ay_addr addrs[AY_ROOM_NODES_MAX];

	for (unsigned i = 0; i < room->n; i++)
		addrs[i] = room->nodes[i].addr;
	room->monitor = ay_monitor_new(room->world, addrs, room->n);
}

void ay_room_release(struct ay_room *room)
{
	for (unsigned i = 0; i < room->n; i++)
		ay_fakenode_free(room->nodes[i].fake);
	ay_monitor_free(room->monitor);
	ay_medium_free(room->medium);
}

/* Running; perhaps asleep. */
static bool is_up(const struct ay_room_node *n)
{
	return ay_fakenode_core(n->fake);
}

void ay_room_start(struct ay_room_node *n)
{
	if (is_up(n))
		return;
	if (ay_medium_state(n->room->medium, n->station) == AY_STATION_OFF)
		n->clock_ns = S + ay_prng_below(&n->room->prng, 1000000 * S);
	ay_room_say(n->room, n->name, "starts");
	ay_medium_set_state(n->room->medium, n->station, AY_STATION_UP);
	ay_monitor_start(n->room->monitor, n->index, n->fake);
	ay_fakenode_start(n->fake, ay_prng_next(&n->room->prng));
}

void ay_room_stop(struct ay_room_node *n, enum ay_fakenode_end how)
{
	if (!is_up(n))
		return;
	ay_room_say(n->room, n->name, how == AY_END_KILL ? "is killed" : "loses power");
	ay_fakenode_stop(n->fake, how);
	ay_medium_set_state(n->room->medium, n->station,
			    how == AY_END_KILL ? AY_STATION_DOWN : AY_STATION_OFF);
	ay_monitor_stopped(n->room->monitor, n->index, how, ay_medium_now(n->room->medium));
}

void ay_room_sleep(struct ay_room_node *n)
{
	if (ay_medium_state(n->room->medium, n->station) != AY_STATION_UP)
		return;
	ay_room_say(n->room, n->name, "sleeps");
	ay_medium_set_state(n->room->medium, n->station, AY_STATION_ASLEEP);
}

void ay_room_wake(struct ay_room_node *n)
{
	if (ay_medium_state(n->room->medium, n->station) != AY_STATION_ASLEEP)
		return;
	ay_room_say(n->room, n->name, "wakes");
	ay_medium_set_state(n->room->medium, n->station, AY_STATION_UP);
	ay_fakenode_wake(n->fake);
}

double ay_room_copies(const struct ay_room *room)
{
	uint64_t sent = 0, useful = 0;

	for (unsigned i = 0; i < room->n; i++) {
		sent += ay_medium_counts(room->medium, room->nodes[i].station)->block_bytes;
		useful += ay_monitor_counts(room->monitor, i)->useful_bytes;
	}
	return useful ? (double)sent / (double)useful : 0;
}
