/* SPDX-License-Identifier: MIT */
/* Blocks: which is asked of whom, when again, and what is given to whom. */
#include "tests/unit/proto/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 32

struct swarm {
	struct bench b;
	const struct published_bundle *bundle;
	struct ay_merkle *merkle; /* the core's own */
	struct ay_merkle *all;
};

static struct ay_buf want_of(const struct swarm *s, uint32_t had, bool on)
{
	struct ay_wire_want w = {.bundle = s->bundle->digest, .size = s->bundle->size, .had = had, .on = on};
	struct ay_buf buf = {0};

	ay_wire_want_put(&buf, &w);
	return buf;
}

static void say_bitmap(struct swarm *s, uint64_t conn, uint32_t bits, bool whole)
{
	uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
			    (uint8_t)(bits >> 24)};
	struct ay_wire_bitmap w = {.bundle = s->bundle->digest,
				   .size = s->bundle->size,
				   .kind = whole ? AY_BITMAP_WHOLE : AY_BITMAP_BITS};
	struct ay_buf buf = {0};

	if (!whole)
		w.bits = (struct ay_slice){bytes, sizeof(bytes)};
	ay_wire_bitmap_put(&buf, &w);
	frame(&s->b, conn, AY_FRAME_BITMAP, &buf);
}

static void say_have(struct swarm *s, uint64_t conn, uint32_t index)
{
	struct ay_wire_block w = {.bundle = s->bundle->digest, .index = index};
	struct ay_buf buf = {0};

	ay_wire_block_put(&buf, &w);
	frame(&s->b, conn, AY_FRAME_HAVE, &buf);
}

static void say_reject(struct swarm *s, uint64_t conn, uint32_t index, uint8_t reason, uint32_t ms)
{
	struct ay_wire_reject w = {.bundle = s->bundle->digest,
				   .level = AY_REJECT_LEVEL_BLOCK,
				   .index = index,
				   .reason = reason,
				   .retry_ms = ms,
				   .who = reason == AY_REJECT_ASK_PEERS ? 9 : 0};
	struct ay_buf buf = {0};

	ay_wire_reject_put(&buf, &w);
	frame(&s->b, conn, AY_FRAME_REJECT, &buf);
}

static int block(struct swarm *s, uint64_t conn, uint32_t index, int status_)
{
	return feed(&s->b,
		    (struct ay_event){.type = AY_EV_BLOCK,
				      .status = status_,
				      .block = {.conn = conn, .bundle = s->bundle->digest, .index = index}});
}

/* The hash blocks that were asked of @conn come, and are right. */
static void answer_hashes(struct swarm *s, uint64_t conn)
{
	const struct seen *f;

	for (size_t i = 0; (f = nth_frame(&s->b, conn, AY_FRAME_HASH_REQUEST, i)); i++) {
		struct ay_wire_hash_request r;
		assert_int_equal(ay_wire_hash_request_get(f->data, f->o.data.len, &r), 0);
		if (ay_merkle_has(s->merkle, r.level, r.index))
			continue;
		assert_int_equal(
			ay_merkle_add(s->merkle, r.level, r.index, ay_merkle_get(s->all, r.level, r.index)),
			0);
		feed(&s->b,
		     (struct ay_event){.type = AY_EV_HASHES, .hashes = {conn, r.bundle, r.level, r.index}});
	}
}

/* The @i-th block asked of @conn since the last clear; UINT32_MAX: fewer were. */
static uint32_t asked(const struct swarm *s, uint64_t conn, size_t i)
{
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REQUEST, i);
	struct ay_wire_request r;

	if (!f)
		return UINT32_MAX;
	assert_int_equal(ay_wire_request_get(f->data, f->o.data.len, &r), 0);
	return r.index;
}

static uint8_t attempt(const struct swarm *s, uint64_t conn, size_t i)
{
	struct ay_wire_request r;
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REQUEST, i);

	assert_non_null(f);
	assert_int_equal(ay_wire_request_get(f->data, f->o.data.len, &r), 0);
	return r.attempt;
}

