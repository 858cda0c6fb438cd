/* SPDX-License-Identifier: MIT */
/*
 * Who can give what, by their own words. The plan prices a bundle by whether a laptop
 * or only a school has it; a session that ends takes its words back.
 */
#include "proto/told.h"

#include "base/error.h"

static void untell(struct ay_core *c, struct ay__session *s, unsigned i)
{
	struct ay__offer *o = &c->offers[s->told[i]];
	uint16_t *n = s->school ? &o->schools : &o->laptops;

	AY_ASSERT(*n > 0);
	(*n)--;
	s->told[i] = s->told[--s->n_told];
	c->dirty |= AY__DIRTY_PLAN;
}

void ay__told_add(struct ay_core *c, struct ay__session *s, int offer)
{
	for (unsigned i = 0; i < s->n_told; i++)
		if (s->told[i] == offer)
			return;
	if (s->n_told == AY__TOLD_MAX)
		return;
	s->told[s->n_told++] = (uint16_t)offer;
	*(s->school ? &c->offers[offer].schools : &c->offers[offer].laptops) += 1;
	c->dirty |= AY__DIRTY_PLAN;
}

void ay__told_forget(struct ay_core *c, struct ay__session *s, const struct ay_digest *bundle)
{
	for (unsigned i = s->n_told; i-- > 0;)
		if (ay_digest_eq(&c->offers[s->told[i]].bundle, bundle))
			untell(c, s, i);
}

void ay__told_session_gone(struct ay_core *c, struct ay__session *s)
{
	while (s->n_told)
		untell(c, s, s->n_told - 1);
}
