/* SPDX-License-Identifier: MIT */
/*
 * Datagrams and frame payloads, in and out.
 *
 * All of this is a stranger's bytes. Every decoder reads through a cursor that
 * cannot pass the end, checks each value's range, and demands that nothing is
 * left over and that every unused byte is zero, so that one message has one
 * form. Nothing is allocated; variable parts are borrowed.
 */
#include "base/error.h"
#include "proto/wire.h"

#include <string.h>

enum {
	FLAG_SCHOOL = 1,
	FLAG_INCOMPLETE = 2,
	FLAG_QUESTION = 4,
	HELLO_INCOMPLETE = 1,
};

static const uint8_t hello_magic[4] = {'A', 'y', 'n', 'i'};

static int done(const struct ay_cursor *c)
{
	return ay_cursor_done(c) ? 0 : AY_EFORMAT;
}

static void get_digest(struct ay_cursor *c, struct ay_digest *d)
{
	ay_get_copy(c, d->b, sizeof(d->b));
}

static void put_digest(struct ay_buf *out, const struct ay_digest *d)
{
	ay_put_bytes(out, d->b, sizeof(d->b));
}

/* ---- datagrams */

static void put_chat(struct ay_buf *out, const struct ay_wire_datagram *d)
{
	static const uint8_t zeros[AY_WIRE_HEAD_SIZE];
	size_t len = AY_WIRE_CHAT_FIXED + d->n * AY_WIRE_SUMMARY_SIZE;

	AY_ASSERT(d->n <= AY_WIRE_SUMMARIES_MAX);
	ay_put_u32(out, d->root_version);
	ay_put_u16(out, d->neighbours);
	ay_put_u8(out, (uint8_t)d->n);
	ay_put_u8(out, 0);
	for (unsigned i = 0; i < d->n; i++) {
		ay_put_u32(out, d->summaries[i].tag);
		ay_put_u32(out, d->summaries[i].head_serial);
		ay_put_u32(out, d->summaries[i].have_serial);
	}
	if (d->question && len < AY_WIRE_HEAD_SIZE)
		ay_put_bytes(out, zeros, AY_WIRE_HEAD_SIZE - len);
}

void ay_wire_datagram_put(struct ay_buf *out, const struct ay_wire_datagram *d)
{
	ay_put_u8(out, 'A');
	ay_put_u8(out, 'y');
	ay_put_u8(out, AY_WIRE_VERSION);
	ay_put_u8(out, (uint8_t)d->type);
	ay_put_u16(out, d->port);
	ay_put_u16(out, (uint16_t)((d->school ? FLAG_SCHOOL : 0) | (d->incomplete ? FLAG_INCOMPLETE : 0) |
				   (d->question ? FLAG_QUESTION : 0)));
	ay_put_u64(out, d->session_id);
	if (d->type == AY_DATAGRAM_HEAD)
		ay_put_bytes(out, d->head, AY_HEAD_SIZE);
	else
		put_chat(out, d);
}

static int get_chat(struct ay_cursor *c, struct ay_wire_datagram *d)
{
	d->root_version = ay_get_u32(c);
	d->neighbours = ay_get_u16(c);
	d->n = ay_get_u8(c);
	if (ay_get_u8(c) != 0 || c->failed || d->n > AY_WIRE_SUMMARIES_MAX)
		return AY_EFORMAT;
	for (unsigned i = 0; i < d->n; i++) {
		struct ay_wire_summary *s = &d->summaries[i];
		s->tag = ay_get_u32(c);
		s->head_serial = ay_get_u32(c);
		s->have_serial = ay_get_u32(c);
		if (i > 0 && s->tag <= s[-1].tag)
			return AY_EFORMAT;
	}
	if (d->question && ay_cursor_offset(c) < AY_WIRE_HEAD_SIZE) {
		size_t pad = AY_WIRE_HEAD_SIZE - ay_cursor_offset(c);
		const uint8_t *p = ay_get_bytes(c, pad);
		for (size_t i = 0; p && i < pad; i++)
			if (p[i])
				return AY_EFORMAT;
	}
	return done(c);
}

