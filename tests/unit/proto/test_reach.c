/* SPDX-License-Identifier: MIT */
/* Which addresses a peer may name to another: the rule as a table, then a core that lives by it. */
#include "tests/unit/proto/bench.h"

#include "proto/reach.h"

#include <errno.h>
#include <string.h>

static struct ay_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	return (struct ay_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = a, [13] = b, [14] = c, [15] = d},
				.port = port};
}

static struct ay_addr v6(uint16_t a, uint16_t b, uint16_t c, uint16_t last)
{
	return (struct ay_addr){.ip = {(uint8_t)(a >> 8), (uint8_t)a, (uint8_t)(b >> 8), (uint8_t)b,
				       (uint8_t)(c >> 8),
				       (uint8_t)c, [14] = (uint8_t)(last >> 8), [15] = (uint8_t)last},
				.port = 24953};
}

static struct ay_network network(struct ay_addr a, uint8_t bits)
{
	struct ay_network n = {.bits = bits};

	memcpy(n.ip, a.ip, sizeof(n.ip));
	return n;
}

#define P 24953

static bool may(struct ay_addr teller, struct ay_addr addr)
{
	return ay_reach_passed(NULL, 0, &teller, &addr);
}

static void test_what_is_nobodys(void **state)
{
	const struct ay_addr bad[] = {
		v4(0, 0, 0, 0, P),         v4(0, 1, 2, 3, P),
		v4(224, 0, 0, 254, P),     v4(239, 1, 1, 1, P),
		v4(255, 255, 255, 255, P), v4(240, 0, 0, 1, P),
		v4(192, 0, 0, 8, P),       v6(0, 0, 0, 0),
		v6(0, 0, 0, 0x0a01), /* ::10.1, an old way to write IPv4 */
		v6(0xff02, 0, 0, 1),       v6(0xff12, 0, 0, 1),
		v6(0x64, 0xff9b, 0, 1),    v6(0x2002, 0x0a01, 0, 1),
		v6(0x2001, 0, 0, 1),       v6(0x100, 0, 0, 1),
		v6(0x4000, 0, 0, 1),       v6(0xfe80, 0, 0, 1),
	};
	const struct ay_addr tellers[] = {v4(10, 0, 0, 1, P), v4(127, 0, 0, 1, P), v6(0xfe80, 0, 0, 2),
					  v6(0xfd00, 1, 2, 3), v4(198, 51, 100, 1, P)};
	/* Not even when somebody says that we are in such a network. */
	const struct ay_network all[] = {network(v4(0, 0, 0, 0, 0), 96), network(v6(0, 0, 0, 0), 0),
					 network(v4(224, 0, 0, 0, 0), 104), network(v6(0xfe80, 0, 0, 0), 64)};

	(void)state;
	for (unsigned t = 0; t < 5; t++)
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			assert_false(may(tellers[t], bad[i]));
			assert_false(ay_reach_passed(all, 4, &tellers[t], &bad[i]));
		}
}

