/* SPDX-License-Identifier: MIT */
/*
 * What is heard in the air. Anybody may shout, so nothing that is heard costs us more
 * than it cost the sender, and only a validly signed newer head resets a timer.
 */
#include "proto/hear.h"

#include "proto/announce.h"
#include "proto/heads.h"
#include "proto/peers.h"

#include "base/error.h"

static struct ay__branch *branch_by_tag(struct ay_core *c, uint32_t tag)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].id_known && ay__branch_tag(&c->branches[i].id) == tag)
			return &c->branches[i];
	return NULL;
}

/* A summary from the air is a hint, never a reason to reset anything. */
static bool hear_summary(struct ay_core *c, const struct ay_wire_datagram *d, const struct ay_wire_summary *s,
			 bool *newer)
{
	struct ay__branch *b = branch_by_tag(c, s->tag);

	if (!b || (!b->follow && !b->has_head))
		return true;
	if (s->head_serial == ay__head_serial(b)) {
		/* Who lacks the blocks asks for company: a head from who has them says where that is. */
		if (d->question && d->incomplete && b->has_head && b->answer_at == AY__NEVER &&
		    (!b->follow || b->have_serial >= b->head.serial))
			b->answer_at = c->now + ay__announce_pause(c, AY_ANSWER_SPREAD_MS / 2);
		return true;
	}
	if (s->head_serial > ay__head_serial(b)) {
		*newer |= b->follow;
	} else if (b->answer_at == AY__NEVER) {
		b->answer_at = c->now + ay__announce_pause(c, d->question ? AY_ANSWER_SPREAD_MS / 2
									  : AY_ANSWER_SPREAD_MS);
	}
	return false;
}

static void hear_chat(struct ay_core *c, const struct ay_addr *from, const struct ay_wire_datagram *d)
{
	bool consistent = true, newer = d->root_version > c->root->version;
	int peer = ay__peer_heard(c, from, d);

	if (d->incomplete)
		c->incomplete_heard_ns = c->now;
	for (unsigned i = 0; i < d->n; i++)
		consistent &= hear_summary(c, d, &d->summaries[i], &newer);
	if (consistent && !newer) {
		ay_trickle_hear(&c->trickle);
		/* Somebody who knows as much as we asks: the answer will do for both. */
		if (d->question && c->question_at != AY__NEVER)
			c->question_at = c->now + 2 * AY__S;
	}
	if (newer) {
		if (peer != AY__NONE)
			c->peers[peer].newer = true;
		if (c->question_at == AY__NEVER)
			ay__announce_ask(c, AY__S);
		c->dirty |= AY__DIRTY_PEERS;
	}
}

int ay__hear_datagram(struct ay_core *c, enum ay_group group, const struct ay_addr *from,
		      struct ay_slice data)
{
	struct ay_wire_datagram d;
	int rc = ay_wire_datagram_get(data.data, data.len, &d);

	if (!rc && group == AY_GROUP_NEWS && d.type != AY_DATAGRAM_HEAD)
		rc = AY_EFORMAT;
	if (!rc && d.session_id == c->cfg.session_id)
		return 0;
	if (!rc && ay__host_banned(c, from))
		return AY_EPEER;
	if (!c->root)
		return rc;
	if (!rc && d.type == AY_DATAGRAM_HEAD) {
		ay__peer_heard(c, from, &d);
		rc = ay__head_heard(c, (struct ay_slice){d.head, AY_HEAD_SIZE},
				    group == AY_GROUP_NEWS ? AY__HEAD_NEWS : AY__HEAD_CHAT);
	} else if (!rc) {
		hear_chat(c, from, &d);
	}
	if (rc)
		c->packets_refused++;
	return rc;
}