/* A laptop that has learned all there is to know from a school on conn 2, and begins to collect. */
static void begin(struct swarm *s, bool school, const uint8_t *bitmap)
{
	struct ay_buf buf = {0};

	bench_begin(&s->b, AY_NODE_LAPTOP, NULL);
	publisher_release(&s->b.p, 2, 100);
	s->bundle = publisher_bundle(&s->b.p, 1, 2, BLOCKS * AY_BLOCK_SIZE - 100);
	assert_int_equal(ay_merkle_build_mem(s->bundle->data, s->bundle->size, &s->all), 0);
	s->merkle = ay_merkle_new(&s->bundle->digest, s->bundle->size);
	const struct published_release *r = published(&s->b.p, 2);
	give(&s->b, AY_EV_RELEASE, r->envelope.data, r->envelope.len);
	give(&s->b, AY_EV_HEAD, r->head, AY_HEAD_SIZE);
	struct ay_wire_hello h = hello_of(&s->b, school ? 70 : 71, school, 2, 2);
	meet(&s->b, 2, 5, &h);
	/* Its one offer. */
	const struct seen *f = nth_frame(&s->b, 2, AY_FRAME_ASK, 0);
	assert_non_null(f);
	struct ay_wire_doc d = {.kind = AY_DOC_TYPE_OFFERS,
				.total = (uint32_t)s->bundle->offer.len,
				.bytes = {s->bundle->offer.data, s->bundle->offer.len}};
	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&s->b, 2, AY_FRAME_DOC, &buf), 0);
	assert_int_equal(count(&s->b, AY_ORDER_OPEN_BUNDLE), 1);
	f = nth_frame(&s->b, 2, AY_FRAME_ASK, 0);
	buf = (struct ay_buf){0};
	ay_put_bytes(&buf, f->data, f->o.data.len);
	assert_int_equal(frame(&s->b, 2, AY_FRAME_NONE, &buf), 0);
	/* The offer's STORE is left to the test. */
	feed(&s->b, (struct ay_event){.type = AY_EV_BUNDLE,
				      .bundle = {.digest = s->bundle->digest,
						 .size = s->bundle->size,
						 .bitmap = bitmap ? bitmap : (const uint8_t[4]){0},
						 .merkle = s->merkle}});
	assert_in_range(count_frames(&s->b, 2, AY_FRAME_WANT), 1, 2);
}

static void end(struct swarm *s)
{
	bench_end(&s->b);
	ay_merkle_free(s->merkle);
	ay_merkle_free(s->all);
}

/* Another laptop, on @conn. */
static void join(struct swarm *s, uint64_t conn, uint8_t i)
{
	struct ay_wire_hello h = hello_of(&s->b, 100 + i, false, 2, 1);

	meet(&s->b, conn, i, &h);
	assert_int_equal(count_frames(&s->b, conn, AY_FRAME_WANT), 1);
}

/* Hash block first, then the blocks; four at once; the next one when one has come. */
static void test_pipeline(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	clear(&s.b);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	/* All of one piece: it needs one path of hash blocks, asked before the first block. */
	size_t hashes = count_frames(&s.b, 2, AY_FRAME_HASH_REQUEST);
	assert_int_equal(hashes, ay_merkle_levels(s.all));
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, asked(&s, 2, 0) / 8);
	assert_int_equal(s.b.seen[0].o.frame.type, AY_FRAME_HASH_REQUEST);
	answer_hashes(&s, 2);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	s.b.now += 100 * MS;
	assert_int_equal(block(&s, 2, asked(&s, 2, 0), 0), 0);
	assert_true(count_frames(&s.b, 2, AY_FRAME_REQUEST) >= 5);
	assert_int_equal(status(&s.b)->branches[0].blocks_had, 1);
	end(&s);
}

/* Blocks that are on the disk already are never asked for. */
static void test_resumes(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0x7e};
	uint32_t got = 0;

	(void)state;
	begin(&s, true, bitmap);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 2);
	for (size_t i = 0; i < 2; i++)
		got |= 1u << (asked(&s, 2, i) - 24);
	assert_int_equal(got, 0x81);
	for (size_t i = 0; i < 2; i++)
		block(&s, 2, asked(&s, 2, i), 0);
	assert_int_equal(count(&s.b, AY_ORDER_FINISH_BUNDLE), 1);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 0);
	stored(&s.b, 0);
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 1);
	end(&s);
}

/* Nothing is applied whose offer is not durable, however fast the blocks were; and then it is, at once. */
static void test_offer_durable(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	const struct seen *finish = first(&s.b, AY_ORDER_FINISH_BUNDLE),
			  *offer = first(&s.b, AY_ORDER_STORE_OFFER);
	assert_non_null(finish);
	assert_non_null(offer);
	uint64_t token = offer->o.token;
	feed(&s.b, (struct ay_event){.type = AY_EV_STORED, .token = finish->o.token});
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 0);
	feed(&s.b, (struct ay_event){.type = AY_EV_STORED, .token = token});
	assert_int_equal(count(&s.b, AY_ORDER_APPLY), 1);
	end(&s);
}