static void test_own_kind_only(void **state)
{
	(void)state;
	assert_true(may(v4(10, 0, 0, 1, P), v4(10, 200, 3, 4, P)));
	assert_true(may(v4(172, 16, 0, 1, P), v4(172, 31, 255, 1, P)));
	assert_true(may(v4(192, 168, 1, 1, P), v4(192, 168, 7, 9, P)));
	assert_true(may(v4(100, 64, 0, 1, P), v4(100, 127, 0, 1, P)));
	assert_true(may(v4(169, 254, 1, 1, P), v4(169, 254, 9, 9, P)));
	assert_true(may(v4(127, 0, 0, 1, P), v4(127, 0, 0, 2, P)));
	assert_true(may(v6(0xfd01, 0x0203, 0x0405, 1), v6(0xfd01, 0x0203, 0x0405, 2)));
	/* Another site, another block, one step beyond a block. */
	assert_false(may(v6(0xfd01, 0x0203, 0x0405, 1), v6(0xfd01, 0x0203, 0x0406, 2)));
	assert_false(may(v4(10, 0, 0, 1, P), v4(192, 168, 1, 1, P)));
	assert_false(may(v4(192, 168, 1, 1, P), v4(10, 0, 0, 1, P)));
	assert_false(may(v4(172, 16, 0, 1, P), v4(172, 32, 0, 1, P)));
	assert_false(may(v4(100, 64, 0, 1, P), v4(100, 128, 0, 1, P)));
	/* Loopback and link-local are no stranger's to name. */
	assert_false(may(v4(10, 0, 0, 1, P), v4(127, 0, 0, 1, P)));
	assert_false(may(v4(169, 254, 0, 1, P), v4(127, 0, 0, 1, P)));
	assert_false(may(v4(10, 0, 0, 1, P), v6(0, 0, 0, 1)));
	assert_false(may(v4(10, 0, 0, 1, P), v4(169, 254, 0, 1, P)));
	/* The world outside. */
	assert_false(may(v4(10, 0, 0, 1, P), v4(198, 51, 100, 7, P)));
	assert_false(may(v4(198, 51, 100, 1, P), v4(198, 51, 100, 7, P)));
	assert_false(may(v6(0x2a00, 1, 0, 1), v6(0x2a00, 1, 0, 2)));
	/* Other people's services, and an interface that does not travel. */
	assert_false(may(v4(10, 0, 0, 1, P), v4(10, 0, 0, 2, 25)));
	assert_false(may(v4(10, 0, 0, 1, P), v4(10, 0, 0, 2, 0)));
	struct ay_addr scoped = v4(10, 0, 0, 2, P);
	scoped.scope = 3;
	assert_false(may(v4(10, 0, 0, 1, P), scoped));
}

static void test_own_networks(void **state)
{
	const struct ay_addr far = v4(203, 0, 113, 1, P);
	const struct ay_network own[] = {network(v4(198, 51, 100, 77, 0), 96 + 24),
					 network(v6(0x2a00, 1, 2, 3), 64),
					 network(v4(10, 1, 0, 5, 0), 96 + 16)};
	struct ay_addr a = v4(198, 51, 100, 7, P);

	(void)state;
	assert_true(ay_reach_passed(own, 3, &far, &a));
	assert_false(ay_reach_passed(own + 1, 2, &far, &a));
	a = v4(198, 51, 101, 7, P);
	assert_false(ay_reach_passed(own, 3, &far, &a));
	/* The network itself and its broadcast address. */
	a = v4(198, 51, 100, 255, P);
	assert_false(ay_reach_passed(own, 3, &far, &a));
	a = v4(198, 51, 100, 0, P);
	assert_false(ay_reach_passed(own, 3, &far, &a));
	a = v6(0x2a00, 1, 2, 99);
	assert_true(ay_reach_passed(own, 3, &far, &a));
	a = v6(0x2a00, 1, 3, 99);
	assert_false(ay_reach_passed(own, 3, &far, &a));
	/* Another room of the school that we are in: the same private block. */
	a = v4(10, 2, 0, 9, P);
	assert_true(ay_reach_passed(own, 3, &far, &a));
	a = v4(192, 168, 0, 9, P);
	assert_false(ay_reach_passed(own, 3, &far, &a));
	/* A prefix that is no network's makes nothing near. */
	const struct ay_network silly = network(v4(198, 51, 100, 7, 0), 96);
	a = v4(198, 51, 100, 7, P);
	assert_false(ay_reach_passed(&silly, 1, &far, &a));
}

/* ---- a core */

static void say_peers(struct bench *b, uint64_t conn, const struct ay_addr *addrs, unsigned n)
{
	struct ay_wire_peers p = {.n = n};
	struct ay_buf buf = {0};

	memcpy(p.addrs, addrs, n * sizeof(addrs[0]));
	ay_wire_peers_put(&buf, &p);
	assert_int_equal(frame(b, conn, AY_FRAME_PEERS, &buf), 0);
}

