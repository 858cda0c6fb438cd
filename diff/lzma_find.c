/* SPDX-License-Identifier: MIT */
/*
 * diff/lzma_find.c - a window, a tree, a ring of what was found in it.
 *
 * The tree's nodes lie all over a few hundred megabytes, and to fetch them from memory is most of what packing costs. So two
 * threads find: trees of different hashes have nothing in common, and each of the two *lanes* takes the places whose hash is its
 * own. What it found goes to the packer in batches: of each of its places the number of matches, then these. Places to come have
 * their cache lines fetched beforehand. Until there are bytes enough for that, and where threads cannot be had, the packer has a batch
 * made when it needs one.
 *
 * The window moves when it is full and the packer has used what it may.
 */
#include "diff/lzma_find.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define HASH_2 (1u << 10)
#define HASH_3 (1u << 16)
#define EXTRA  8                            /* bytes that comparing words reads behind the last one */
#define MARGIN (AY__LZMA_MATCH_MAX + EXTRA) /* bytes behind a place that is looked at, while more come */
#define AFTER  (AY__LZMA_OPTS + 1 + MARGIN) /* behind a place from which a step begins */
#define BEFORE AY__LZMA_OPTS

#define LANES 2 /* more would find no core */
#define DRIFT                                                                                                \
	(1u                                                                                                  \
	 << 18) /* places that one lane may be before another: so much longer does the tree keep what fell out of reach */
#define BATCHES     8 /* each lane's */
#define BATCH_WORDS 32768
#define BATCH_FULL  (BATCH_WORDS - 1 - 2 * (AY__LZMA_MATCH_MAX + 1))
#define NUMBERS     4 /* dictionaries, after which places are numbered anew */
#define AHEAD       8 /* places whose hashes are fetched beforehand */

struct batch {
	uint32_t n; /* words */
	uint32_t *words;
};

/* One of those that find: every place, or with two of them the places whose hash is theirs. */
struct lane {
	struct ay__lzma_find *f;
	bool mine;         /* the hash's highest bit, of places that are its own */
	uint32_t at, node; /* the next place, and where it goes in the tree */
	uint32_t done;     /* the same place as the others may know it */
	uint32_t *hash2, *hash3;
	struct batch batches[BATCHES];
	unsigned first, n;
	uint32_t used; /* words of the first one */
	bool holds;    /* the packer is within the first one */
	bool busy;     /* it fills a batch; else @at is anybody's who has the lock */
	pthread_t thread;
};

struct ay__lzma_find {
	struct ay__lzma_view view;
	uint8_t *window;
	uint32_t size, keep; /* of the window; bytes before a place that must stay */
	uint32_t crc[256];
	uint32_t nice, depth, cyclic_size, nodes, mask;
	uint32_t offset; /* a place and this is the number under which the tables have it */
	uint32_t *hash,
		*son; /* owned; the hash of four bytes is behind those of two and three of each lane */
	uint32_t *hash4;
	uint32_t *words;
	struct lane lanes[LANES];
	unsigned n_lanes;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned threads; /* as many as lanes, or none */
	bool tried, stop;
	uint32_t write; /* the view's, as the lanes may know it */
	bool finish;
};

static void crc_make(uint32_t *crc)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
		crc[i] = c;
	}
}

/* As liblzma sizes its table: it is part of what is found. */
static uint32_t mask_of(uint32_t dict)
{
	uint32_t m = dict - 1;

	m |= m >> 1;
	m |= m >> 2;
	m |= m >> 4;
	m |= m >> 8;
	m >>= 1;
	m |= 0xffff;
	return m > 1u << 24 ? m >> 1 : m;
}

static size_t hash_entries(const struct ay__lzma_find *f)
{
	return (size_t)LANES * (HASH_2 + HASH_3) + f->mask + 1;
}

