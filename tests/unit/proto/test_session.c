/* SPDX-License-Identifier: MIT */
/* Sessions: who is let in, which of two is kept, what mistakes cost, and when they end. */
#include "tests/unit/proto/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct ay_order *closed(const struct bench *b, uint64_t conn)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->seen[i].o.type == AY_ORDER_CLOSE && b->seen[i].o.conn.id == conn)
			return &b->seen[i].o;
	return NULL;
}

static void connected(struct bench *b, uint64_t conn, uint8_t i, bool incoming)
{
	feed(b, (struct ay_event){.type = AY_EV_CONNECTED,
				  .conn = {.id = conn, .addr = host(i), .incoming = incoming}});
}

static void say_hello(struct bench *b, uint64_t conn, const struct ay_wire_hello *h)
{
	struct ay_buf buf = {0};

	ay_wire_hello_put(&buf, h);
	frame(b, conn, AY_FRAME_HELLO, &buf);
}

/* HELLO is the first frame in both directions, and says who we are. */
static void test_handshake(void **state)
{
	struct bench b;
	struct ay_wire_hello h;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	connected(&b, 2, 5, true);
	const struct seen *s = nth_frame(&b, 2, AY_FRAME_HELLO, 0);
	assert_non_null(s);
	assert_int_equal(ay_wire_hello_get(s->data, s->o.data.len, &h), 0);
	assert_true(h.school && h.session_id == MINE && h.port == 4444 && h.n == 1 && h.root_version == 1);
	assert_int_equal(h.summaries[0].head_serial, 1);
	h = hello_of(&b, 70, false, 1, 1);
	say_hello(&b, 2, &h);
	assert_true(status(&b)->peers[0].up);
	bench_end(&b);
}

static void test_handshake_times_out(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	connected(&b, 2, 5, true);
	pass(&b, 9 * SECOND);
	assert_null(closed(&b, 2));
	pass(&b, 2 * SECOND);
	assert_non_null(closed(&b, 2));
	assert_int_equal(closed(&b, 2)->status, -ETIMEDOUT);
	bench_end(&b);
}

/* Another version, another fleet, ourselves: closed politely, nobody is punished. */
static void test_strangers(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	struct ay_wire_hello h = hello_of(&b, MINE, false, 1, 1);
	meet(&b, 2, 5, &h);
	assert_non_null(closed(&b, 2));
	h = hello_of(&b, 7, false, 1, 1);
	h.fleet[0] ^= 1;
	meet(&b, 4, 5, &h);
	assert_non_null(closed(&b, 4));
	struct ay_buf buf = {0};
	h = hello_of(&b, 7, false, 1, 1);
	ay_wire_hello_put(&buf, &h);
	buf.data[4] = 9;
	connected(&b, 6, 5, true);
	frame(&b, 6, AY_FRAME_HELLO, &buf);
	assert_non_null(closed(&b, 6));
	assert_int_equal(closed(&b, 6)->status, AY_EVERSION);
	/* The same host is welcome all the same. */
	h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 8, 5, &h);
	assert_null(closed(&b, 8));
	bench_end(&b);
}

/* One frame that no ayni sends, and the host is out for ten minutes. */
static void test_garbage(void **state)
{
	static const uint8_t types[] = {AY_FRAME_HELLO,  AY_FRAME_ASK,     AY_FRAME_DOC,
					AY_FRAME_NONE,   AY_FRAME_WANT,    AY_FRAME_BITMAP,
					AY_FRAME_HAVE,   AY_FRAME_REQUEST, AY_FRAME_HASH_REQUEST,
					AY_FRAME_CANCEL, AY_FRAME_REJECT,  AY_FRAME_PEERS};

	(void)state;
	for (unsigned i = 0; i < sizeof(types); i++) {
		struct bench b;
		struct ay_buf buf = {0};
		bench_begin(&b, AY_NODE_LAPTOP, NULL);
		struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
		meet(&b, 2, 5, &h);
		ay_put_str(&buf, "garbage");
		assert_int_equal(frame(&b, 2, types[i], &buf), AY_EFORMAT);
		assert_non_null(closed(&b, 2));
		meet(&b, 4, 5, &h);
		assert_non_null(closed(&b, 4));
		/* Others are not. */
		meet(&b, 6, 6, &h);
		assert_null(closed(&b, 6));
		pass(&b, 601 * SECOND);
		clear(&b);
		meet(&b, 8, 5, &h);
		assert_null(closed(&b, 8));
		bench_end(&b);
	}
}

