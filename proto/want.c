/* SPDX-License-Identifier: MIT */
/*
 * Pure questions, asked from many floors: by who announces, who connects, who greets.
 */
#include "proto/want.h"

bool ay__core_incomplete(const struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].update != AY__UP_IDLE && c->branches[i].update != AY__UP_HELD)
			return true;
	return false;
}

bool ay__core_held(const struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].update == AY__UP_HELD)
			return true;
	return false;
}

bool ay__core_wants(const struct ay_core *c)
{
	if (c->root_hint_until > c->now)
		return true;
	for (unsigned i = 0; i < c->n_branches; i++) {
		const struct ay__branch *b = &c->branches[i];
		if (b->follow && (b->learn != AY__LEARN_IDLE || b->update == AY__UP_SEARCHING ||
				  b->update == AY__UP_OPENING || b->update == AY__UP_COLLECTING))
			return true;
	}
	for (unsigned i = 0; i < AY__PEERS_MAX; i++)
		if (c->peers[i].used && c->peers[i].newer && c->now - c->peers[i].heard_ns < 60 * AY__S)
			return true;
	return false;
}

void ay__interest_add(struct ay__branch *b, const struct ay_digest *manifest, bool need_release)
{
	for (unsigned i = 0; i < b->n_interest; i++) {
		if (ay_digest_eq(&b->interest[i].manifest, manifest)) {
			b->interest[i].need_release &= need_release;
			return;
		}
	}
	if (b->n_interest < AY__INTEREST_MAX)
		b->interest[b->n_interest++] = (struct ay__interest){*manifest, need_release};
}
