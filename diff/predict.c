/* SPDX-License-Identifier: MIT */
/*
 * diff/predict.c - guesses, weighed; the truth, learned.
 *
 * All tables have fixed sizes that depend on the old file's size alone; a place in them that another key has is simply taken over.
 * Whatever the numbers are, a field costs a bounded time.
 */
#include "diff/predict.h"

#include <stdlib.h>
#include <string.h>

#define NEAR       5 /* neighbourhoods, the first one of one address */
#define WEIGHT_ONE 4096
#define RATE       4            /* a weight moves by a 16th of what is missing */
#define COPY_SPACE (1ull << 59) /* numbers of copies, where targets are looked up */

/* The guesses, from the most special on: of two of equal weight the first one is taken. */
enum guess {
	GUESS_SAME = 0,
	GUESS_NEAR, /* 1 to 4 */
	GUESS_COPY = NEAR,
	GUESS_SECTION,
	GUESS_LAST,
	GUESSES,
};

static const uint8_t near_bits[NEAR] = {0, 4, 7, 11, 16};
static const uint16_t weight_start[GUESSES] = {3200, 2800, 2400, 2000, 1600, 3000, 1200, 1000};

/* Numbers of .BTF that the bundle's map knows: it is hardly ever wrong, and what happened to the next number says nothing. */
static const uint16_t weight_start_mapped[GUESSES] = {4000, 1500, 1200, 1000, 800, 3950, 0, 500};

/* A section's own: GUESS_NEAR is what was learned of the same copy, GUESS_COPY what ranks say. */
static const uint16_t weight_start_own[GUESSES] = {3900, 3400, 1500, 1000, 800, 3300, 0, 700};

struct learned {
	uint32_t key;
	int32_t shift;
};

/* The weights of all guesses, as one vector; as loosely aligned as what malloc() gives. */
typedef uint16_t weights __attribute__((vector_size(2 * GUESSES), aligned(8)));
_Static_assert(GUESSES == 8, "one byte has a bit for each guess");

struct context {
	weights weight;
	bool has_last;
	int64_t last;
};

/* What ay__predict_aim() leaves for ay__predict_learn(). */
struct pending {
	const struct ay__aim *aim; /* NULL: there is nothing to learn */
	uint64_t base;
	unsigned available;          /* bit i: guess i */
	unsigned chosen;             /* those that say what was chosen */
	struct learned *place[NEAR]; /* of the target, in each table */
	uint32_t key[NEAR];
	int64_t shift[GUESSES], chosen_shift;
	struct context *context;
};

struct ay__predict {
	struct ay__aimer aimer;
	struct ay__btf_guess btf;
	struct learned *near[NEAR];
	uint32_t mask[NEAR];
	struct context contexts[AY__FIELD_KINDS][2][2];
	struct pending now;
	/* the field learned last, for those that count from it */
	uint64_t last_at, last_target;
	/* per register, the last ADRP: where it was in the old file, the page it gives in the new one */
	uint64_t adrp_at[32], adrp_page[32];
};

/*
 * Per byte: tables of what was learned 1.4, twice that where a size is just above a power of two; copies 4; types 0.3. At
 * most: tables 15.4 MiB, copies 16 (and half as much more while they grow, before there are tables); types 2, symbols 2, sections 1, buffers 1.
 */
uint64_t ay__predict_memory(uint64_t base_size)
{
	return base_size < (36u << 20) / 8 ? (2u << 20) + 8 * base_size : 38u << 20;
}

/* ---- tables */

static uint32_t table_size(uint64_t file, unsigned per, uint32_t max)
{
	uint32_t n = 64;

	while (n < max && n < file / per)
		n *= 2;
	return n;
}

static void weights_start(struct ay__predict *p)
{
	for (unsigned kind = 0; kind < AY__FIELD_KINDS; kind++) {
		bool number = kind == AY__FIELD_BTF_TYPE || kind == AY__FIELD_BTF_NAME;
		const uint16_t *out = number ? weight_start_own : weight_start;
		const uint16_t *in = number ? weight_start_mapped : weight_start;

		for (unsigned same = 0; same < 2; same++) {
			memcpy(&p->contexts[kind][0][same].weight, out, sizeof(weights));
			memcpy(&p->contexts[kind][1][same].weight, in, sizeof(weights));
		}
	}
}

