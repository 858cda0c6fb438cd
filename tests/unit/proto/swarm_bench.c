/* SPDX-License-Identifier: MIT */
/* The bench with a bundle. */
#include "tests/unit/proto/swarm_bench.h"

#include <string.h>

struct ay_buf want_of(const struct swarm *s, uint32_t had, bool on)
{
	struct ay_wire_want w = {.bundle = s->bundle->digest, .size = s->bundle->size, .had = had, .on = on};
	struct ay_buf buf = {0};

	ay_wire_want_put(&buf, &w);
	return buf;
}

void say_bitmap(struct swarm *s, uint64_t conn, uint32_t bits, bool whole)
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

void say_have(struct swarm *s, uint64_t conn, uint32_t index)
{
	struct ay_wire_block w = {.bundle = s->bundle->digest, .index = index};
	struct ay_buf buf = {0};

	ay_wire_block_put(&buf, &w);
	frame(&s->b, conn, AY_FRAME_HAVE, &buf);
}

void say_reject(struct swarm *s, uint64_t conn, uint32_t index, uint8_t reason, uint32_t ms)
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

int block(struct swarm *s, uint64_t conn, uint32_t index, int status_)
{
	return feed(&s->b,
		    (struct ay_event){.type = AY_EV_BLOCK,
				      .status = status_,
				      .block = {.conn = conn, .bundle = s->bundle->digest, .index = index}});
}

/* The hash blocks that were asked of @conn come, and are right. */
void answer_hashes(struct swarm *s, uint64_t conn)
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
uint32_t asked(const struct swarm *s, uint64_t conn, size_t i)
{
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REQUEST, i);
	struct ay_wire_request r;

	if (!f)
		return UINT32_MAX;
	assert_int_equal(ay_wire_request_get(f->data, f->o.data.len, &r), 0);
	return r.index;
}

uint8_t attempt(const struct swarm *s, uint64_t conn, size_t i)
{
	struct ay_wire_request r;
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_REQUEST, i);

	assert_non_null(f);
	assert_int_equal(ay_wire_request_get(f->data, f->o.data.len, &r), 0);
	return r.attempt;
}

void tell_offer(struct swarm *s, uint64_t conn, const struct published_bundle *b)
{
	struct ay_wire_doc d = {.kind = AY_DOC_TYPE_OFFERS,
				.total = (uint32_t)b->offer.len,
				.bytes = {b->offer.data, b->offer.len}};
	struct ay_buf buf = {0};

	ay_wire_doc_put(&buf, &d);
	assert_int_equal(frame(&s->b, conn, AY_FRAME_DOC, &buf), 0);
}

void tell_no_more(struct swarm *s, uint64_t conn)
{
	const struct seen *f = nth_frame(&s->b, conn, AY_FRAME_ASK, 0);
	struct ay_buf buf = {0};

	assert_non_null(f);
	ay_put_bytes(&buf, f->data, f->o.data.len);
	assert_int_equal(frame(&s->b, conn, AY_FRAME_NONE, &buf), 0);
}

void begin_learning(struct swarm *s, bool school)
{
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
}

void open_bundle(struct swarm *s, const uint8_t *bitmap)
{
	feed(&s->b, (struct ay_event){.type = AY_EV_BUNDLE,
				      .bundle = {.digest = s->bundle->digest,
						 .size = s->bundle->size,
						 .bitmap = bitmap ? bitmap : (const uint8_t[4]){0},
						 .merkle = s->merkle}});
	assert_in_range(count_frames(&s->b, 2, AY_FRAME_WANT), 1, 2);
}

void begin(struct swarm *s, bool school, const uint8_t *bitmap)
{
	begin_learning(s, school);
	tell_offer(s, 2, s->bundle);
	tell_no_more(s, 2);
	assert_int_equal(count(&s->b, AY_ORDER_OPEN_BUNDLE), 1);
	/* The offer's STORE is left to the test. */
	open_bundle(s, bitmap);
}

void end(struct swarm *s)
{
	bench_end(&s->b);
	ay_merkle_free(s->merkle);
	ay_merkle_free(s->all);
}

/* Another laptop, on @conn. */
void join(struct swarm *s, uint64_t conn, uint8_t i)
{
	struct ay_wire_hello h = hello_of(&s->b, 100 + i, false, 2, 1);

	meet(&s->b, conn, i, &h);
	assert_int_equal(count_frames(&s->b, conn, AY_FRAME_WANT), 1);
}

struct ay_buf request_of(const struct swarm *s, uint32_t index, uint32_t had, uint8_t attempt_)
{
	struct ay_wire_request r = {
		.bundle = s->bundle->digest, .index = index, .had = had, .attempt = attempt_};
	struct ay_buf buf = {0};

	ay_wire_request_put(&buf, &r);
	return buf;
}

void ask_us(struct swarm *s, uint64_t conn, uint32_t index, uint32_t had, uint8_t attempt_)
{
	struct ay_buf buf = request_of(s, index, had, attempt_);

	frame(&s->b, conn, AY_FRAME_REQUEST, &buf);
}

void sent(struct swarm *s, uint64_t conn)
{
	feed(&s->b, (struct ay_event){.type = AY_EV_SENT, .block = {.conn = conn}});
}

/* Node @role has the bundle; @n laptops want it on conns 2, 4, 6 ... */
void begin_giving(struct swarm *s, enum ay_node_role role, unsigned n)
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
