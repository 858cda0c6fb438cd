/* SPDX-License-Identifier: MIT */
/*
 * Answers to what peers ask: roots, heads, releases, offers. Only what is durable here
 * is given, for what a peer builds on it must not be gone when we wake up again.
 */
#include "proto/answer.h"

#include "proto/bundles.h"
#include "proto/docs.h"
#include "proto/orders.h"

static void send_doc(struct ay_core *c, struct ay__session *s, uint8_t kind, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += AY_WIRE_DOC_PART) {
		size_t n = len - at < AY_WIRE_DOC_PART ? len - at : AY_WIRE_DOC_PART;
		struct ay_wire_doc d = {.kind = kind,
					.total = (uint32_t)len,
					.offset = (uint32_t)at,
					.bytes = {data + at, n}};
		ay_wire_doc_put(&c->scratch, &d);
		ay__frame(c, s, AY_FRAME_DOC);
	}
}

static bool can_give(const struct ay_core *c, const struct ay__offer *o)
{
	if (o->stored != AY__STORED_YES || o->refused)
		return false;
	if (c->cfg.role == AY_NODE_SCHOOL && o->local)
		return true;
	int i = ay__bundle_find(c, &o->bundle);
	return i != AY__NONE && c->bundles[i].state != AY__B_OPENING;
}

static void give_offers(struct ay_core *c, struct ay__session *s, int branch, const struct ay_digest *to)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_offers && n < AY_ANSWER_OFFERS_MAX; i++) {
		const struct ay__offer *o = &c->offers[i];
		if (!o->used || o->branch != branch || !ay_digest_eq(&o->to, to) || !can_give(c, o))
			continue;
		send_doc(c, s, AY_DOC_TYPE_OFFERS, o->data, o->len);
		n++;
	}
}

static bool give_release(struct ay_core *c, struct ay__session *s, int index)
{
	if (index == AY__NONE || c->releases[index].stored != AY__STORED_YES || c->releases[index].refused)
		return false;
	send_doc(c, s, AY_DOC_TYPE_RELEASE, c->releases[index].data, c->releases[index].len);
	return true;
}

int ay__answer(struct ay_core *c, struct ay__session *s, const struct ay_wire_ask *a)
{
	int branch = ay__branch_find_id(c, &a->branch);
	const struct ay__root_doc *root;
	bool given = false;

	switch (a->kind) {
	case AY_DOC_TYPE_ROOT:
		root = ay__root_doc(c, a->number);
		given = root;
		if (root)
			send_doc(c, s, a->kind, root->data, root->len);
		break;
	case AY_DOC_TYPE_HEAD:
		given = branch != AY__NONE && c->branches[branch].has_head;
		if (given)
			send_doc(c, s, a->kind, c->branches[branch].head_bytes, AY_HEAD_SIZE);
		break;
	case AY_DOC_TYPE_RELEASE:
		given = give_release(c, s, ay__release_find(c, &a->digest));
		break;
	case AY_DOC_TYPE_RELEASE_OF:
		if (branch != AY__NONE)
			given = give_release(c, s,
					     a->number ? ay__release_serial(c, branch, a->number)
						       : ay__release_of(c, branch, &a->digest));
		break;
	default:
		if (branch != AY__NONE)
			give_offers(c, s, branch, &a->digest);
	}
	if (!given) {
		ay_wire_ask_put(&c->scratch, a);
		ay__frame(c, s, AY_FRAME_NONE);
	}
	return 0;
}
