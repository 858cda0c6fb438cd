/* SPDX-License-Identifier: MIT */
/* All, none, at random, or one after the other. */
#include "tests/powercut/choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/prng.h"
#include "tests/powercut/blocklog.h"

static void draw(struct choice *c, const struct image *im, unsigned round, uint32_t tear)
{
	const size_t n = im->n_pieces;
	struct ay_prng r;

	ay_prng_init(&r, im->log->seed * 1000003 + im->at * 7919 + round);
	size_t one = ay_prng_below(&r, n), other = ay_prng_below(&r, n);
	const uint64_t odds = (uint64_t[]){1, 2, 4, 15, 16}[ay_prng_below(&r, 5)];
	switch (ay_prng_below(&r, 6)) {
	case 0: /* all but one piece */
		c->keep[one] = false;
		break;
	case 1: /* cut off in the middle of a write, or out of order: the rest has gone */
		for (size_t i = one; i < n; i++)
			c->keep[i] = false;
		break;
	case 2: /* one stretch has gone, or come */
		for (size_t i = 0; i < n; i++)
			c->keep[i] = (i >= one && i <= other) == (odds > 2);
		break;
	case 3: /* whole writes */
		for (size_t i = 0; i < n; i++)
			c->keep[i] = i > 0 && im->pieces[i].event == im->pieces[i - 1].event
					     ? c->keep[i - 1]
					     : ay_prng_below(&r, 17) < odds;
		break;
	case 4: /* the newest writes came first */
		for (size_t i = 0; i < one; i++)
			c->keep[i] = ay_prng_below(&r, 17) < odds;
		break;
	default: /* piece by piece */
		for (size_t i = 0; i < n; i++)
			c->keep[i] = ay_prng_below(&r, 17) < odds;
		break;
	}
	if (tear < BLOCK && im->pieces[one].len > tear && ay_prng_below(&r, 2)) {
		c->keep[one] = true;
		c->torn = one;
		c->torn_len = tear * (1 + (uint32_t)ay_prng_below(&r, im->pieces[one].len / tear - 1));
	}
}

/* The same place, or the same bytes at another one. */
static bool is_copy(const struct piece *a, const struct piece *b)
{
	if (a->block == b->block)
		return true;
	return a->len == b->len && a->bytes && b->bytes && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void aim(struct choice *c, const struct image *im, enum choice_kind kind, size_t which)
{
	for (size_t i = 0; i < im->n_pieces; i++) {
		switch (kind) {
		case CHOICE_BUT_ONE:
			c->keep[i] = !is_copy(&im->pieces[i], &im->pieces[which]);
			break;
		case CHOICE_ONE:
			c->keep[i] = is_copy(&im->pieces[i], &im->pieces[which]);
			break;
		case CHOICE_TAIL:
			c->keep[i] = i < which;
			break;
		default:
			c->keep[i] = i > which;
			break;
		}
	}
}

void choice_make(struct choice *c, const struct image *im, unsigned round, unsigned which, uint32_t tear)
{
	const size_t n = im->n_pieces;

	if (n > c->cap) {
		c->cap = n * 2;
		c->keep = realloc(c->keep, c->cap * sizeof(*c->keep));
		AY_ASSERT(c->keep);
	}
	for (size_t i = 0; i < n; i++)
		c->keep[i] = which == 0;
	c->torn = SIZE_MAX;
	if (n == 0 || round < 2)
		return;
	if (round >= CHOICE_AIMED)
		aim(c, im, (enum choice_kind)(round - CHOICE_AIMED), which % n);
	else
		draw(c, im, round, tear);
}

void choice_release(struct choice *c)
{
	free(c->keep);
}