static void lane_init(struct ay__lzma_find *f, unsigned i)
{
	struct lane *l = &f->lanes[i];

	l->f = f;
	l->mine = i > 0;
	l->hash2 = f->hash + (size_t)i * (HASH_2 + HASH_3);
	l->hash3 = l->hash2 + HASH_2;
	for (unsigned k = 0; k < BATCHES; k++)
		l->batches[k].words = f->words + ((size_t)i * BATCHES + k) * BATCH_WORDS;
}

struct ay__lzma_find *ay__lzma_find_new(uint32_t dict, uint32_t nice, uint32_t depth)
{
	struct ay__lzma_find *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->keep = dict + BEFORE > 1u << 16 ? dict + BEFORE : 1u << 16;
	f->size = f->keep + dict / 8 + (1u << 19) + AFTER;
	f->nice = f->view.nice = nice;
	f->depth = depth ? depth : 16 + nice / 2;
	f->cyclic_size = dict + 1;
	f->nodes = f->cyclic_size + DRIFT;
	f->offset = f->cyclic_size;
	f->mask = mask_of(dict);
	crc_make(f->crc);
	f->window = malloc((size_t)f->size + EXTRA);
	/* Zeros: nothing was there. Pages that are never reached are never taken. */
	f->hash = calloc(hash_entries(f), sizeof(uint32_t));
	f->son = calloc(2 * (size_t)f->nodes, sizeof(uint32_t));
	f->words = malloc((size_t)LANES * BATCHES * BATCH_WORDS * sizeof(uint32_t));
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->moved, NULL);
	if (!f->window || !f->hash || !f->son || !f->words) {
		ay__lzma_find_free(f);
		return NULL;
	}
	memset(f->window + f->size, 0, EXTRA);
	f->view.bytes = f->window;
	f->hash4 = f->hash + (size_t)LANES * (HASH_2 + HASH_3);
	f->n_lanes = 1;
	for (unsigned i = 0; i < LANES; i++)
		lane_init(f, i);
	return f;
}

void ay__lzma_find_free(struct ay__lzma_find *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_broadcast(&f->moved);
	pthread_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->threads; i++)
		pthread_join(f->lanes[i].thread, NULL);
	pthread_cond_destroy(&f->moved);
	pthread_mutex_destroy(&f->lock);
	free(f->window);
	free(f->hash);
	free(f->son);
	free(f->words);
	free(f);
}

struct ay__lzma_view *ay__lzma_find_view(struct ay__lzma_find *f)
{
	return &f->view;
}

/* ---- the tree ---- */

/* How far @a and @b are equal, from @len on, @max at most. */
static inline uint32_t equal_len(const uint8_t *a, const uint8_t *b, uint32_t len, uint32_t max)
{
	while (len < max) {
		const uint64_t x = ay_get_le64(a + len) ^ ay_get_le64(b + len);

		if (x) {
			len += (uint32_t)__builtin_ctzll(x) / 8;
			return len < max ? len : max;
		}
		len += 8;
	}
	return max;
}

/* The place joins the tree whose root was @match; what is longer than @best on the way there is told. */
static uint32_t *tree_walk(const struct lane *l, const uint8_t *cur, uint32_t limit, uint32_t pos,
			   uint32_t match, uint32_t best, uint32_t *out)
{
	uint32_t *const son = l->f->son, node = l->node, nodes = l->f->nodes, reach = l->f->cyclic_size;
	uint32_t *more = son + 2 * (size_t)node + 1, *less = son + 2 * (size_t)node;
	uint32_t len0 = 0, len1 = 0;

	for (uint32_t depth = l->f->depth;; depth--) {
		const uint32_t delta = pos - match;

		if (depth == 0 || delta >= reach) {
			*more = *less = 0;
			return out;
		}
		uint32_t *pair = son + 2 * (size_t)(node - delta + (delta > node ? nodes : 0));
		const uint8_t *p = cur - delta;
		uint32_t len = len0 < len1 ? len0 : len1;

		if (p[len] == cur[len]) {
			len = equal_len(p, cur, len + 1, limit);
			if (len > best) {
				best = len;
				*out++ = len;
				*out++ = delta - 1;
			}
			if (len == limit) {
				*less = pair[0];
				*more = pair[1];
				return out;
			}
		}
		if (p[len] < cur[len]) {
			*less = match;
			less = pair + 1;
			match = *less;
			len1 = len;
		} else {
			*more = match;
			more = pair;
			match = *more;
			len0 = len;
		}
	}
}

