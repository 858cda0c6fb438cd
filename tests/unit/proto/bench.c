/* SPDX-License-Identifier: MIT */
/* The bench: feeding a core by hand. */
#include "tests/unit/proto/bench.h"

#include <stdlib.h>
#include <string.h>

static void keep(struct bench *b, const struct ay_order *o)
{
	b->seen = realloc(b->seen, (b->n + 1) * sizeof(*b->seen));
	assert_non_null(b->seen);
	struct seen *s = &b->seen[b->n++];
	s->o = *o;
	s->data = malloc(o->data.len ? o->data.len : 1);
	if (o->data.len)
		memcpy(s->data, o->data.data, o->data.len);
	s->o.data.data = s->data;
}

int feed(struct bench *b, struct ay_event ev)
{
	struct ay_orders out;

	ev.now_ns = b->now;
	b->rc = ay_core_step(b->core, &ev, &out);
	for (size_t i = 0; i < out.n; i++) {
		if (out.list[i].type == AY_ORDER_DEADLINE)
			b->deadline = out.list[i].at_ns;
		keep(b, &out.list[i]);
	}
	const char *broken = ay_core_check(b->core);
	if (broken)
		fail_msg("%s", broken);
	return b->rc;
}

void pass(struct bench *b, uint64_t ns)
{
	uint64_t until = b->now + ns;
	unsigned steps = 0;

	while (b->deadline <= until) {
		if (b->deadline > b->now)
			b->now = b->deadline;
		b->deadline = UINT64_MAX;
		feed(b, (struct ay_event){.type = AY_EV_TICK});
		assert_true(++steps < 200000); /* else it never rests */
	}
	b->now = until;
}

void clear(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->seen[i].data);
	b->n = 0;
}

struct ay_addr host(uint8_t i)
{
	return (struct ay_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = i}, .port = 4444};
}

int give(struct bench *b, enum ay_event_type type, const void *data, size_t len)
{
	return feed(b, (struct ay_event){.type = type, .data = {data, len}});
}

void bench_begin(struct bench *b, enum ay_node_role role, const struct ay_core_config *extra)
{
	struct ay_core_config cfg = {.auto_update = true};

	memset(b, 0, sizeof(*b));
	if (extra)
		cfg = *extra;
	cfg.role = role;
	cfg.session_id = MINE;
	cfg.seed = 3;
	cfg.tcp_port = 4444;
	publisher_init(&b->p, 7);
	const struct published_release *r = publisher_release(&b->p, 1, 100);
	b->now = 1000 * SECOND;
	b->deadline = UINT64_MAX;
	b->core = ay_core_new(&cfg);
	assert_non_null(b->core);
	assert_int_equal(give(b, AY_EV_ROOT, b->p.roots[0].data, b->p.roots[0].len), 0);
	bool laptop = role == AY_NODE_LAPTOP;
	feed(b, (struct ay_event){.type = AY_EV_BRANCH,
				  .branch = {.name = b->p.branch,
					     .follow = laptop,
					     .have_serial = laptop,
					     .have_manifest = laptop ? r->manifest : (struct ay_digest){{0}},
					     .floor = laptop}});
	assert_int_equal(give(b, AY_EV_RELEASE, r->envelope.data, r->envelope.len), 0);
	assert_int_equal(give(b, AY_EV_HEAD, r->head, AY_HEAD_SIZE), 0);
}

void bench_end(struct bench *b)
{
	clear(b);
	free(b->seen);
	ay_core_free(b->core);
	publisher_free(&b->p);
}

int hear(struct bench *b, enum ay_group group, uint8_t from, const struct ay_wire_datagram *d)
{
	struct ay_buf buf = {0};

	ay_wire_datagram_put(&buf, d);
	feed(b, (struct ay_event){.type = AY_EV_DATAGRAM,
				  .data = {buf.data, buf.len},
				  .datagram = {.group = group, .from = host(from)}});
	ay_buf_release(&buf);
	return b->rc;
}

void stored(struct bench *b, int status)
{
	for (size_t i = 0; i < b->n; i++) {
		uint64_t token = b->seen[i].o.token;
		if (!token)
			continue;
		b->seen[i].o.token = 0;
		feed(b, (struct ay_event){.type = AY_EV_STORED, .token = token, .status = status});
	}
}

struct ay_wire_hello hello_of(const struct bench *b, uint64_t session_id, bool school, uint32_t head,
			      uint32_t have)
{
	struct ay_wire_hello h = {.school = school,
				  .incomplete = have < head && !school,
				  .session_id = session_id,
				  .port = 4444,
				  .root_version = 1,
				  .n = 1};
	uint8_t hash[32];

	ay_sha256("ayni-fleet\0story", 16, hash);
	memcpy(h.fleet, hash, 8);
	ay_branch_id("story", b->p.branch, &h.summaries[0].branch);
	h.summaries[0].root_epoch = head ? 1 : 0;
	h.summaries[0].head_serial = head;
	h.summaries[0].signed_at_s = head ? 1700000000 + head : 0;
	h.summaries[0].have_serial = have;
	return h;
}

int frame(struct bench *b, uint64_t conn, uint8_t type, const struct ay_buf *payload)
{
	int rc = feed(b, (struct ay_event){.type = AY_EV_FRAME,
					   .data = {payload->data, payload->len},
					   .frame = {.conn = conn, .type = type}});

	struct ay_buf old = *payload;
	ay_buf_release(&old);
	return rc;
}

void meet(struct bench *b, uint64_t conn, uint8_t i, const struct ay_wire_hello *h)
{
	struct ay_buf buf = {0};

	feed(b, (struct ay_event){.type = AY_EV_CONNECTED,
				  .conn = {.id = conn, .addr = host(i), .incoming = true}});
	ay_wire_hello_put(&buf, h);
	frame(b, conn, AY_FRAME_HELLO, &buf);
}

size_t count(const struct bench *b, enum ay_order_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->seen[i].o.type == type;
	return n;
}

const struct seen *nth_frame(const struct bench *b, uint64_t conn, uint8_t type, size_t i)
{
	for (size_t k = 0; k < b->n; k++) {
		const struct ay_order *o = &b->seen[k].o;
		if (o->type == AY_ORDER_FRAME && o->frame.conn == conn && o->frame.type == type && i-- == 0)
			return &b->seen[k];
	}
	return NULL;
}

size_t count_frames(const struct bench *b, uint64_t conn, uint8_t type)
{
	size_t n = 0;

	while (nth_frame(b, conn, type, n))
		n++;
	return n;
}

const struct seen *first(const struct bench *b, enum ay_order_type type)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->seen[i].o.type == type)
			return &b->seen[i];
	return NULL;
}

struct ay_core_status *status(struct bench *b)
{
	static struct ay_core_status s;

	ay_core_status(b->core, &s);
	return &s;
}
