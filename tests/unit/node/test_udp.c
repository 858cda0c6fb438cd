/* SPDX-License-Identifier: MIT */
/* Groups on the loopback interface: three nodes on one host hear each other, not themselves, and can be answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/address.h"
#include "node/udp.h"

#define NODES 3

static bool same_ip(const struct ay_addr *a, const struct ay_addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 && a->scope == b->scope;
}

struct node {
	struct ay_udp *udp;
	struct ay_addr address;
	unsigned heard[3]; /* by group */
	uint8_t last[AY_DATAGRAM_MAX];
	size_t last_len;
	struct ay_addr from;
};

static uv_loop_t loop;
static struct node nodes[NODES];
static uint16_t news, chat;

static void post(void *ctx, const struct ay_event *ev)
{
	struct node *n = ctx;
	assert_int_equal(ev->type, AY_EV_DATAGRAM);
	assert_true(ev->data.len <= AY_DATAGRAM_MAX);
	n->heard[ev->datagram.group]++;
	n->last_len = ev->data.len;
	memcpy(n->last, ev->data.data, ev->data.len);
	n->from = ev->datagram.from;
}

static struct ay_udp_config config_of(const struct ay_addr *address)
{
	return (struct ay_udp_config){
		.interface = "lo", .address = address, .news_port = news, .chat_port = chat};
}

static int setup_alone(void **state)
{
	(void)state;
	memset(nodes, 0, sizeof(nodes));
	/* Two ports of our own, so that a real node on this machine does not disturb. */
	news = (uint16_t)(20000 + (unsigned)getpid() % 20000);
	chat = news + 1;
	return uv_loop_init(&loop);
}

static int setup(void **state)
{
	struct ay_err err = {0};
	setup_alone(state);
	for (unsigned i = 0; i < NODES; i++) {
		char text[16];
		snprintf(text, sizeof(text), "127.0.0.%u", 2 + i);
		assert_int_equal(ay_addr_parse(text, strlen(text), 1, &nodes[i].address), 0);
		const struct ay_udp_config c = config_of(&nodes[i].address);
		const struct ay_events events = {post, &nodes[i]};
		if (ay_udp_new(&loop, &c, &events, &nodes[i].udp, &err))
			fail_msg("%s", err.msg);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NODES && nodes[i].udp; i++)
		ay_udp_close(nodes[i].udp);
	uv_run(&loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < NODES; i++)
		ay_udp_free(nodes[i].udp);
	return uv_loop_close(&loop);
}

/* Let everything arrive that is under way; loopback delivers within the send. */
static void settle(void)
{
	for (int i = 0; i < 5; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(2000);
	}
}

static void send_group(unsigned from, enum ay_group group, const void *data, size_t len)
{
	struct ay_order o = {.type = AY_ORDER_DATAGRAM, .data = {data, len}, .datagram = {.group = group}};
	ay_udp_send(nodes[from].udp, &o);
	settle();
}

static void test_groups(void **state)
{
	(void)state;
	char names[32];
	assert_int_equal(ay_udp_interfaces(nodes[0].udp, names, sizeof(names)), 1);
	assert_string_equal(names, "lo");
	send_group(0, AY_GROUP_NEWS, "news", 4);
	for (unsigned i = 1; i < NODES; i++) {
		assert_int_equal(nodes[i].heard[AY_GROUP_NEWS], 1); /* once, and in its group */
		assert_int_equal(nodes[i].heard[AY_GROUP_CHAT], 0);
		assert_memory_equal(nodes[i].last, "news", 4);
		assert_true(same_ip(&nodes[i].from, &nodes[0].address));
	}
	assert_int_equal(nodes[0].heard[AY_GROUP_NEWS], 0); /* not its own */
	send_group(1, AY_GROUP_CHAT, "chat", 4);
	assert_int_equal(nodes[0].heard[AY_GROUP_CHAT], 1);
	assert_int_equal(nodes[1].heard[AY_GROUP_CHAT], 0);
	assert_int_equal(nodes[2].heard[AY_GROUP_CHAT], 1);
}