static inline uint32_t hash_of(const struct ay__lzma_find *f, const uint8_t *p, uint32_t *h2, uint32_t *h3)
{
	uint32_t t = f->crc[p[0]] ^ p[1];

	*h2 = t & (HASH_2 - 1);
	t ^= (uint32_t)p[2] << 8;
	*h3 = t & (HASH_3 - 1);
	return (t ^ f->crc[p[3]] << 5) & f->mask;
}

/* Is the place of this lane? */
static inline bool is_mine(const struct lane *l, uint32_t h4)
{
	return l->f->n_lanes == 1 || (h4 > l->f->mask / 2) == l->mine;
}

/* The matches of the place at hand to @out, if it is the lane's own. It needs four bytes. Return: behind them; NULL: it is not. */
static uint32_t *place_find(struct lane *l, const uint8_t *cur, uint32_t limit, uint32_t *out)
{
	struct ay__lzma_find *f = l->f;
	const uint32_t pos = l->at + f->offset;
	uint32_t h2, h3, best = 1, h4 = hash_of(f, cur, &h2, &h3);
	uint32_t delta2 = pos - l->hash2[h2];
	const uint32_t delta3 = pos - l->hash3[h3];
	uint32_t *last = NULL;

	l->hash2[h2] = l->hash3[h3] = pos;
	if (!is_mine(l, h4))
		return NULL;
	const uint32_t match = f->hash4[h4];
	f->hash4[h4] = pos;
	if (delta2 < f->cyclic_size && *(cur - delta2) == *cur) {
		best = 2;
		last = out;
		*out++ = 2;
		*out++ = delta2 - 1;
	}
	if (delta2 != delta3 && delta3 < f->cyclic_size && *(cur - delta3) == *cur) {
		best = 3;
		last = out;
		*out++ = 3;
		*out++ = delta3 - 1;
		delta2 = delta3;
	}
	if (last)
		*last = best = equal_len(cur - delta2, cur, best, limit);
	return tree_walk(l, cur, limit, pos, match, best < 3 ? 3 : best, out);
}

/* ---- batches ---- */

/* Bytes up to which places may be looked at. */
static uint32_t find_limit(uint32_t write, bool finish)
{
	return finish ? write : write > MARGIN ? write - MARGIN : 0;
}

/* What the places to come will need from memory: first their hash's entry, then the tree that it leads to. */
static inline void fetch_ahead(const struct lane *l, const uint8_t *cur)
{
	const struct ay__lzma_find *f = l->f;
	uint32_t h2, h3, h4 = hash_of(f, cur + AHEAD, &h2, &h3);

	if (is_mine(l, h4))
		__builtin_prefetch(&f->hash4[h4], 1);
	h4 = hash_of(f, cur + AHEAD / 2, &h2, &h3);
	if (!is_mine(l, h4))
		return;
	const uint32_t delta = l->at + AHEAD / 2 + f->offset - f->hash4[h4];
	uint32_t node = l->node + AHEAD / 2;

	if (delta >= f->cyclic_size)
		return;
	node -= node >= f->nodes ? f->nodes : 0;
	__builtin_prefetch(cur + AHEAD / 2 - delta);
	__builtin_prefetch(f->son + 2 * (size_t)(node - delta + (delta > node ? f->nodes : 0)), 1);
}

