/* SPDX-License-Identifier: MIT */
/*
 * proto/bucket.h - a token bucket: so many at once, then one per so long.
 *
 * It stands before everything that a stranger can make us do: verify a signature,
 * answer a question, connect somewhere.
 */
#ifndef AYNI_PROTO_BUCKET_H
#define AYNI_PROTO_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct ay_bucket {
	uint64_t every_ns;
	unsigned burst, tokens;
	uint64_t since_ns; /* time up to which tokens were given */
};

static inline void ay_bucket_init(struct ay_bucket *b, uint64_t now_ns, unsigned burst, uint64_t every_ns)
{
	*b = (struct ay_bucket){.every_ns = every_ns, .burst = burst, .tokens = burst, .since_ns = now_ns};
}

/** ay_bucket_has() - is there a token to take? */
static inline bool ay_bucket_has(const struct ay_bucket *b, uint64_t now_ns)
{
	return b->tokens > 0 || now_ns - b->since_ns >= b->every_ns;
}

/** ay_bucket_take() - take a token if there is one. */
static inline bool ay_bucket_take(struct ay_bucket *b, uint64_t now_ns)
{
	uint64_t more = (now_ns - b->since_ns) / b->every_ns;

	if (more >= b->burst - b->tokens) {
		b->tokens = b->burst;
		b->since_ns = now_ns;
	} else {
		b->tokens += (unsigned)more;
		b->since_ns += more * b->every_ns;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

#endif
