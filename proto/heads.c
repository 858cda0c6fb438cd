/* SPDX-License-Identifier: MIT */
/*
 * A head is heard, verified, made durable, taken.
 *
 * Anybody may send one, so it is compared with what we know before its signature is
 * looked at, signatures are looked at out of a token bucket, and what was refused once
 * is not looked at again. Until the store says that it is durable nobody hears of it.
 */
#include "proto/heads.h"

#include "proto/announce.h"
#include "proto/docs.h"
#include "proto/orders.h"
#include "proto/trace.h"

#include "base/error.h"

#include <string.h>

static bool refused_before(struct ay_core *c, const uint8_t *hash)
{
	for (unsigned i = 0; i < AY__HEARD_MAX; i++)
		if (memcmp(c->refused_heads[i], hash, sizeof(c->refused_heads[i])) == 0)
			return true;
	return false;
}

/* The newest that was verified, durable or on its way to be. */
static const struct ay_head *newest(const struct ay__branch *b)
{
	return b->has_next ? &b->next : b->has_head ? &b->head : NULL;
}

static bool is_newer(const struct ay__branch *b, const struct ay_head *h)
{
	const struct ay_head *mine = newest(b);
	int cmp = mine ? ay_head_cmp(h, mine) : 1;

	return cmp > 0 || (cmp == 0 && h->signed_at_s > mine->signed_at_s);
}

int ay__head_heard(struct ay_core *c, struct ay_slice data, enum ay__head_source source)
{
	bool news = source == AY__HEAD_NEWS;
	struct ay_head h;
	uint8_t hash[32];
	uint32_t serial;
	int rc, i;

	rc = ay_head_parse(data.data, data.len, &h, NULL);
	if (rc)
		return rc;
	i = ay__branch_find_id(c, &h.branch);
	if (i == AY__NONE)
		return 0;
	struct ay__branch *b = &c->branches[i];
	if (b->has_head && memcmp(b->head_bytes, data.data, AY_HEAD_SIZE) == 0) {
		ay__announce_hush(c, b, news);
		return 0;
	}
	if (!b->follow || !is_newer(b, &h))
		return 0;
	ay_sha256(data.data, data.len, hash);
	if (refused_before(c, hash))
		return AY_ESIG;
	/* A session is accountable: it is punished for lies, and told us only what we asked. */
	if (!ay__token_room(c) || (source != AY__HEAD_SESSION && !ay_bucket_take(&c->verify_bucket, c->now)))
		return 0;
	serial = h.serial;
	rc = ay_trust_head(c->root, data.data, data.len, &h, NULL);
	if (rc == AY_EROLLBACK) {
		/* Perhaps true: who sent it may have the root that says so. Nothing is believed yet. */
		c->root_hint_until = c->now + 60 * AY__S;
		c->dirty |= AY__DIRTY_PEERS;
		return 0;
	}
	if (rc) {
		memcpy(c->refused_heads[c->refused_at++ % AY__HEARD_MAX], hash, sizeof(c->refused_heads[0]));
		AY__TRACE(c, "announce", "%s: head %u refused: %s", b->name, serial, ay_error_name(rc));
		return rc;
	}
	AY__TRACE(c, "announce", "%s: head %u verified, storing", b->name, h.serial);
	memcpy(b->next_bytes, data.data, AY_HEAD_SIZE);
	b->next = h;
	b->has_next = true;
	b->next_heard = news;
	b->next_token = ay__store(c, AY_ORDER_STORE_HEAD, AY__TOKEN_HEAD, i, data.data, data.len, b->name);
	return 0;
}

/* @head is durable: from now on it may be spoken of. */
static void take_head(struct ay_core *c, struct ay__branch *b, const uint8_t *bytes,
		      const struct ay_head *head, bool announce, bool heard)
{
	bool newer = !b->has_head || ay_head_cmp(head, &b->head) > 0;

	memcpy(b->head_bytes, bytes, AY_HEAD_SIZE);
	b->head = *head;
	b->has_head = true;
	c->dirty |= AY__DIRTY_HELLO | AY__DIRTY_PLAN | AY__DIRTY_LEARN;
	if (!newer)
		return;
	AY__TRACE(c, "announce", "%s: head %u is the newest", b->name, head->serial);
	b->answer_at = AY__NEVER;
	b->head_changed = true;
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN | AY__DIRTY_PEERS;
	if (announce)
		ay__announce_head(c, b, heard);
}

void ay__head_stored(struct ay_core *c, struct ay__branch *b, uint64_t token, int status)
{
	if (!b->has_next || b->next_token != token)
		return; /* an even newer one is being stored */
	b->has_next = false;
	if (status) {
		/* Not durable, so not spoken of. It will be heard again. */
		AY__TRACE(c, "announce", "%s: head %u not stored: %s", b->name, b->next.serial,
			  ay_error_name(status));
		return;
	}
	take_head(c, b, b->next_bytes, &b->next, true, b->next_heard);
}

/*
 * From our own store or repository: durable already. A head found at start is old
 * news; one that comes later, or replaces another, was just published here.
 */
int ay__head_local(struct ay_core *c, struct ay_slice data)
{
	struct ay_head h;
	int rc, i;

	if (!c->root)
		return AY_EROLE;
	rc = ay_trust_head(c->root, data.data, data.len, &h, NULL);
	if (rc)
		return rc;
	i = ay__branch_find_id(c, &h.branch);
	if (i == AY__NONE)
		return AY_EFORMAT;
	struct ay__branch *b = &c->branches[i];
	const struct ay_head *mine = newest(b);
	if (mine && ay_head_cmp(&h, mine) < 0)
		return AY_EROLLBACK;
	if (b->has_head && !is_newer(b, &h))
		return 0;
	b->has_next = false;
	take_head(c, b, data.data, &h, b->has_head || c->now - c->started_ns > 10 * AY__S, false);
	return 0;
}