/* Places below @end, where @write bytes are. */
static void batch_fill(struct lane *l, struct batch *b, uint32_t write, uint32_t end)
{
	struct ay__lzma_find *f = l->f;
	uint32_t *out = b->words;

	while (l->at < end && out < b->words + BATCH_FULL) {
		const uint8_t *cur = f->window + l->at;
		const uint32_t avail = write - l->at, limit = avail < f->nice ? avail : f->nice;
		uint32_t *behind = NULL;

		if (avail >= AHEAD + 4)
			fetch_ahead(l, cur);
		if (limit >= 4) {
			behind = place_find(l, cur, limit, out + 1);
			if (++l->node == f->nodes)
				l->node = 0;
		} else if (!l->mine) {
			behind = out + 1; /* too short to have any */
		}
		if (behind) {
			*out = (uint32_t)(behind - out) / 2;
			out = behind;
		}
		l->at++;
	}
	b->n = (uint32_t)(out - b->words);
}

/* Where the lane has to wait for bytes, or for another lane. */
static uint32_t lane_end(const struct ay__lzma_find *f)
{
	uint32_t end = find_limit(f->write, f->finish);

	for (unsigned i = 0; i < f->n_lanes; i++)
		end = f->lanes[i].done + DRIFT < end ? f->lanes[i].done + DRIFT : end;
	return end;
}

static void *work(void *arg)
{
	struct lane *l = arg;
	struct ay__lzma_find *f = l->f;

	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		const uint32_t end = lane_end(f), write = f->write;

		if (l->n == BATCHES || l->at >= end) {
			pthread_cond_wait(&f->moved, &f->lock);
			continue;
		}
		struct batch *b = &l->batches[(l->first + l->n) % BATCHES];
		l->busy = true;
		pthread_mutex_unlock(&f->lock);
		batch_fill(l, b, write, end);
		pthread_mutex_lock(&f->lock);
		l->busy = false;
		l->done = l->at;
		l->n += b->n > 0;
		pthread_cond_broadcast(&f->moved);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* All of them or none. */
static void threads_start(struct ay__lzma_find *f)
{
	f->tried = true;
	for (f->n_lanes = 0; f->n_lanes < LANES; f->n_lanes++) {
		struct lane *l = &f->lanes[f->n_lanes];

		if (pthread_create(&l->thread, NULL, work, l) != 0)
			break;
	}
	f->threads = f->n_lanes;
	f->n_lanes = f->n_lanes ? f->n_lanes : 1;
}

/* The first batch is there to be read, from l->used on. */
static struct batch *batch_get(struct lane *l)
{
	struct ay__lzma_find *f = l->f;
	struct batch *b = &l->batches[l->first];

	if (l->holds && l->used < b->n)
		return b;
	pthread_mutex_lock(&f->lock);
	if (l->holds) {
		l->first = (l->first + 1) % BATCHES;
		l->n--;
		pthread_cond_broadcast(&f->moved);
	}
	b = &l->batches[l->first];
	while (f->threads && l->n == 0)
		pthread_cond_wait(&f->moved, &f->lock);
	if (l->n == 0) {
		batch_fill(l, b, f->write, find_limit(f->write, f->finish));
		l->n = 1;
	}
	pthread_mutex_unlock(&f->lock);
	l->holds = true;
	l->used = 0;
	return b;
}

/* Whose place @at is. */
static struct lane *lane_of(struct ay__lzma_find *f, uint32_t at)
{
	uint32_t h2, h3;

	if (f->n_lanes == 1 || f->view.write - at < 4)
		return &f->lanes[0];
	return &f->lanes[hash_of(f, f->window + at, &h2, &h3) > f->mask / 2];
}

uint32_t ay__lzma_find_next(struct ay__lzma_find *f, struct ay__lzma_match *matches, uint32_t *n)
{
	struct ay__lzma_view *v = &f->view;
	struct lane *l = lane_of(f, v->at);
	struct batch *b = batch_get(l);
	const uint32_t *w = b->words + l->used;
	uint32_t best = 0;

	*n = *w++;
	for (uint32_t i = 0; i < *n; i++, w += 2)
		matches[i] = (struct ay__lzma_match){.len = w[0], .dist = w[1]};
	l->used = (uint32_t)(w - b->words);
	if (*n > 0)
		best = matches[*n - 1].len;
	if (best == f->nice) {
		const uint8_t *p = f->window + v->at;
		uint32_t max = v->write - v->at;

		max = max < AY__LZMA_MATCH_MAX ? max : AY__LZMA_MATCH_MAX;
		best = equal_len(p, p - matches[*n - 1].dist - 1, best, max);
	}
	v->at++;
	v->ahead++;
	return best;
}

void ay__lzma_find_skip(struct ay__lzma_find *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct lane *l = lane_of(f, f->view.at);
		struct batch *b = batch_get(l);

		l->used += 1 + 2 * b->words[l->used];
		f->view.at++;
	}
	f->view.ahead += n;
}