int ay_wire_datagram_get(const void *data, size_t len, struct ay_wire_datagram *d)
{
	struct ay_cursor c;

	memset(d, 0, sizeof(*d));
	if (len > AY_DATAGRAM_MAX)
		return AY_EFORMAT;
	ay_cursor_init(&c, data, len);
	if (ay_get_u8(&c) != 'A' || ay_get_u8(&c) != 'y')
		return AY_EFORMAT;
	uint8_t version = ay_get_u8(&c);
	uint8_t type = ay_get_u8(&c);
	if (version != AY_WIRE_VERSION)
		return c.failed || version == 0 ? AY_EFORMAT : AY_EVERSION;
	d->port = ay_get_u16(&c);
	uint16_t flags = ay_get_u16(&c);
	d->session_id = ay_get_u64(&c);
	if (c.failed || d->session_id == 0)
		return AY_EFORMAT;
	d->school = flags & FLAG_SCHOOL;
	d->incomplete = flags & FLAG_INCOMPLETE;
	d->question = flags & FLAG_QUESTION;
	d->type = type;
	if (type == AY_DATAGRAM_HEAD) {
		if (flags & ~FLAG_SCHOOL)
			return AY_EFORMAT;
		d->head = ay_get_bytes(&c, AY_HEAD_SIZE);
		return done(&c);
	}
	if (type != AY_DATAGRAM_CHAT || (flags & ~(FLAG_SCHOOL | FLAG_INCOMPLETE | FLAG_QUESTION)))
		return AY_EFORMAT;
	return get_chat(&c, d);
}

/* ---- HELLO */

void ay_wire_hello_put(struct ay_buf *out, const struct ay_wire_hello *h)
{
	AY_ASSERT(h->n <= AY_CORE_BRANCHES_MAX);
	ay_put_bytes(out, hello_magic, sizeof(hello_magic));
	ay_put_u16(out, AY_WIRE_VERSION);
	ay_put_u8(out, h->school);
	ay_put_u8(out, h->incomplete ? HELLO_INCOMPLETE : 0);
	ay_put_u64(out, h->session_id);
	ay_put_u16(out, h->port);
	ay_put_u8(out, (uint8_t)h->n);
	ay_put_u8(out, 0);
	ay_put_u32(out, h->root_version);
	ay_put_bytes(out, h->fleet, sizeof(h->fleet));
	for (unsigned i = 0; i < h->n; i++) {
		const struct ay_wire_hello_summary *s = &h->summaries[i];
		ay_put_bytes(out, s->branch.b, sizeof(s->branch.b));
		ay_put_u32(out, s->root_epoch);
		ay_put_u32(out, s->head_serial);
		ay_put_u64(out, s->signed_at_s);
		ay_put_u32(out, s->have_serial);
	}
}

int ay_wire_hello_get(const void *data, size_t len, struct ay_wire_hello *h)
{
	struct ay_cursor c;

	memset(h, 0, sizeof(*h));
	ay_cursor_init(&c, data, len);
	const uint8_t *magic = ay_get_bytes(&c, sizeof(hello_magic));
	if (!magic || memcmp(magic, hello_magic, sizeof(hello_magic)) != 0)
		return AY_EFORMAT;
	uint16_t version = ay_get_u16(&c);
	if (version != AY_WIRE_VERSION)
		return c.failed || version == 0 ? AY_EFORMAT : AY_EVERSION;
	uint8_t role = ay_get_u8(&c), flags = ay_get_u8(&c);
	h->session_id = ay_get_u64(&c);
	h->port = ay_get_u16(&c);
	h->n = ay_get_u8(&c);
	uint8_t zero = ay_get_u8(&c);
	h->root_version = ay_get_u32(&c);
	ay_get_copy(&c, h->fleet, sizeof(h->fleet));
	if (c.failed || role > 1 || (flags & ~HELLO_INCOMPLETE) || zero || h->session_id == 0 ||
	    h->n > AY_CORE_BRANCHES_MAX)
		return AY_EFORMAT;
	h->school = role;
	h->incomplete = flags & HELLO_INCOMPLETE;
	for (unsigned i = 0; i < h->n; i++) {
		struct ay_wire_hello_summary *s = &h->summaries[i];
		ay_get_copy(&c, s->branch.b, sizeof(s->branch.b));
		s->root_epoch = ay_get_u32(&c);
		s->head_serial = ay_get_u32(&c);
		s->signed_at_s = ay_get_u64(&c);
		s->have_serial = ay_get_u32(&c);
		if (i > 0 && memcmp(s[-1].branch.b, s->branch.b, sizeof(s->branch.b)) >= 0)
			return AY_EFORMAT;
		if (s->head_serial == 0 && (s->root_epoch || s->signed_at_s))
			return AY_EFORMAT;
	}
	return done(&c);
}