/* The base is damaged: not tried again with this bundle before an hour has passed. */
static void test_failed_way(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	begin(&s, true, bitmap);
	stored(&s.b, 0);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(count(&s.b, AY_ORDER_APPLY), i);
		feed(&s.b, (struct ay_event){.type = AY_EV_APPLIED,
					     .status = AY_EBASE,
					     .applied = {.branch = "xo/stable", .serial = 2}});
		assert_int_equal(status(&s.b)->branches[0].phase, AY_PHASE_SEARCHING);
		assert_non_null(strstr(status(&s.b)->branches[0].problem, "cannot be applied"));
		pass(&s.b, 3590 * SECOND);
		assert_int_equal(count(&s.b, AY_ORDER_APPLY), i);
		pass(&s.b, 30 * SECOND);
	}
	end(&s);
}

/* The rarest first: what one laptop has before what three have. */
static void test_rarest(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	clear(&s.b);
	join(&s, 4, 6);
	join(&s, 6, 7);
	s.b.now += 10 * MS;
	say_bitmap(&s, 4, 0x00ffff00, false);
	say_bitmap(&s, 6, 0x00ffff00, false);
	answer_hashes(&s, 4);
	answer_hashes(&s, 6);
	clear(&s.b);
	/* The first has pieces 1 and 2 as the others do, and alone piece 3. */
	say_bitmap(&s, 2, 0xffffff00, false);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, 3);
	end(&s);
}

/* No block is asked of two at once. */
static void test_once(void **state)
{
	struct swarm s;
	uint32_t seen_blocks = 0;

	(void)state;
	begin(&s, false, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 2, 0, true);
	say_bitmap(&s, 4, 0, true);
	for (uint64_t conn = 2; conn <= 4; conn += 2) {
		for (size_t i = 0; asked(&s, conn, i) != UINT32_MAX; i++) {
			assert_false(seen_blocks >> asked(&s, conn, i) & 1);
			seen_blocks |= 1u << asked(&s, conn, i);
		}
	}
	assert_int_equal(__builtin_popcount(seen_blocks), 8);
	end(&s);
}

/* What a laptop has is not asked of the school. */
static void test_laptops_first(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0x00ffffff, false);
	clear(&s.b);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(asked(&s, 2, i) / 8, 3);
	end(&s);
}

/* "Another laptop has it from me": left alone for a second, then asked again, as a second attempt. */
static void test_sent_to_peers(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, false);
	say_bitmap(&s, 2, 0, true);
	uint32_t index = asked(&s, 2, 0);
	assert_int_equal(attempt(&s, 2, 0), 0);
	clear(&s.b);
	say_reject(&s, 2, index, AY_REJECT_ASK_PEERS, 1000);
	assert_int_not_equal(asked(&s, 2, 0), index);
	/* All others are refused as well. */
	for (unsigned i = 0; i < 200; i++) {
		clear(&s.b);
		for (uint32_t k = 0; k < BLOCKS; k++)
			say_reject(&s, 2, k, AY_REJECT_ASK_PEERS, 1000);
		if (asked(&s, 2, 0) == UINT32_MAX)
			break;
	}
	clear(&s.b);
	pass(&s.b, 900 * MS);
	assert_int_equal(asked(&s, 2, 0), UINT32_MAX);
	pass(&s.b, 500 * MS);
	assert_int_not_equal(asked(&s, 2, 0), UINT32_MAX);
	assert_int_equal(attempt(&s, 2, 0), 1);
	end(&s);
}

/* Nobody else in reach: the school is told so, and has no one to send us to. */
static void test_alone(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(attempt(&s, 2, 0), AY_ATTEMPT_ALONE);
	end(&s);
}

/* A laptop that has it all and gives nothing: after a while the school is asked. */
static void test_starving(void **state)
{
	struct swarm s;
	struct ay_buf empty = {0};

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	say_bitmap(&s, 2, 0, true);
	assert_int_equal(asked(&s, 2, 0), UINT32_MAX);
	for (unsigned i = 0; i < 15 && asked(&s, 2, 0) == UINT32_MAX; i++) {
		pass(&s.b, SECOND);
		frame(&s.b, 4, AY_FRAME_PING, &empty);
		frame(&s.b, 2, AY_FRAME_PING, &empty);
	}
	assert_int_not_equal(asked(&s, 2, 0), UINT32_MAX);
	end(&s);
}