struct ay__predict *ay__predict_new(struct ay__elf *old, struct ay__source *src, const struct ay__fields *f,
				    struct ay__elf_map *map, const struct ay__copy *copies, uint32_t n_copies,
				    const struct ay__btf_map *btf)
{
	static const struct ay__btf_map none;
	static const uint8_t per[NEAR] = {16, 16, 32, 128, 255};
	static const uint32_t max[NEAR] = {1u << 20, 1u << 19, 1u << 18, 1u << 16, 1u << 14};
	struct ay__predict *p = calloc(1, sizeof(*p));
	bool ok = p != NULL;

	if (!p)
		return NULL;
	p->aimer = (struct ay__aimer){.old = old,
				      .src = src,
				      .fields = f,
				      .map = map,
				      .btf = &p->btf,
				      .copies = copies,
				      .n_copies = n_copies};
	p->last_at = UINT64_MAX;
	for (unsigned i = 0; i < 32; i++)
		p->adrp_at[i] = UINT64_MAX;
	for (unsigned i = 0; i < NEAR; i++) {
		uint32_t n = table_size(old->size, per[i], max[i]);

		p->near[i] = calloc(n, sizeof(**p->near));
		p->mask[i] = n - 1;
		ok = ok && p->near[i];
	}
	weights_start(p);
	if (!ok || ay__aimer_init(&p->aimer) ||
	    ay__btf_guess_init(&p->btf, old, src, btf ? btf : &none, copies, n_copies)) {
		ay__predict_free(p);
		return NULL;
	}
	return p;
}

void ay__predict_free(struct ay__predict *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < NEAR; i++)
		free(p->near[i]);
	ay__btf_guess_release(&p->btf);
	ay__aimer_release(&p->aimer);
	free(p);
}

struct ay__aimer *ay__predict_aimer(struct ay__predict *p)
{
	return &p->aimer;
}

static inline struct learned *slot(const struct ay__predict *p, unsigned i, uint64_t target, uint32_t *key)
{
	uint64_t h = (target >> near_bits[i]) * 0x9e3779b97f4a7c15ull;

	*key = (uint32_t)h | 1; /* 0: an empty place */
	return &p->near[i][h >> 40 & p->mask[i]];
}

/* What stands for the target in table @i: neighbours of a number of .BTF that is its section's own are those of the same copy. */
static inline uint64_t near_target(const struct ay__aim *a, unsigned i)
{
	return i == 1 && a->has & AY__AIM_OWN ? COPY_SPACE + a->base + ((uint64_t)a->btf_copy << near_bits[1])
					      : a->target;
}

void ay__predict_prefetch(const struct ay__predict *p, const struct ay__aim *a)
{
	uint32_t key;

	/* The other tables fit into any cache. */
	for (unsigned i = 0; i < 4; i++)
		__builtin_prefetch(slot(p, i, near_target(a, i), &key), 1);
}

/* ---- guesses */

static void guess(struct pending *now, unsigned which, int64_t shift)
{
	now->available |= 1u << which;
	now->shift[which] = shift;
}

/* Of all guesses, there or not, those that say @shift. */
static inline unsigned saying(const struct pending *now, int64_t shift)
{
	unsigned all = 0;

	for (unsigned i = 0; i < GUESSES; i++)
		all |= (unsigned)(now->shift[i] == shift) << i;
	return all;
}

/* Choose one: those that say the same count together; of equal ones the first. */
static void weigh(struct pending *now)
{
	unsigned top = 0;

	now->chosen_shift = 0;
	now->chosen = 0;
	for (unsigned left = now->available; left;) {
		int64_t shift = now->shift[__builtin_ctz(left)];
		unsigned these = saying(now, shift) & left, sum = 0;
		bool first = now->chosen == 0;

		left &= ~these;
		for (unsigned m = first && left == 0 ? 0 : these; m; m &= m - 1) {
			unsigned w = now->context->weight[__builtin_ctz(m)];

			sum += w * w / WEIGHT_ONE;
		}
		if (first || sum > top) {
			top = sum;
			now->chosen_shift = shift;
			now->chosen = these;
		}
	}
}

/* What was learned of the target and its neighbourhoods. */
static void look_up(struct ay__predict *p, const struct ay__aim *a, unsigned near)
{
	struct pending *now = &p->now;

	for (unsigned i = 0; i < NEAR; i++) {
		const struct learned *l = now->place[i] = slot(p, i, near_target(a, i), &now->key[i]);

		now->shift[i] = l->shift;
		now->available |= (unsigned)(l->key == now->key[i] && i < near) << i;
	}
}