/* ---- documents */

/* What a kind uses must be there, what it does not use must be zero. */
static int ask_check(const struct ay_wire_ask *a)
{
	static const struct ay_branch_id no_branch;
	bool branch = memcmp(&a->branch, &no_branch, sizeof(no_branch)) != 0;
	bool digest = !ay_digest_is_zero(&a->digest);
	bool number = a->number != 0;

	switch (a->kind) {
	case AY_DOC_TYPE_ROOT:
		return !branch && !digest && number ? 0 : AY_EFORMAT;
	case AY_DOC_TYPE_HEAD:
		return branch && !digest && !number ? 0 : AY_EFORMAT;
	case AY_DOC_TYPE_RELEASE:
		return !branch && digest && !number ? 0 : AY_EFORMAT;
	case AY_DOC_TYPE_RELEASE_OF:
		return branch && digest != number ? 0 : AY_EFORMAT;
	case AY_DOC_TYPE_OFFERS:
		return branch && digest && !number ? 0 : AY_EFORMAT;
	default:
		return AY_EFORMAT;
	}
}

void ay_wire_ask_put(struct ay_buf *out, const struct ay_wire_ask *a)
{
	AY_ASSERT(ask_check(a) == 0);
	ay_put_u8(out, a->kind);
	ay_put_bytes(out, a->branch.b, sizeof(a->branch.b));
	put_digest(out, &a->digest);
	ay_put_u32(out, a->number);
}

int ay_wire_ask_get(const void *data, size_t len, struct ay_wire_ask *a)
{
	struct ay_cursor c;

	memset(a, 0, sizeof(*a));
	ay_cursor_init(&c, data, len);
	a->kind = ay_get_u8(&c);
	ay_get_copy(&c, a->branch.b, sizeof(a->branch.b));
	get_digest(&c, &a->digest);
	a->number = ay_get_u32(&c);
	return done(&c) ? AY_EFORMAT : ask_check(a);
}

bool ay_wire_ask_eq(const struct ay_wire_ask *a, const struct ay_wire_ask *b)
{
	return a->kind == b->kind && a->number == b->number && ay_digest_eq(&a->digest, &b->digest) &&
	       memcmp(&a->branch, &b->branch, sizeof(a->branch)) == 0;
}

static int doc_check(const struct ay_wire_doc *d)
{
	uint32_t left;

	if (d->kind != AY_DOC_TYPE_ROOT && d->kind != AY_DOC_TYPE_HEAD && d->kind != AY_DOC_TYPE_RELEASE &&
	    d->kind != AY_DOC_TYPE_OFFERS)
		return AY_EFORMAT;
	if (d->total < 1 || d->total > AY_ENVELOPE_MAX || d->offset >= d->total ||
	    d->offset % AY_WIRE_DOC_PART)
		return AY_EFORMAT;
	if (d->kind != AY_DOC_TYPE_ROOT && d->total > AY_WIRE_DOC_PART)
		return AY_EFORMAT;
	if (d->kind == AY_DOC_TYPE_HEAD && d->total != AY_HEAD_SIZE)
		return AY_EFORMAT;
	left = d->total - d->offset;
	return d->bytes.len == (left < AY_WIRE_DOC_PART ? left : AY_WIRE_DOC_PART) ? 0 : AY_EFORMAT;
}