/* An unanswered request is cancelled and goes to another; when the block comes all the same it counts. */
static void test_time_out(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	uint32_t late = asked(&s, 2, 0);
	clear(&s.b);
	pass(&s.b, 10500 * MS);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 4);
	block(&s, 2, late, 0);
	assert_int_equal(status(&s.b)->branches[0].blocks_had, 1);
	assert_int_equal(status(&s.b)->peers[0].score, 0);
	/* The same again is one too many. */
	clear(&s.b);
	block(&s, 2, late, 0);
	assert_int_equal(status(&s.b)->bytes_twice, AY_BLOCK_SIZE);
	assert_true(status(&s.b)->peers[0].score < 0);
	end(&s);
}

/* What was had is told to all who want to know and do not have it. */
static void test_have(void **state)
{
	struct swarm s;
	struct ay_buf buf;

	(void)state;
	begin(&s, true, NULL);
	join(&s, 4, 6);
	join(&s, 6, 7);
	buf = want_of(&s, 0, true);
	frame(&s.b, 4, AY_FRAME_WANT, &buf);
	buf = want_of(&s, 0, true);
	frame(&s.b, 6, AY_FRAME_WANT, &buf);
	assert_int_equal(count_frames(&s.b, 4, AY_FRAME_BITMAP), 1);
	say_bitmap(&s, 4, 0, false);
	say_bitmap(&s, 6, 0, false);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	uint32_t index = asked(&s, 2, 0);
	say_have(&s, 6, index);
	clear(&s.b);
	block(&s, 2, index, 0);
	assert_int_equal(count_frames(&s.b, 4, AY_FRAME_HAVE), 1);
	assert_int_equal(count_frames(&s.b, 6, AY_FRAME_HAVE), 0);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_HAVE), 0);
	end(&s);
}

/* One wrong block before any right one: out. Three after right ones: out as well. */
static void test_wrong_blocks(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	block(&s, 2, asked(&s, 2, 0), AY_EDIGEST);
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1);
	end(&s);
	begin(&s, false, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	block(&s, 2, asked(&s, 2, 0), 0);
	for (size_t i = 1; i <= 3; i++) {
		assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 0);
		assert_int_equal(block(&s, 2, asked(&s, 2, i), AY_EDIGEST), AY_EPEER);
	}
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1);
	end(&s);
}

/* Our own disk fails: no peer's fault, and no busy loop. */
static void test_disk_full(void **state)
{
	struct swarm s;

	(void)state;
	begin(&s, true, NULL);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	clear(&s.b);
	block(&s, 2, 0, -ENOSPC);
	assert_int_equal(status(&s.b)->branches[0].phase, AY_PHASE_SEARCHING);
	assert_non_null(strstr(status(&s.b)->branches[0].problem, "No space left"));
	clear(&s.b);
	pass(&s.b, 50 * SECOND);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REQUEST), 0);
	frame(&s.b, 2, AY_FRAME_PING, &(struct ay_buf){0});
	/* Again after a minute. */
	pass(&s.b, 15 * SECOND);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_WANT), 1);
	end(&s);
}

/* The last blocks are asked of a second peer when the first is slow, and cancelled when they came. */
static void test_endgame(void **state)
{
	struct swarm s;
	uint8_t bitmap[4] = {0xff, 0xff, 0xff, 0x7f};

	(void)state;
	begin(&s, false, bitmap);
	say_bitmap(&s, 2, 0, true);
	answer_hashes(&s, 2);
	assert_int_equal(asked(&s, 2, 0), 31);
	join(&s, 4, 6);
	say_bitmap(&s, 4, 0, true);
	assert_int_equal(asked(&s, 4, 0), UINT32_MAX);
	pass(&s.b, 7 * SECOND);
	assert_int_equal(asked(&s, 4, 0), 31);
	block(&s, 4, 31, 0);
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_CANCEL), 1);
	assert_int_equal(count(&s.b, AY_ORDER_FINISH_BUNDLE), 1);
	end(&s);
}

/* ---- giving */

static struct ay_buf request_of(const struct swarm *s, uint32_t index, uint32_t had, uint8_t attempt_)
{
	struct ay_wire_request r = {
		.bundle = s->bundle->digest, .index = index, .had = had, .attempt = attempt_};
	struct ay_buf buf = {0};