/* ---- bytes ---- */

/* Until no lane is in a batch, and none is behind the packer. */
static void lanes_wait(struct ay__lzma_find *f)
{
	const uint32_t used = f->view.at - f->view.ahead;

	for (unsigned i = 0; i < f->threads; i++) {
		while (f->lanes[i].busy || f->lanes[i].at < used) {
			pthread_cond_wait(&f->moved, &f->lock);
			i = 0;
		}
	}
}

/* Room is made. Matches are told by distance, so those that wait stay right. */
static void window_move(struct ay__lzma_find *f)
{
	struct ay__lzma_view *v = &f->view;
	const uint32_t by = (v->at - v->ahead - f->keep) & ~15u;

	memmove(f->window, f->window + by, v->write - by);
	f->offset += by;
	for (unsigned i = 0; i < f->n_lanes; i++)
		f->lanes[i].done = f->lanes[i].at -= by;
	f->write -= by;
	v->at -= by;
	v->write -= by;
	v->limit -= by;
}

static void table_renumber(uint32_t *t, size_t n, uint32_t less)
{
	for (size_t i = 0; i < n; i++)
		t[i] = t[i] <= less ? 0 : t[i] - less;
}

/* Numbers do not go on for ever. What is too far off for any lane's next place is forgotten, which nobody can see. */
static void renumber(struct ay__lzma_find *f)
{
	uint32_t first = f->lanes[0].at;

	for (unsigned i = 1; i < f->n_lanes; i++)
		first = f->lanes[i].at < first ? f->lanes[i].at : first;
	const uint32_t less = first + f->offset - f->cyclic_size;
	table_renumber(f->hash, hash_entries(f), less);
	table_renumber(f->son, 2 * (size_t)f->nodes, less);
	f->offset -= less;
}

static void write_set(struct ay__lzma_find *f)
{
	struct ay__lzma_view *v = &f->view;

	v->limit = v->finish ? v->write : v->write > AFTER ? v->write - AFTER : 0;
	f->write = v->write;
	f->finish = v->finish;
	if (!f->tried && v->write >= AY__LZMA_THREAD && f->lanes[0].at == 0)
		threads_start(f);
	pthread_cond_broadcast(&f->moved);
}

size_t ay__lzma_find_put(struct ay__lzma_find *f, const uint8_t *data, size_t len)
{
	struct ay__lzma_view *v = &f->view;

	pthread_mutex_lock(&f->lock);
	if (v->write == f->size && v->at >= v->limit) {
		lanes_wait(f);
		window_move(f);
		if ((uint64_t)f->offset > NUMBERS * (uint64_t)f->cyclic_size || f->offset > UINT32_MAX / 2)
			renumber(f);
	}
	size_t n = f->size - v->write < len ? f->size - v->write : len;
	memcpy(f->window + v->write, data, n);
	v->write += (uint32_t)n;
	write_set(f);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void ay__lzma_find_end(struct ay__lzma_find *f)
{
	pthread_mutex_lock(&f->lock);
	f->view.finish = true;
	write_set(f);
	pthread_mutex_unlock(&f->lock);
}