void ay_wire_doc_put(struct ay_buf *out, const struct ay_wire_doc *d)
{
	AY_ASSERT(doc_check(d) == 0);
	ay_put_u8(out, d->kind);
	ay_put_u32(out, d->total);
	ay_put_u32(out, d->offset);
	ay_put_bytes(out, d->bytes.data, d->bytes.len);
}

int ay_wire_doc_get(const void *data, size_t len, struct ay_wire_doc *d)
{
	struct ay_cursor c;

	memset(d, 0, sizeof(*d));
	ay_cursor_init(&c, data, len);
	d->kind = ay_get_u8(&c);
	d->total = ay_get_u32(&c);
	d->offset = ay_get_u32(&c);
	d->bytes.len = ay_cursor_left(&c);
	d->bytes.data = ay_get_bytes(&c, d->bytes.len);
	return done(&c) ? AY_EFORMAT : doc_check(d);
}

/* ---- bundles and blocks */

void ay_wire_want_put(struct ay_buf *out, const struct ay_wire_want *w)
{
	put_digest(out, &w->bundle);
	ay_put_u64(out, w->size);
	ay_put_u32(out, w->had);
	ay_put_u8(out, w->on);
}

int ay_wire_want_get(const void *data, size_t len, struct ay_wire_want *w)
{
	struct ay_cursor c;

	memset(w, 0, sizeof(*w));
	ay_cursor_init(&c, data, len);
	get_digest(&c, &w->bundle);
	w->size = ay_get_u64(&c);
	w->had = ay_get_u32(&c);
	uint8_t on = ay_get_u8(&c);
	if (done(&c) || on > 1 || w->size < 1 || w->size > AY_BUNDLE_SIZE_MAX ||
	    w->had > ay_blocks_of(w->size))
		return AY_EFORMAT;
	w->on = on;
	return 0;
}

static int bitmap_check(const struct ay_wire_bitmap *b)
{
	uint64_t blocks;

	if (b->size < 1 || b->size > AY_BUNDLE_SIZE_MAX)
		return AY_EFORMAT;
	if (b->kind != AY_BITMAP_BITS)
		return b->bits.len == 0 && b->kind <= AY_BITMAP_WHOLE ? 0 : AY_EFORMAT;
	blocks = ay_blocks_of(b->size);
	if (b->bits.len != (blocks + 7) / 8)
		return AY_EFORMAT;
	if (blocks % 8 && b->bits.data[b->bits.len - 1] >> (blocks % 8))
		return AY_EFORMAT;
	return 0;
}

void ay_wire_bitmap_put(struct ay_buf *out, const struct ay_wire_bitmap *b)
{
	AY_ASSERT(bitmap_check(b) == 0);
	put_digest(out, &b->bundle);
	ay_put_u64(out, b->size);
	ay_put_u8(out, b->kind);
	ay_put_bytes(out, b->bits.data, b->bits.len);
}

int ay_wire_bitmap_get(const void *data, size_t len, struct ay_wire_bitmap *b)
{
	struct ay_cursor c;

	memset(b, 0, sizeof(*b));
	ay_cursor_init(&c, data, len);
	get_digest(&c, &b->bundle);
	b->size = ay_get_u64(&c);
	b->kind = ay_get_u8(&c);
	b->bits.len = ay_cursor_left(&c);
	b->bits.data = ay_get_bytes(&c, b->bits.len);
	return done(&c) ? AY_EFORMAT : bitmap_check(b);
}

void ay_wire_block_put(struct ay_buf *out, const struct ay_wire_block *b)
{
	put_digest(out, &b->bundle);
	ay_put_u32(out, b->index);
}

int ay_wire_block_get(const void *data, size_t len, struct ay_wire_block *b)
{
	struct ay_cursor c;

	ay_cursor_init(&c, data, len);
	get_digest(&c, &b->bundle);
	b->index = ay_get_u32(&c);
	return done(&c);
}