uint64_t ay__predict_aim(struct ay__predict *p, const struct ay__aim *a)
{
	struct pending *now = &p->now;
	bool number = a->from == AY__FROM_SPACE;

	now->aim = NULL;
	if (a->from == AY__FROM_NUMBER)
		return a->base;
	now->aim = a;
	now->available = 0;
	if (a->has & AY__AIM_OWN)
		guess(now, GUESS_COPY,
		      ay__btf_guess_own(&p->btf, a->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME,
					a->btf_copy, a->btf_index));
	else if (a->has & AY__AIM_COPY)
		guess(now, GUESS_COPY, a->copy);
	if (a->has & AY__AIM_SECTION)
		guess(now, GUESS_SECTION, a->section);
	/* What happened to other numbers of the kernel's says nothing when there is a map, and to own ones only in the same copy. */
	bool told = number && now->available & 1u << GUESS_COPY;
	look_up(p, a, !told ? NEAR : a->has & AY__AIM_OWN ? 2 : 1);
	if (told && now->available & 1u << GUESS_SAME)
		now->available = 1u << GUESS_SAME; /* a type is one type all through a file */
	now->context = &p->contexts[a->kind][a->has & AY__AIM_INSIDE][now->available & 1u << GUESS_SAME];
	if (now->context->has_last && !told)
		guess(now, GUESS_LAST, now->context->last);
	weigh(now);
	uint64_t target = a->target + (uint64_t)now->chosen_shift;
	now->base = a->base;
	if (a->from == AY__FROM_TARGET) {
		if (p->last_at != a->at - a->back)
			p->last_target = a->base + (target - a->target);
		now->base = p->last_target;
	} else if (a->from == AY__FROM_ADRP) {
		unsigned reg = a->raw >> 5 & 31;

		now->base = p->adrp_at[reg] == a->at - a->back ? p->adrp_page[reg] : target & ~4095ull;
	}
	if (a->kind == AY__FIELD_A64_ADRP)
		target &= ~4095ull;
	return ay__field_put(a->kind, a->raw, (int64_t)(target - now->base));
}

/* The guesses of @right were right, others that were there were not. */
static void weights_move(struct pending *now, unsigned right)
{
	static const weights bit = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint16_t one = WEIGHT_ONE, rate = RATE;
	const uint16_t good = (uint16_t)(right & now->available), bad = (uint16_t)(now->available ^ good);
	const weights w = now->context->weight;
	const weights up = (weights)((bit & good) == bit), down = (weights)((bit & bad) == bit);

	now->context->weight = w + (up & (one - w) >> rate) - (down & w >> rate);
}

/* Of an ADRP only the page is known; the field that completes it learns. */
static void learn_page(struct ay__predict *p, uint64_t page)
{
	struct pending *now = &p->now;
	const struct ay__aim *a = now->aim;
	unsigned reg = a->raw & 31, right = 0;

	p->adrp_at[reg] = a->at;
	p->adrp_page[reg] = page;
	for (unsigned i = 0; i < GUESSES; i++)
		right |= (unsigned)(((uint64_t)now->shift[i] + a->target) >> 12 == page >> 12) << i;
	weights_move(now, right);
}

void ay__predict_learn(struct ay__predict *p, uint64_t raw)
{
	struct pending *now = &p->now;
	const struct ay__aim *a = now->aim;

	if (!a)
		return;
	uint64_t target = now->base + (uint64_t)ay__field_number(a->kind, raw);
	if (a->kind == AY__FIELD_A64_ADRP) {
		learn_page(p, target);
		return;
	}
	int64_t shift = (int64_t)(target - a->target);
	p->last_at = a->at;
	p->last_target = target;
	weights_move(now, shift == now->chosen_shift ? now->chosen : saying(now, shift));
	now->context->has_last = true;
	now->context->last = shift;
	if (a->has & AY__AIM_OWN)
		ay__btf_guess_learn(&p->btf, a->kind == AY__FIELD_BTF_TYPE ? AY__BTF_TYPE : AY__BTF_NAME,
				    shift);
	if (shift != (int32_t)shift)
		return;
	for (unsigned i = 0; i < NEAR; i++)
		*now->place[i] = (struct learned){.key = now->key[i], .shift = (int32_t)shift};
}
