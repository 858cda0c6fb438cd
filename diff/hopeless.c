/* SPDX-License-Identifier: MIT */
/*
 * diff/hopeless.c - sampled strings, as a sketch of what two files, or two places of one, have in common.
 *
 * Whether two strings of n bytes are equal by chance depends on the bytes: with p the
 * chance that two bytes are, it is p^n. Of random bytes eight are enough for any file; of
 * random decimal digits eight come again in every 100 MB, and of four letters in every 64 KB:
 * such files would look related to all others of their kind. So n is chosen until fewer than
 * one string in a thousand would be found by chance, and what is found then means something.
 *
 * The sample is taken by the strings' own hash (as Broder's sketches are: "On the resemblance
 * and containment of documents", 1997), which rolls from byte to byte.
 */
#include "diff/hopeless.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define GRAM_MIN    8
#define GRAM_MAX    24
#define SAMPLE      64                  /* one string in so many */
#define LEN_MIN     65536               /* bytes below which looking costs little anyway */
#define CHANCE      1024                /* found by chance: less than one in so many */
#define FOUND_SHARE 256                 /* so few found of those sampled are none */
#define BASE        0x9e3779b97f4a7c15u /* odd, of no pattern: the hash is a polynomial in it */

struct sketch {
	uint64_t *table; /* hashes; 0: free */
	size_t mask, n;
};

static void count_bytes(struct ay_slice s, uint64_t count[256])
{
	memset(count, 0, 256 * sizeof(*count));
	for (size_t i = 0; i < s.len; i++)
		count[s.data[i]]++;
}

/* Bytes that a string must have so that what @a has is in @b by chance hardly ever. */
static unsigned gram_len(struct ay_slice a, struct ay_slice b)
{
	uint64_t in_a[256], in_b[256];
	double equal = 0, chance = (double)b.len * CHANCE;
	unsigned n = 0;

	count_bytes(a, in_a);
	count_bytes(b, in_b);
	for (unsigned i = 0; i < 256; i++)
		equal += (double)in_a[i] / (double)a.len * ((double)in_b[i] / (double)b.len);
	for (; n < GRAM_MAX && (n < GRAM_MIN || chance > 1); n++)
		chance *= equal;
	return n;
}

/* A free place for @hash, or the one that has it. */
static size_t slot_of(const struct sketch *k, uint64_t hash)
{
	size_t slot = (hash >> 32) & k->mask;

	while (k->table[slot] && k->table[slot] != hash)
		slot = (slot + 1) & k->mask;
	return slot;
}

/*
 * Give each sampled string of @s to the sketch, which keeps it (@add), or only look for it. Returns how many were
 * there. Strings of one byte over and over are everywhere and say nothing.
 */
static uint64_t go_through(struct sketch *k, struct ay_slice s, unsigned gram, bool add)
{
	uint64_t hash = 0, out = 1, found = 0;
	size_t run = 0;

	for (unsigned i = 0; i < gram; i++)
		out *= BASE;
	for (size_t i = 0; i < s.len; i++) {
		hash = hash * BASE + s.data[i] + 1;
		if (i >= gram)
			hash -= out * (s.data[i - gram] + 1u);
		run = i && s.data[i] == s.data[i - 1] ? run + 1 : 1;
		/* Mixed, because the last byte alone would choose the sample. */
		uint64_t mixed = (hash ^ hash >> 29) * BASE;
		mixed ^= mixed >> 32;
		if (i + 1 < gram || mixed % SAMPLE || run >= gram || mixed == 0)
			continue;
		size_t slot = slot_of(k, mixed);
		found += k->table[slot] != 0;
		if (add && !k->table[slot] && k->n < k->mask / 2) {
			k->table[slot] = mixed;
			k->n++;
		}
	}
	return found;
}

/* Of strings that all differ one in SAMPLE is taken, give or take; a full table is no reason to stop. */
static int sketch_init(struct sketch *k, size_t len)
{
	size_t cap = 1024;

	while (cap < len / SAMPLE * 4)
		cap *= 2;
	*k = (struct sketch){.table = calloc(cap, sizeof(*k->table)), .mask = cap - 1};
	return k->table ? 0 : -ENOMEM;
}

int ay__hopeless(const uint8_t *data, size_t len, bool *yes)
{
	struct ay_slice all = {data, len};
	struct sketch k;

	*yes = false;
	if (len < LEN_MIN)
		return 0;
	int rc = sketch_init(&k, len);
	if (rc)
		return rc;
	uint64_t again = go_through(&k, all, gram_len(all, all), true);
	*yes = again < k.n / FOUND_SHARE;
	free(k.table);
	return 0;
}

int ay__unrelated(struct ay_slice old, struct ay_slice new_, bool *yes)
{
	struct sketch k;

	*yes = false;
	if (new_.len < LEN_MIN || old.len < LEN_MIN)
		return 0;
	int rc = sketch_init(&k, new_.len);
	if (rc)
		return rc;
	unsigned gram = gram_len(new_, old);
	go_through(&k, new_, gram, true);
	*yes = go_through(&k, old, gram, false) < k.n / FOUND_SHARE;
	free(k.table);
	return 0;
}
