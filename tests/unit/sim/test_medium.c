/* SPDX-License-Identifier: MIT */
/* The network in memory: weather, sessions, partitions, kills, sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "sim/medium.h"

#define S ((uint64_t)1000000000)

struct end {
	struct ay_medium *m;
	unsigned station, heard, closed, sent;
	uint64_t conn;
	uint8_t got[64];
	unsigned n_got;
	int status;
};

static void end_timer(void *ctx)
{
	(void)ctx;
}

static void end_heard(void *ctx, enum ay_group group, const struct ay_addr *from, struct ay_slice data)
{
	(void)group;
	(void)from;
	(void)data;
	((struct end *)ctx)->heard++;
}

static void end_connected(void *ctx, uint64_t conn, const struct ay_addr *addr, bool incoming)
{
	(void)addr;
	(void)incoming;
	((struct end *)ctx)->conn = conn;
}

static void end_closed(void *ctx, uint64_t conn, int status)
{
	struct end *e = ctx;

	assert_true(conn == e->conn || e->conn == 0);
	e->closed++;
	e->status = status;
}

static void end_frame(void *ctx, uint64_t conn, uint8_t type, struct ay_slice payload)
{
	struct end *e = ctx;

	assert_true(conn == e->conn && type == AY_FRAME_PING);
	if (e->n_got < sizeof(e->got))
		e->got[e->n_got++] = payload.data[0];
}

static void end_sent(void *ctx, uint64_t conn)
{
	(void)conn;
	((struct end *)ctx)->sent++;
}

struct net {
	struct ay_medium *m;
	struct end ends[3];
};

static struct ay_addr addr_of(unsigned i)
{
	return (struct ay_addr){.ip = {[15] = (uint8_t)(i + 1)}, .port = 7000};
}

static void net_begin(struct net *n, unsigned loss)
{
	const struct ay_medium_config c = {.seed = 3,
					   .loss_permille = loss,
					   .twice_permille = loss / 2,
					   .late_permille = loss,
					   .delay_ns = {S / 1000, S / 100},
					   .late_ns = S};
	const struct ay_station_ops ops = {.timer = end_timer,
					   .heard = end_heard,
					   .connected = end_connected,
					   .closed = end_closed,
					   .frame = end_frame,
					   .sent = end_sent};

	memset(n, 0, sizeof(*n));
	n->m = ay_medium_new(&c);
	for (unsigned i = 0; i < 3; i++) {
		struct ay_addr a = addr_of(i);
		n->ends[i].station = ay_medium_join(n->m, &a, 1000000, &ops, &n->ends[i]);
		ay_medium_set_state(n->m, n->ends[i].station, AY_STATION_UP);
	}
}

static void net_run(struct net *n)
{
	while (ay_medium_step(n->m))
		;
}

static void net_connect(struct net *n)
{
	struct ay_addr to = addr_of(1);

	ay_medium_connect(n->m, 0, 1, &to);
	net_run(n);
	assert_true(n->ends[0].conn == 1 && n->ends[1].conn % 2 == 0 && n->ends[1].conn);
}

static void say(struct net *n, uint8_t byte)
{
	ay_medium_frame(n->m, 0, 1, AY_FRAME_PING, (struct ay_slice){&byte, 1});
}

static void test_datagrams_are_lost_at_the_rate_told(void **state)
{
	(void)state;
	struct net n;
	uint8_t byte = 1;

	net_begin(&n, 100);
	for (unsigned i = 0; i < 20000; i++)
		ay_medium_datagram(n.m, 0, AY_GROUP_CHAT, NULL, NULL, (struct ay_slice){&byte, 1});
	net_run(&n);
	assert_int_equal(n.ends[0].heard, 0);
	/* 10 % lost, and of the rest 5 % twice, of which 10 % are lost: 0.9 * 1.05 = 94.5 %. */
	assert_in_range(n.ends[1].heard, 18700, 19100);
	assert_in_range(n.ends[2].heard, 18700, 19100);
	ay_medium_free(n.m);
}

static void test_sessions_keep_order_in_bad_weather(void **state)
{
	(void)state;
	struct net n;

	net_begin(&n, 300);
	net_connect(&n);
	for (uint8_t i = 0; i < 64; i++)
		say(&n, i);
	net_run(&n);
	assert_int_equal(n.ends[1].n_got, 64);
	for (uint8_t i = 0; i < 64; i++)
		assert_int_equal(n.ends[1].got[i], i);
	ay_medium_free(n.m);
}