/* A frame before HELLO is garbage as well. */
static void test_frame_before_hello(void **state)
{
	struct bench b;
	struct ay_buf empty = {0};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	connected(&b, 2, 5, true);
	assert_int_equal(frame(&b, 2, AY_FRAME_PING, &empty), AY_EFORMAT);
	assert_non_null(closed(&b, 2));
	bench_end(&b);
}

/* Documents that nobody asked for. */
static void test_unasked_doc(void **state)
{
	struct bench b;
	struct ay_buf buf = {0};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 2, 5, &h);
	struct ay_wire_doc d = {.kind = AY_DOC_TYPE_HEAD,
				.total = AY_HEAD_SIZE,
				.bytes = {published(&b.p, 1)->head, AY_HEAD_SIZE}};
	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&b, 2, AY_FRAME_DOC, &buf), AY_EFORMAT);
	assert_non_null(closed(&b, 2));
	bench_end(&b);
}

/* A newer head is said in HELLO; it is asked for, and what comes is a lie. */
static void test_lying_doc(void **state)
{
	struct bench b;
	struct ay_buf buf = {0};
	uint8_t head[AY_HEAD_SIZE];

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	publisher_release(&b.p, 2, 100);
	struct ay_wire_hello h = hello_of(&b, 7, false, 2, 2);
	meet(&b, 2, 5, &h);
	assert_int_equal(count_frames(&b, 2, AY_FRAME_ASK), 1);
	publisher_head(&b.p, 2, 100, 1700000002, 2, head);
	struct ay_wire_doc d = {
		.kind = AY_DOC_TYPE_HEAD, .total = AY_HEAD_SIZE, .bytes = {head, AY_HEAD_SIZE}};
	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&b, 2, AY_FRAME_DOC, &buf), AY_EPEER);
	assert_int_equal(count(&b, AY_ORDER_STORE_HEAD), 0);
	bench_end(&b);
}

/* They connected to us as we to them: both ends keep the session that the smaller session id opened. */
static void double_session(uint64_t theirs, bool incoming_stays)
{
	struct bench b;
	struct ay_addr school = host(9);
	struct ay_core_config cfg = {.auto_update = true, .peers = &school, .n_peers = 1};

	bench_begin(&b, AY_NODE_LAPTOP, &cfg);
	pass(&b, 2 * SECOND);
	const struct seen *s = first(&b, AY_ORDER_CONNECT);
	assert_non_null(s);
	uint64_t out = s->o.conn.id;
	assert_true(out % 2 == 1);
	struct ay_wire_hello h = hello_of(&b, theirs, true, 1, 0);
	meet(&b, 2, 9, &h);
	connected(&b, out, 9, false);
	say_hello(&b, out, &h);
	assert_int_equal(closed(&b, 2) == NULL, incoming_stays);
	assert_int_equal(closed(&b, out) == NULL, !incoming_stays);
	bench_end(&b);
}

static void test_double_sessions(void **state)
{
	(void)state;
	double_session(MINE + 1, false);
	double_session(MINE - 1, true);
}

/* A stranger uses the school's session id, which CHAT tells everybody: the school's session stays. */
static void test_borrowed_id(void **state)
{
	struct bench b;
	struct ay_addr school = host(9);
	struct ay_core_config cfg = {.auto_update = true, .peers = &school, .n_peers = 1};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, &cfg);
	pass(&b, 2 * SECOND);
	uint64_t out = first(&b, AY_ORDER_CONNECT)->o.conn.id;
	struct ay_wire_hello h = hello_of(&b, MINE - 1, true, 1, 0);
	connected(&b, out, 9, false);
	say_hello(&b, out, &h);
	meet(&b, 2, 66, &h);
	assert_null(closed(&b, out));
	bench_end(&b);
}

static void test_limits(void **state)
{
	struct bench b;
	struct ay_core_config cfg = {.auto_update = true, .sessions_max = 8};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, &cfg);
	/* Four from one host. */
	for (unsigned i = 0; i < 4; i++)
		connected(&b, 2 + 2 * i, 5, true);
	assert_int_equal(count(&b, AY_ORDER_CLOSE), 0);
	connected(&b, 100, 5, true);
	assert_non_null(closed(&b, 100));
	assert_int_equal(closed(&b, 100)->status, AY_ELIMIT);
	/* Seven of eight: the last place is a school's. */
	for (unsigned i = 0; i < 3; i++)
		connected(&b, 102 + 2 * i, (uint8_t)(6 + i), true);
	assert_int_equal(count(&b, AY_ORDER_CLOSE), 1);
	connected(&b, 200, 20, true);
	assert_non_null(closed(&b, 200));
	bench_end(&b);
}