static bool connects_to(const struct bench *b, const struct ay_addr *a)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->seen[i].o.type == AY_ORDER_CONNECT &&
		    memcmp(b->seen[i].o.conn.addr.ip, a->ip, sizeof(a->ip)) == 0 &&
		    b->seen[i].o.conn.addr.port == a->port)
			return true;
	return false;
}

/* A laptop that misses release 2, in session 2 with the peer at 10.0.0.5. */
static void begin(struct bench *b)
{
	bench_begin(b, AY_NODE_LAPTOP, NULL);
	publisher_release(&b->p, 2, 100);
	struct ay_wire_hello h = hello_of(b, 7, false, 1, 1);
	meet(b, 2, 5, &h);
	const struct published_release *r = published(&b->p, 2);
	give(b, AY_EV_HEAD, r->head, sizeof(r->head));
	clear(b);
}

static void no_connect_fails(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct ay_order o = b->seen[i].o;
		if (o.type == AY_ORDER_CONNECT)
			feed(b, (struct ay_event){.type = AY_EV_CLOSED,
						  .status = -ECONNREFUSED,
						  .conn = {.id = o.conn.id}});
	}
}

static void test_a_core_goes_only_where_it_may(void **state)
{
	const struct ay_addr good = v4(10, 0, 0, 77, 4444), world = v4(198, 51, 100, 7, 4444);
	const struct ay_addr bad[] = {v4(127, 0, 0, 1, 4444), world, v4(224, 0, 0, 254, 4444),
				      v4(192, 168, 1, 1, 4444), v4(10, 0, 0, 78, 22)};
	struct bench b;

	(void)state;
	begin(&b);
	say_peers(&b, 2, &good, 1);
	say_peers(&b, 2, bad, 5);
	pass(&b, 5 * SECOND);
	assert_true(connects_to(&b, &good));
	for (unsigned i = 0; i < 5; i++)
		assert_false(connects_to(&b, &bad[i]));
	/* The node finds itself in that network: then it is a neighbour's. */
	struct ay_event ev = {.type = AY_EV_NETWORKS,
			      .networks = {.list = {network(v4(198, 51, 100, 1, 0), 120)}, .n = 1}};
	feed(&b, ev);
	say_peers(&b, 2, bad, 5);
	pass(&b, 5 * SECOND);
	assert_true(connects_to(&b, &world));
	bench_end(&b);
}

/* A liar names the whole of 10.0.0.0/8: few are tried, seldom, and none for long. */
static void test_nobody_can_aim_us(void **state)
{
	struct bench b;
	size_t tries = 0;

	(void)state;
	begin(&b);
	for (unsigned second = 0; second < 120; second++) {
		struct ay_addr many[AY_WIRE_PEERS_MAX];
		for (unsigned i = 0; i < AY_WIRE_PEERS_MAX; i++)
			many[i] = v4(10, 9, (uint8_t)second, (uint8_t)(i + 1), 4444);
		say_peers(&b, 2, many, AY_WIRE_PEERS_MAX);
		clear(&b);
		pass(&b, SECOND);
		tries += count(&b, AY_ORDER_CONNECT);
		no_connect_fails(&b);
	}
	/* 16 at once, then one in five seconds. */
	assert_in_range(tries, 16, 16 + 120 / 5 + 1);
	bench_end(&b);
}

/* What does not answer three times is forgotten. */
static void test_forgotten(void **state)
{
	const struct ay_addr dead = v4(10, 0, 0, 77, 4444);
	struct bench b;
	size_t tries = 0;

	(void)state;
	begin(&b);
	say_peers(&b, 2, &dead, 1);
	for (unsigned second = 0; second < 300; second++) {
		pass(&b, SECOND);
		tries += connects_to(&b, &dead);
		no_connect_fails(&b);
		clear(&b);
	}
	assert_int_equal(tries, 3);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_nobodys),
		cmocka_unit_test(test_own_kind_only),
		cmocka_unit_test(test_own_networks),
		cmocka_unit_test(test_a_core_goes_only_where_it_may),
		cmocka_unit_test(test_nobody_can_aim_us),
		cmocka_unit_test(test_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