static void island(void *ctx, uint64_t to)
{
	struct net *n = ctx;

	ay_medium_set_island(n->m, 1, (unsigned)to);
}

static void test_short_partition_only_delays(void **state)
{
	(void)state;
	struct net n;

	net_begin(&n, 0);
	net_connect(&n);
	island(&n, 1);
	say(&n, 1);
	ay_medium_call(n.m, ay_medium_now(n.m) + 20 * S, island, &n, 0);
	net_run(&n);
	assert_int_equal(n.ends[1].n_got, 1);
	assert_int_equal(n.ends[0].closed, 0);
	ay_medium_free(n.m);
}

static void test_long_partition_ends_the_senders_half(void **state)
{
	(void)state;
	struct net n;

	net_begin(&n, 0);
	net_connect(&n);
	island(&n, 1);
	say(&n, 1);
	ay_medium_call(n.m, ay_medium_now(n.m) + 40 * S, island, &n, 0);
	net_run(&n);
	assert_int_equal(n.ends[0].closed, 1);
	assert_int_equal(n.ends[0].status, -ETIMEDOUT);
	assert_int_equal(n.ends[1].closed, 0);
	ay_medium_free(n.m);
}

static void test_kill_is_told_and_power_cut_is_not(void **state)
{
	(void)state;
	struct net n;

	net_begin(&n, 0);
	net_connect(&n);
	ay_medium_set_state(n.m, 1, AY_STATION_DOWN);
	net_run(&n);
	assert_int_equal(n.ends[0].closed, 1);
	ay_medium_free(n.m);

	net_begin(&n, 0);
	net_connect(&n);
	ay_medium_set_state(n.m, 1, AY_STATION_OFF);
	net_run(&n);
	assert_int_equal(n.ends[0].closed, 0);
	/* Back again, it knows nothing of the session. */
	ay_medium_set_state(n.m, 1, AY_STATION_UP);
	say(&n, 1);
	net_run(&n);
	assert_int_equal(n.ends[0].closed, 1);
	assert_int_equal(n.ends[0].status, -ECONNRESET);
	assert_int_equal(n.ends[1].n_got, 0);
	ay_medium_free(n.m);
}

static void test_connecting_to_nobody(void **state)
{
	(void)state;
	struct net n;
	struct ay_addr to = addr_of(1), nobody = addr_of(9);

	net_begin(&n, 0);
	ay_medium_set_state(n.m, 1, AY_STATION_DOWN);
	ay_medium_connect(n.m, 0, 1, &to);
	net_run(&n);
	assert_int_equal(n.ends[0].status, -ECONNREFUSED);
	ay_medium_connect(n.m, 0, 3, &nobody);
	net_run(&n);
	assert_int_equal(n.ends[0].status, -EHOSTUNREACH);
	ay_medium_set_state(n.m, 1, AY_STATION_OFF);
	ay_medium_connect(n.m, 0, 5, &to);
	net_run(&n);
	assert_int_equal(n.ends[0].status, -ETIMEDOUT);
	assert_int_equal(n.ends[0].closed, 3);
	ay_medium_free(n.m);
}

static void test_sleeper_gets_its_frames_later(void **state)
{
	(void)state;
	struct net n;

	net_begin(&n, 0);
	net_connect(&n);
	ay_medium_set_state(n.m, 1, AY_STATION_ASLEEP);
	say(&n, 1);
	ay_medium_step(n.m); /* it arrives, and waits */
	assert_int_equal(n.ends[1].n_got, 0);
	ay_medium_set_state(n.m, 1, AY_STATION_UP);
	net_run(&n);
	assert_int_equal(n.ends[1].n_got, 1);
	assert_int_equal(n.ends[0].closed, 0);
	ay_medium_free(n.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams_are_lost_at_the_rate_told),
		cmocka_unit_test(test_sessions_keep_order_in_bad_weather),
		cmocka_unit_test(test_short_partition_only_delays),
		cmocka_unit_test(test_long_partition_ends_the_senders_half),
		cmocka_unit_test(test_kill_is_told_and_power_cut_is_not),
		cmocka_unit_test(test_connecting_to_nobody),
		cmocka_unit_test(test_sleeper_gets_its_frames_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