/* Static peers are looked at every five minutes by a complete laptop; sessions end when they are idle. */
static void test_polls(void **state)
{
	struct bench b;
	struct ay_addr school = host(9);
	struct ay_core_config cfg = {.auto_update = true, .peers = &school, .n_peers = 1};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, &cfg);
	for (unsigned i = 0; i < 5; i++) {
		unsigned waited = 0;
		while (!first(&b, AY_ORDER_CONNECT)) {
			pass(&b, SECOND);
			waited++;
		}
		assert_in_range(waited, i ? 30 : 1, i ? 300 : 2);
		uint64_t conn = first(&b, AY_ORDER_CONNECT)->o.conn.id;
		connected(&b, conn, 9, false);
		struct ay_wire_hello h = hello_of(&b, 70 + i, true, 1, 0);
		say_hello(&b, conn, &h);
		pass(&b, 70 * SECOND);
		assert_non_null(closed(&b, conn));
		clear(&b);
		pass(&b, 100 * SECOND);
		assert_int_equal(count(&b, AY_ORDER_CONNECT), 0);
	}
	while (!first(&b, AY_ORDER_CONNECT))
		pass(&b, SECOND);
	/* Woken: at once. */
	uint64_t conn = first(&b, AY_ORDER_CONNECT)->o.conn.id;
	feed(&b, (struct ay_event){.type = AY_EV_CLOSED, .status = -ECONNREFUSED, .conn = {.id = conn}});
	clear(&b);
	feed(&b, (struct ay_event){.type = AY_EV_WAKE});
	assert_int_equal(count(&b, AY_ORDER_CONNECT), 1);
	bench_end(&b);
}

/* A school that is not there is tried after 1 s, 2 s, 4 s ... and then once a minute. */
static void test_backs_off(void **state)
{
	struct bench b;
	struct ay_addr school = host(9);
	struct ay_core_config cfg = {.auto_update = true, .peers = &school, .n_peers = 1};
	unsigned tries = 0;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, &cfg);
	for (unsigned i = 0; i < 3600; i++) {
		pass(&b, SECOND);
		const struct seen *s = first(&b, AY_ORDER_CONNECT);
		if (!s)
			continue;
		tries++;
		uint64_t conn = s->o.conn.id;
		clear(&b);
		feed(&b,
		     (struct ay_event){.type = AY_EV_CLOSED, .status = -ECONNREFUSED, .conn = {.id = conn}});
	}
	assert_in_range(tries, 50, 140);
	bench_end(&b);
}

/* A peer that is just silent is pinged, and given up after a minute; one that answers stays. */
static void test_silence(void **state)
{
	struct bench b;
	struct ay_buf empty = {0};

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 2, 5, &h);
	pass(&b, 25 * SECOND);
	assert_true(count_frames(&b, 2, AY_FRAME_PING) >= 1);
	pass(&b, 40 * SECOND);
	assert_non_null(closed(&b, 2));
	meet(&b, 4, 5, &h);
	for (unsigned i = 0; i < 10; i++) {
		pass(&b, 10 * SECOND);
		frame(&b, 4, AY_FRAME_PING, &empty);
	}
	assert_null(closed(&b, 4));
	/* But nothing is wanted of anybody: idle sessions end too. */
	for (unsigned i = 0; i < 5; i++) {
		pass(&b, 10 * SECOND);
		frame(&b, 4, AY_FRAME_PING, &empty);
	}
	assert_non_null(closed(&b, 4));
	bench_end(&b);
}

/* Asking without end costs points, and then the session. */
static void test_asks_without_end(void **state)
{
	struct bench b;
	unsigned answered = 0;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 2, 5, &h);
	for (unsigned i = 0; i < 500 && !closed(&b, 2); i++) {
		struct ay_wire_ask a = {.kind = AY_DOC_TYPE_ROOT, .number = 1};
		struct ay_buf buf = {0};
		ay_wire_ask_put(&buf, &a);
		frame(&b, 2, AY_FRAME_ASK, &buf);
		answered++;
	}
	assert_non_null(closed(&b, 2));
	assert_in_range(answered, 64, 80);
	bench_end(&b);
}

