/* SPDX-License-Identifier: MIT */
/* What every story begins with: a publisher, a school, some laptops at release 1. */
#ifndef AYNI_TESTS_STORY_STORY_H
#define AYNI_TESTS_STORY_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/story/proto/cluster.h"

struct story {
	struct publisher p;
	struct cluster *c;
	unsigned school;
	unsigned laptops[CLUSTER_MAX];
	unsigned n;
};

/** story_begin() - a school and @n laptops at release 1, all off. */
void story_begin(struct story *s, unsigned n);
/** story_settle() - switch everything on and let it find that all is well. */
void story_settle(struct story *s);
/** story_publish() - release @serial with a bundle of @blocks from @from reaches the school. */
const struct published_bundle *story_publish(struct story *s, uint32_t from, uint32_t serial,
					     unsigned blocks);
/** story_end() - nothing crossed the air twice (unless @twice), then clean up. */
void story_end(struct story *s, bool twice);
/** school_copies() - of @b that the school has sent. */
double school_copies(const struct story *s, const struct published_bundle *b);

#define expect_trace(s, node, rooms, want) assert_string_equal(trace_of((s)->c, node, rooms), want)

#endif