/* Who was heard can be answered alone. */
static void test_answer(void **state)
{
	(void)state;
	send_group(0, AY_GROUP_CHAT, "who?", 4);
	struct ay_order o = {.type = AY_ORDER_DATAGRAM,
			     .data = {(const uint8_t *)"me", 2},
			     .datagram = {.group = AY_GROUP_NONE, .to = nodes[1].from}};
	ay_udp_send(nodes[1].udp, &o);
	settle();
	assert_int_equal(nodes[0].heard[AY_GROUP_NONE], 1);
	assert_int_equal(nodes[0].last_len, 2);
	assert_int_equal(nodes[2].heard[AY_GROUP_NONE], 0);
	assert_true(same_ip(&nodes[0].from, &nodes[1].address));
}

static void test_sizes(void **state)
{
	(void)state;
	uint8_t data[AY_DATAGRAM_MAX + 1] = {0};
	send_group(0, AY_GROUP_NEWS, data, AY_DATAGRAM_MAX);
	assert_int_equal(nodes[1].heard[AY_GROUP_NEWS], 1);
	assert_int_equal(nodes[1].last_len, AY_DATAGRAM_MAX);
	send_group(0, AY_GROUP_NEWS, data, AY_DATAGRAM_MAX + 1); /* never leaves */
	assert_int_equal(nodes[1].heard[AY_GROUP_NEWS], 1);

	/* A stranger's too long one is dropped, an empty one told. */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(chat)};
	memcpy(&to.sin_addr, nodes[1].address.ip + 12, 4);
	assert_int_equal(sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(data));
	settle();
	assert_int_equal(nodes[1].heard[AY_GROUP_NONE], 0);
	assert_int_equal(sendto(fd, data, 0, 0, (struct sockaddr *)&to, sizeof(to)), 0);
	settle();
	assert_int_equal(nodes[1].heard[AY_GROUP_NONE], 1);
	close(fd);
}

/*
 * Two nodes without an address of their own, with others on the host and without: no two are reached at one port, and
 * no socket hears what is another's.
 */
static void test_shared_host(void **state)
{
	(void)state;
	struct node more[2] = {0};
	struct ay_err err = {0};
	const struct ay_udp_config c = config_of(NULL);
	for (int i = 0; i < 2; i++) {
		const struct ay_events events = {post, &more[i]};
		if (ay_udp_new(&loop, &c, &events, &more[i].udp, &err))
			fail_msg("%s", err.msg);
	}
	struct ay_order o = {.data = {(const uint8_t *)"x", 1}, .datagram = {.group = AY_GROUP_CHAT}};
	ay_udp_send(more[0].udp, &o);
	settle();
	assert_int_equal(more[0].heard[AY_GROUP_CHAT], 0);
	assert_int_equal(more[1].heard[AY_GROUP_CHAT], 1);
	assert_int_equal(more[1].heard[AY_GROUP_NONE], 0);
	ay_udp_send(more[1].udp, &o);
	settle();
	assert_int_equal(more[0].heard[AY_GROUP_CHAT], 1);
	assert_int_equal(more[0].heard[AY_GROUP_NONE], 0);
	o.datagram.group = AY_GROUP_NONE;
	o.datagram.to = more[1].from;
	ay_udp_send(more[1].udp, &o);
	settle();
	assert_int_equal(more[0].heard[AY_GROUP_NONE], 1);
	assert_int_equal(more[1].heard[AY_GROUP_NONE], 0);
	for (int i = 0; i < 2; i++)
		ay_udp_close(more[i].udp);
	settle();
	for (int i = 0; i < 2; i++)
		ay_udp_free(more[i].udp);
}

static void test_bad_start(void **state)
{
	(void)state;
	struct ay_udp *u;
	struct ay_err err = {0};
	struct ay_addr address;
	struct ay_udp_config c = config_of(NULL);
	const struct ay_events events = {post, &nodes[0]};
	c.interface = "nosuchif0";
	assert_int_equal(ay_udp_new(&loop, &c, &events, &u, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "nosuchif0"));
	assert_int_equal(ay_addr_parse("192.0.2.77", 10, 1, &address), 0);
	c = config_of(&address);
	assert_int_equal(ay_udp_new(&loop, &c, &events, &u, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.msg, "192.0.2.77"));
	/* A program that does not share its port. */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in any = {.sin_family = AF_INET};
	socklen_t len = sizeof(any);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	getsockname(fd, (struct sockaddr *)&any, &len);
	c = config_of(&nodes[0].address);
	c.news_port = ntohs(any.sin_port);
	err = (struct ay_err){0};
	assert_int_equal(ay_udp_new(&loop, &c, &events, &u, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "another program holds it"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_host, setup_alone, teardown),
		cmocka_unit_test_setup_teardown(test_bad_start, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