static void say_stray_have(struct bench *b, uint64_t conn)
{
	struct ay_wire_block w = {.bundle = {{7}}, .index = 1};
	struct ay_buf buf = {0};

	ay_wire_block_put(&buf, &w);
	frame(b, conn, AY_FRAME_HAVE, &buf);
}

static size_t releases_asked(const struct bench *b, uint64_t conn)
{
	const struct seen *f;
	size_t n = 0;

	for (size_t i = 0; (f = nth_frame(b, conn, AY_FRAME_ASK, i)); i++) {
		struct ay_wire_ask a;
		assert_int_equal(ay_wire_ask_get(f->data, f->o.data.len, &a), 0);
		n += a.kind == AY_DOC_TYPE_RELEASE;
	}
	return n;
}

/* Two that talk and never answer: the third is asked after two time-outs, and the talkers are closed. */
static void test_mute(void **state)
{
	struct bench b;
	struct ay_buf buf = {0};

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	const struct published_release *r = publisher_release(&b.p, 2, 100);
	give(&b, AY_EV_HEAD, r->head, AY_HEAD_SIZE);
	for (uint8_t i = 0; i < 3; i++) {
		struct ay_wire_hello h = hello_of(&b, 60 + i, false, 2, 2);
		meet(&b, 2 + 2 * i, 5 + i, &h);
	}
	assert_int_equal(releases_asked(&b, 2), 1);
	assert_int_equal(releases_asked(&b, 4) + releases_asked(&b, 6), 0);
	for (unsigned i = 0; i < 7; i++) {
		pass(&b, 5 * SECOND);
		say_stray_have(&b, 2);
		say_stray_have(&b, 4);
	}
	assert_int_equal(releases_asked(&b, 2), 1);
	assert_int_equal(releases_asked(&b, 4), 1);
	assert_int_equal(releases_asked(&b, 6), 1);
	struct ay_wire_doc d = {.kind = AY_DOC_TYPE_RELEASE,
				.total = (uint32_t)r->envelope.len,
				.bytes = {r->envelope.data, r->envelope.len}};
	/* Who was given up and answers late is as welcome as the one asked last. */
	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&b, 4, AY_FRAME_DOC, &buf), 0);
	assert_int_equal(count(&b, AY_ORDER_STORE_RELEASE), 1);
	buf = (struct ay_buf){0};
	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&b, 6, AY_FRAME_DOC, &buf), 0);
	assert_int_equal(count(&b, AY_ORDER_STORE_RELEASE), 1);
	for (unsigned i = 0; i < 6; i++) {
		pass(&b, 5 * SECOND);
		say_stray_have(&b, 2);
	}
	assert_non_null(closed(&b, 2));
	assert_int_equal(closed(&b, 2)->status, -ETIMEDOUT);
	bench_end(&b);
}

/* Blocks of bundles that we do not collect: some were on their way, more are noise. */
static void test_stray_haves(void **state)
{
	struct bench b;
	unsigned said = 0;

	(void)state;
	bench_begin(&b, AY_NODE_LAPTOP, NULL);
	struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 2, 5, &h);
	for (; said < 1000 && !closed(&b, 2); said++)
		say_stray_have(&b, 2);
	assert_in_range(said, 256, 270);
	bench_end(&b);
}

/* The runner found bytes that are no frame: the session is gone, and the host is remembered. */
static void test_broken_stream(void **state)
{
	struct bench b;

	(void)state;
	bench_begin(&b, AY_NODE_SCHOOL, NULL);
	struct ay_wire_hello h = hello_of(&b, 7, false, 1, 1);
	meet(&b, 2, 5, &h);
	feed(&b, (struct ay_event){.type = AY_EV_CLOSED, .status = AY_EFORMAT, .conn = {.id = 2}});
	meet(&b, 4, 5, &h);
	assert_non_null(closed(&b, 4));
	/* One that just went is not. */
	meet(&b, 6, 6, &h);
	feed(&b, (struct ay_event){.type = AY_EV_CLOSED, .status = -ECONNRESET, .conn = {.id = 6}});
	meet(&b, 8, 6, &h);
	assert_null(closed(&b, 8));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_handshake_times_out),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_frame_before_hello),
		cmocka_unit_test(test_unasked_doc),
		cmocka_unit_test(test_lying_doc),
		cmocka_unit_test(test_double_sessions),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_borrowed_id),
		cmocka_unit_test(test_polls),
		cmocka_unit_test(test_backs_off),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_asks_without_end),
		cmocka_unit_test(test_mute),
		cmocka_unit_test(test_stray_haves),
		cmocka_unit_test(test_broken_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