	ay_wire_request_put(&buf, &r);
	return buf;
}

static void ask_us(struct swarm *s, uint64_t conn, uint32_t index, uint32_t had, uint8_t attempt_)
{
	struct ay_buf buf = request_of(s, index, had, attempt_);

	frame(&s->b, conn, AY_FRAME_REQUEST, &buf);
}

static void sent(struct swarm *s, uint64_t conn)
{
	feed(&s->b, (struct ay_event){.type = AY_EV_SENT, .block = {.conn = conn}});
}

/* Node @role has the bundle; @n laptops want it on conns 2, 4, 6 ... */
static void begin_giving(struct swarm *s, enum ay_node_role role, unsigned n)
{
	memset(s, 0, sizeof(*s));
	bench_begin(&s->b, role, NULL);
	publisher_release(&s->b.p, 2, 100);
	s->bundle = publisher_bundle(&s->b.p, 1, 2, BLOCKS * AY_BLOCK_SIZE - 100);
	assert_int_equal(ay_merkle_build_mem(s->bundle->data, s->bundle->size, &s->all), 0);
	give(&s->b, AY_EV_OFFER, s->bundle->offer.data, s->bundle->offer.len);
	feed(&s->b, (struct ay_event){.type = AY_EV_BUNDLE,
				      .bundle = {.digest = s->bundle->digest,
						 .size = s->bundle->size,
						 .whole = true,
						 .merkle = s->all}});
	for (unsigned i = 0; i < n; i++) {
		struct ay_wire_hello h = hello_of(&s->b, 100 + i, false, 2, 1);
		meet(&s->b, 2 + 2 * i, (uint8_t)(10 + i), &h);
		struct ay_buf buf = want_of(s, 0, true);
		frame(&s->b, 2 + 2 * i, AY_FRAME_WANT, &buf);
	}
	clear(&s->b);
}

/* In the order of asking, two on their way at a time. */
static void test_two_at_a_time(void **state)
{
	struct swarm s;
	uint32_t next = 0;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (uint32_t i = 0; i < 10; i++)
		ask_us(&s, 2, i, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	while (next < 10) {
		const struct seen *o = first(&s.b, AY_ORDER_SEND_BLOCK);
		assert_int_equal(o->o.block.index, next++);
		s.b.seen[o - s.b.seen].o.type = AY_ORDER_DEADLINE; /* looked at */
		sent(&s, 2);
	}
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 0);
	assert_int_equal(status(&s.b)->bytes_served, 10 * AY_BLOCK_SIZE);
	end(&s);
}

static void test_cancelled(void **state)
{
	struct swarm s;
	struct ay_wire_block w;
	struct ay_buf buf = {0};

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (uint32_t i = 0; i < 3; i++)
		ask_us(&s, 2, i, 0, 0);
	w = (struct ay_wire_block){.bundle = s.bundle->digest, .index = 2};
	ay_wire_block_put(&buf, &w);
	frame(&s.b, 2, AY_FRAME_CANCEL, &buf);
	sent(&s, 2);
	sent(&s, 2);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* Who has least goes first, when there are more than can be served at once. */
static void test_least_complete(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 10);
	for (unsigned i = 0; i < 8; i++)
		for (uint32_t k = 0; k < 4; k++)
			ask_us(&s, 2 + 2 * i, k, 5, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 16);
	ask_us(&s, 18, 7, 20, 0);
	ask_us(&s, 20, 7, 1, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 16);
	clear(&s.b);
	sent(&s, 2);
	assert_int_equal(first(&s.b, AY_ORDER_SEND_BLOCK)->o.block.conn, 20);
	clear(&s.b);
	sent(&s, 2);
	assert_int_not_equal(first(&s.b, AY_ORDER_SEND_BLOCK)->o.block.conn, 18);
	/* But nobody waits for ever, however busily the others ask. */
	clear(&s.b);
	for (uint32_t k = 4; k < 4 + 2 * 10; k += 2) {
		s.b.now += 500 * MS;
		for (unsigned i = 0; i < 8; i++) {
			ask_us(&s, 2 + 2 * i, k, 5, 0);
			ask_us(&s, 2 + 2 * i, k + 1, 5, 0);
			sent(&s, 2 + 2 * i);
			sent(&s, 2 + 2 * i);
		}
		sent(&s, 20);
	}
	bool served = false;
	for (size_t i = 0; i < s.b.n; i++)
		served |= s.b.seen[i].o.type == AY_ORDER_SEND_BLOCK && s.b.seen[i].o.block.conn == 18;
	assert_true(served);
	end(&s);
}

