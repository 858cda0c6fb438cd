/* SPDX-License-Identifier: MIT */
/* The beginnings and ends that stories share. */
#include "tests/story/proto/story.h"

#include <stdio.h>

void story_begin(struct story *s, unsigned n)
{
	*s = (struct story){.n = n};
	publisher_init(&s->p, 7);
	publisher_release(&s->p, 1, 100);
	s->c = cluster_new(1, &s->p);
	s->school = cluster_add(s->c, "school", &(struct member){.school = true});
	for (unsigned i = 0; i < n; i++) {
		char name[24];
		snprintf(name, sizeof(name), "laptop%u", i + 1);
		s->laptops[i] = cluster_add(s->c, name, &(struct member){.have = 1});
	}
}

void story_settle(struct story *s)
{
	cluster_start_all(s->c);
	cluster_run(s->c, 30 * SECOND);
	cluster_clear_trace(s->c);
}

const struct published_bundle *story_publish(struct story *s, uint32_t from, uint32_t serial, unsigned blocks)
{
	if (!published(&s->p, serial))
		publisher_release(&s->p, serial, 100);
	const struct published_bundle *b =
		publisher_bundle(&s->p, from, serial, blocks * AY_BLOCK_SIZE - 100);
	cluster_publish(s->c, s->school);
	return b;
}

void story_end(struct story *s, bool twice)
{
	for (unsigned i = 0; i < s->n && !twice; i++)
		assert_int_equal(blocks_twice(s->c, s->laptops[i]), 0);
	cluster_free(s->c);
	publisher_free(&s->p);
}

double school_copies(const struct story *s, const struct published_bundle *b)
{
	return (double)block_bytes_sent(s->c, s->school) / (double)b->size;
}