void ay_wire_request_put(struct ay_buf *out, const struct ay_wire_request *r)
{
	put_digest(out, &r->bundle);
	ay_put_u32(out, r->index);
	ay_put_u32(out, r->had);
	ay_put_u8(out, r->attempt);
}

int ay_wire_request_get(const void *data, size_t len, struct ay_wire_request *r)
{
	struct ay_cursor c;

	ay_cursor_init(&c, data, len);
	get_digest(&c, &r->bundle);
	r->index = ay_get_u32(&c);
	r->had = ay_get_u32(&c);
	r->attempt = ay_get_u8(&c);
	return done(&c);
}

void ay_wire_hash_request_put(struct ay_buf *out, const struct ay_wire_hash_request *r)
{
	AY_ASSERT(r->level < AY_MERKLE_LEVELS_MAX);
	put_digest(out, &r->bundle);
	ay_put_u8(out, r->level);
	ay_put_u32(out, r->index);
}

int ay_wire_hash_request_get(const void *data, size_t len, struct ay_wire_hash_request *r)
{
	struct ay_cursor c;

	ay_cursor_init(&c, data, len);
	get_digest(&c, &r->bundle);
	r->level = ay_get_u8(&c);
	r->index = ay_get_u32(&c);
	return done(&c) || r->level >= AY_MERKLE_LEVELS_MAX ? AY_EFORMAT : 0;
}

static int reject_check(const struct ay_wire_reject *r)
{
	if (r->level >= AY_MERKLE_LEVELS_MAX && r->level != AY_REJECT_LEVEL_BLOCK)
		return AY_EFORMAT;
	if (r->reason < AY_REJECT_NOT_HERE || r->reason > AY_REJECT_ASK_PEERS)
		return AY_EFORMAT;
	/* Only ASK_PEERS names somebody. */
	return (r->who != 0) == (r->reason == AY_REJECT_ASK_PEERS) ? 0 : AY_EFORMAT;
}

void ay_wire_reject_put(struct ay_buf *out, const struct ay_wire_reject *r)
{
	AY_ASSERT(reject_check(r) == 0);
	put_digest(out, &r->bundle);
	ay_put_u8(out, r->level);
	ay_put_u32(out, r->index);
	ay_put_u8(out, r->reason);
	ay_put_u32(out, r->retry_ms);
	ay_put_u64(out, r->who);
}

int ay_wire_reject_get(const void *data, size_t len, struct ay_wire_reject *r)
{
	struct ay_cursor c;

	ay_cursor_init(&c, data, len);
	get_digest(&c, &r->bundle);
	r->level = ay_get_u8(&c);
	r->index = ay_get_u32(&c);
	r->reason = ay_get_u8(&c);
	r->retry_ms = ay_get_u32(&c);
	r->who = ay_get_u64(&c);
	return done(&c) ? AY_EFORMAT : reject_check(r);
}

void ay_wire_peers_put(struct ay_buf *out, const struct ay_wire_peers *p)
{
	AY_ASSERT(p->n >= 1 && p->n <= AY_WIRE_PEERS_MAX);
	ay_put_u8(out, (uint8_t)p->n);
	for (unsigned i = 0; i < p->n; i++) {
		ay_put_bytes(out, p->addrs[i].ip, sizeof(p->addrs[i].ip));
		ay_put_u16(out, p->addrs[i].port);
	}
}

int ay_wire_peers_get(const void *data, size_t len, struct ay_wire_peers *p)
{
	struct ay_cursor c;

	memset(p, 0, sizeof(*p));
	ay_cursor_init(&c, data, len);
	p->n = ay_get_u8(&c);
	if (p->n < 1 || p->n > AY_WIRE_PEERS_MAX)
		return AY_EFORMAT;
	for (unsigned i = 0; i < p->n; i++) {
		ay_get_copy(&c, p->addrs[i].ip, sizeof(p->addrs[i].ip));
		p->addrs[i].port = ay_get_u16(&c);
		if (p->addrs[i].port == 0)
			return AY_EFORMAT;
	}
	return done(&c);
}