/* Far too many requests: refused, and then punished. */
static void test_too_many(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 1);
	for (unsigned i = 0; i < 200; i++)
		ask_us(&s, 2, i % BLOCKS, 0, 0);
	/* The same block is queued once: all of them fit. */
	assert_int_equal(count_frames(&s.b, 2, AY_FRAME_REJECT), 0);
	ask_us(&s, 2, BLOCKS, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_CLOSE), 1); /* no such block: garbage */
	end(&s);
}

static uint8_t reason_of(const struct swarm *s, uint64_t conn)
{
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REJECT, 0);
	struct ay_wire_reject r;

	if (!f)
		return 0;
	assert_int_equal(ay_wire_reject_get(f->data, f->o.data.len, &r), 0);
	return r.reason;
}

/* A school gives a block to one laptop and sends the next one there; a third ask, or one without peers, is served. */
static void test_school_spreads(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 3);
	ask_us(&s, 2, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	assert_int_equal(reason_of(&s, 4), AY_REJECT_ASK_PEERS);
	/* The same laptop again: it got lost, or was killed. */
	sent(&s, 2);
	ask_us(&s, 2, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	clear(&s.b);
	/* A second ask, shortly after and later. */
	ask_us(&s, 4, 0, 0, 1);
	assert_int_equal(reason_of(&s, 4), AY_REJECT_ASK_PEERS);
	clear(&s.b);
	s.b.now += 3 * SECOND;
	ask_us(&s, 4, 0, 0, 1);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 1);
	/* A third, and one who is alone: always. */
	ask_us(&s, 6, 0, 0, 2);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	ask_us(&s, 6, 1, 0, 0);
	ask_us(&s, 4, 1, 0, AY_ATTEMPT_ALONE);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 4);
	end(&s);
}

/* The laptop that had the block from the school is gone: so is the reason to refuse. */
static void test_school_forgets(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 2);
	ask_us(&s, 2, 0, 0, 0);
	feed(&s.b, (struct ay_event){.type = AY_EV_CLOSED, .conn = {.id = 2}});
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* A laptop does not play that game: it gives what it has. */
static void test_laptop_gives(void **state)
{
	struct swarm s;

	(void)state;
	begin_giving(&s, AY_NODE_LAPTOP, 2);
	ask_us(&s, 2, 0, 0, 0);
	ask_us(&s, 4, 0, 0, 0);
	assert_int_equal(count(&s.b, AY_ORDER_SEND_BLOCK), 2);
	end(&s);
}

/* Who wants a bundle hears who else does. */
static void test_peers_passed_on(void **state)
{
	struct swarm s;
	struct ay_wire_peers p;

	(void)state;
	begin_giving(&s, AY_NODE_SCHOOL, 2);
	struct ay_wire_hello h = hello_of(&s.b, 200, false, 2, 1);
	meet(&s.b, 20, 30, &h);
	struct ay_buf buf = want_of(&s, 0, true);
	frame(&s.b, 20, AY_FRAME_WANT, &buf);
	const struct seen *f = nth_frame(&s.b, 20, AY_FRAME_PEERS, 0);
	assert_non_null(f);
	assert_int_equal(ay_wire_peers_get(f->data, f->o.data.len, &p), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.addrs[0].port, 4444);
	assert_in_range(p.addrs[0].ip[15], 10, 11);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipeline),        cmocka_unit_test(test_offer_durable),
		cmocka_unit_test(test_failed_way),      cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_rarest),          cmocka_unit_test(test_once),
		cmocka_unit_test(test_laptops_first),   cmocka_unit_test(test_sent_to_peers),
		cmocka_unit_test(test_alone),           cmocka_unit_test(test_starving),
		cmocka_unit_test(test_time_out),        cmocka_unit_test(test_have),
		cmocka_unit_test(test_wrong_blocks),    cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_endgame),         cmocka_unit_test(test_two_at_a_time),
		cmocka_unit_test(test_cancelled),       cmocka_unit_test(test_least_complete),
		cmocka_unit_test(test_too_many),        cmocka_unit_test(test_school_spreads),
		cmocka_unit_test(test_school_forgets),  cmocka_unit_test(test_laptop_gives),
		cmocka_unit_test(test_peers_passed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
