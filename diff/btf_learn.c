/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_learn.c - types of the old module beside those of the new one, in order; what they refer to is a vote each.
 *
 * The kernel's own description is not needed: what its numbers became is what most modules say. Nor is any of this exact:
 * a wrong row costs a few bytes.
 */
#include "diff/btf_learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/btf_types.h"

#define VALUES_MAX (1u << 23) /* numbers above are not learned: 64 MiB of votes at most */
#define LOOK       64         /* types that may be passed over to find the next that are the same */
#define AGREE      3          /* so many in a row are */
#define VOTES_MIN  2          /* a row costs as much as two wrong predictions */
#define PAIRS_MIN  4

struct ay__btf_vote {
	uint32_t new_;
	uint32_t votes; /* Boyer and Moore, "MJRTY", 1981: the majority's lead */
};

static int vote(struct ay__btf_learner *l, enum ay__btf_space space, uint32_t old, uint32_t new_)
{
	if (old == 0 || old >= VALUES_MAX)
		return 0;
	if (old >= l->n_votes[space]) {
		uint32_t n = old + old / 2 + 1024;
		struct ay__btf_vote *v = realloc(l->votes[space], n * sizeof(*v));

		if (!v)
			return -ENOMEM;
		memset(v + l->n_votes[space], 0, (n - l->n_votes[space]) * sizeof(*v));
		l->votes[space] = v;
		l->n_votes[space] = n;
	}
	struct ay__btf_vote *v = &l->votes[space][old];
	if (v->votes == 0)
		*v = (struct ay__btf_vote){.new_ = new_, .votes = 1};
	else
		v->votes += v->new_ == new_ ? 1 : UINT32_MAX;
	return 0;
}

/* The two types are one: so are the things that they refer to. */
static int types_vote(struct ay__btf_learner *l, struct ay__btf_types *old, uint32_t i,
		      struct ay__btf_types *new_, uint32_t j)
{
	struct ay__btf_walk w = {.src = &old->src,
				 .at = old->types[i].at,
				 .end = i + 1 < old->n ? old->types[i + 1].at : old->btf.types_end};
	enum ay__btf_space space;
	uint64_t at;
	int rc = 0;

	while (rc == 0 && ay__btf_next(&w, &at, &space))
		rc = vote(l, space, ay__btf_value(old, at),
			  ay__btf_value(new_, at - old->types[i].at + new_->types[j].at));
	return rc;
}

static bool same_from(const struct ay__btf_types *a, uint32_t i, const struct ay__btf_types *b, uint32_t j)
{
	for (unsigned k = 0; k < AGREE; k++) {
		bool end = i + k >= a->n || j + k >= b->n;

		if (end)
			return i + k >= a->n && j + k >= b->n;
		if (a->types[i + k].key != b->types[j + k].key)
			return false;
	}
	return true;
}

/* Pass over as few types as may be, so that the next few agree. */
static bool resume(const struct ay__btf_types *a, uint32_t *i, const struct ay__btf_types *b, uint32_t *j)
{
	for (uint32_t skip = 1; skip <= LOOK; skip++) {
		for (uint32_t x = 0; x <= skip; x++) {
			if (*i + x <= a->n && *j + (skip - x) <= b->n &&
			    same_from(a, *i + x, b, *j + (skip - x))) {
				*i += x;
				*j += skip - x;
				return true;
			}
		}
	}
	return false;
}

int ay__btf_learn(struct ay__btf_learner *l, struct ay_slice old, struct ay_slice new_)
{
	AY_CLEANUP(ay__btf_types_release) struct ay__btf_types a = {0};
	AY_CLEANUP(ay__btf_types_release) struct ay__btf_types b = {0};
	uint32_t i = 0, j = 0;
	int rc = ay__btf_types_read(&a, old);

	if (rc == 0)
		rc = ay__btf_types_read(&b, new_);
	if (rc || a.n == 0 || b.n == 0)
		return rc;
	for (unsigned s = 0; s < AY__BTF_SPACES; s++) {
		if (a.own[s] > l->own[s][0])
			l->own[s][0] = a.own[s];
		if (b.own[s] > l->own[s][1])
			l->own[s][1] = b.own[s];
	}
	l->n_pairs++;
	while (rc == 0 && i < a.n && j < b.n) {
		if (a.types[i].key == b.types[j].key)
			rc = types_vote(l, &a, i++, &b, j++);
		else if (!resume(&a, &i, &b, &j))
			break;
	}
	return rc;
}

static int rows_make(const struct ay__btf_learner *l, enum ay__btf_space space, struct ay__btf_map *out)
{
	uint32_t n = l->n_votes[space], own = l->own[space][0], moved = 0;
	struct ay__btf_row *rows = malloc((AY__BTF_ROWS_MAX + 1) * sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	out->rows[space] = rows;
	for (uint32_t v = 1; v < n && v < own && out->n[space] < AY__BTF_ROWS_MAX - 1; v++) {
		const struct ay__btf_vote *vote = &l->votes[space][v];

		if (vote->votes < VOTES_MIN || vote->new_ - v == moved)
			continue;
		moved = vote->new_ - v;
		rows[out->n[space]++] = (struct ay__btf_row){v, vote->new_};
	}
	if (l->own[space][1] - own != moved && own)
		rows[out->n[space]++] = (struct ay__btf_row){own, l->own[space][1]};
	return 0;
}

int ay__btf_learned(const struct ay__btf_learner *l, struct ay__btf_map *out)
{
	int rc = 0;

	*out = (struct ay__btf_map){0};
	memcpy(out->own, l->own, sizeof(out->own));
	for (unsigned s = 0; s < AY__BTF_SPACES && rc == 0 && l->n_pairs >= PAIRS_MIN; s++)
		rc = rows_make(l, (enum ay__btf_space)s, out);
	return rc;
}

void ay__btf_learner_release(struct ay__btf_learner *l)
{
	for (unsigned s = 0; s < AY__BTF_SPACES; s++)
		free(l->votes[s]);
	*l = (struct ay__btf_learner){0};
}
