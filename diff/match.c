/* SPDX-License-Identifier: MIT */
/*
 * diff/match.c - bases by path.
 *
 * Paths are looked up by 64-bit hashes in sorted tables; a collision only proposes a useless base. The rewritings of
 * names are learned by voting: a new file whose name exists at the same depth in a directory that is gone votes for each
 * pair of differing components. A kernel update gives one pair with four thousand votes, which then also
 * explains /boot/vmlinuz-VERSION.
 */
#include "diff/match.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/path.h"

#define RULES_MAX      16 /* rewritings used, those with the most votes */
#define VOTES_MIN      2
#define RULES_LEARNED  256   /* pairs counted; a tree with more kinds of renaming has none that is common */
#define LEARN_FILES    32768 /* new files that vote */
#define CANDIDATES_MAX 64    /* files of one name looked at */
#define LEARN_FROM     8     /* old files of one name that a new file may vote for */
#define PAIRS_MAX      2     /* components that may differ in one vote */
#define HEX_RUN_MIN    6     /* so many hex digits with a decimal one among them are taken for a hash */
#define SIZE_RATIO     4     /* files elsewhere may be so many times larger or smaller */
#define SIZE_SMALL     4096  /* below that sizes say nothing */

struct row {
	uint64_t hash;
	uint32_t index;
};

struct table {
	struct row *rows; /* sorted; owned */
	size_t n;
};

struct rule {
	struct ay_slice from, to; /* components; borrowed from paths */
	uint32_t votes;
};

struct matcher {
	const struct ay_match_file *old, *new_;
	size_t n_old, n_new;
	struct table paths, names, plain_paths, plain_names; /* of the old files */
	uint8_t *gone;                                       /* per old file: no new file has its path */
	struct rule rules[RULES_LEARNED];
	size_t n_rules;
};

static uint64_t hash_bytes(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static const char *name_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* The hash of @s with each number, and each run of hex digits that looks like a hash, replaced by '#'. */
static uint64_t hash_plain(const char *s)
{
	char plain[AY_PATH_MAX + 1];
	size_t n = 0;

	while (*s && n < AY_PATH_MAX) {
		size_t hex = 0, digits = 0, decimal = 0;

		while (is_hex(s[hex]))
			decimal += is_digit(s[hex++]);
		while (is_digit(s[digits]))
			digits++;
		if (hex >= HEX_RUN_MIN && decimal) {
			s += hex;
			plain[n++] = '#';
		} else if (digits) {
			s += digits;
			plain[n++] = '#';
		} else {
			plain[n++] = *s++;
		}
	}
	return hash_bytes(plain, n);
}

static uint64_t key_path(const char *path)
{
	return hash_bytes(path, strlen(path));
}

static uint64_t key_name(const char *path)
{
	return key_path(name_of(path));
}

static uint64_t key_plain_name(const char *path)
{
	return hash_plain(name_of(path));
}

static int row_cmp(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int table_build(struct table *t, const struct ay_match_file *files, size_t n,
		       uint64_t (*key)(const char *))
{
	t->rows = malloc((n + 1) * sizeof(*t->rows));
	if (!t->rows)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		/* An empty file is no base, whatever its name. */
		if (files[i].size > 0)
			t->rows[t->n++] = (struct row){.hash = key(files[i].path), .index = (uint32_t)i};
	}
	qsort(t->rows, t->n, sizeof(*t->rows), row_cmp);
	return 0;
}

/* The first row of @hash; *@n of them, at most CANDIDATES_MAX: of 200,000 equal names nobody looks at more. */
static const struct row *table_find(const struct table *t, uint64_t hash, size_t *n)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->rows[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	*n = 0;
	while (*n < CANDIDATES_MAX && lo + *n < t->n && t->rows[lo + *n].hash == hash)
		++*n;
	return t->rows + lo;
}

static void mark_gone(struct matcher *m)
{
	size_t j = 0;

	for (size_t i = 0; i < m->n_old; i++) {
		size_t len = strlen(m->old[i].path);
		int c = 1;

		while (j < m->n_new &&
		       (c = ay_path_cmp(m->new_[j].path, strlen(m->new_[j].path), m->old[i].path, len)) < 0)
			j++;
		m->gone[i] = j == m->n_new || c != 0;
	}
}

/* ---- learning how names were rewritten ---- */

static struct ay_slice component(const char **path)
{
	const char *p = *path + 1, *end = strchrnul(p, '/');

	*path = end;
	return (struct ay_slice){.data = (const uint8_t *)p, .len = (size_t)(end - p)};
}

static bool slice_eq(struct ay_slice a, struct ay_slice b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void vote(struct matcher *m, struct ay_slice from, struct ay_slice to)
{
	for (size_t i = 0; i < m->n_rules; i++) {
		if (slice_eq(m->rules[i].from, from) && slice_eq(m->rules[i].to, to)) {
			m->rules[i].votes++;
			/* The most used move to the front, where the next vote finds them. */
			if (i > 0 && m->rules[i].votes > m->rules[i - 1].votes) {
				struct rule r = m->rules[i];

				m->rules[i] = m->rules[i - 1];
				m->rules[i - 1] = r;
			}
			return;
		}
	}
	if (m->n_rules < RULES_LEARNED)
		m->rules[m->n_rules++] = (struct rule){.from = from, .to = to, .votes = 1};
}

/* Vote for the pairs in which two paths of the same depth differ, if they are few. */
static bool learn_pair(struct matcher *m, const char *old, const char *new_)
{
	struct rule pairs[PAIRS_MAX];
	size_t n = 0;

	while (*old && *new_) {
		struct ay_slice from = component(&old), to = component(&new_);
		size_t i = 0;

		if (slice_eq(from, to))
			continue;
		while (i < n && !(slice_eq(pairs[i].from, from) && slice_eq(pairs[i].to, to)))
			i++;
		if (i < n)
			continue;
		if (n == PAIRS_MAX)
			return false;
		pairs[n++] = (struct rule){.from = from, .to = to};
	}
	if (*old || *new_ || n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		vote(m, pairs[i].from, pairs[i].to);
	return true;
}

static int votes_cmp(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	if (x->votes != y->votes)
		return x->votes > y->votes ? -1 : 1;
	size_t n = x->to.len < y->to.len ? x->to.len : y->to.len;
	int c = memcmp(x->to.data, y->to.data, n);
	if (c == 0)
		c = (x->to.len > y->to.len) - (x->to.len < y->to.len);
	n = x->from.len < y->from.len ? x->from.len : y->from.len;
	if (c == 0)
		c = memcmp(x->from.data, y->from.data, n);
	return c ? c : (x->from.len > y->from.len) - (x->from.len < y->from.len);
}

static void learn(struct matcher *m)
{
	for (size_t i = 0; i < m->n_new; i++) {
		size_t n, taken = 0;
		const char *path = m->new_[i].path;

		table_find(&m->paths, key_path(path), &n);
		if (n > 0)
			continue;
		const struct row *rows = table_find(&m->names, key_name(path), &n);
		for (size_t k = 0; k < n && k < CANDIDATES_MAX && taken < LEARN_FROM; k++) {
			if (m->gone[rows[k].index])
				taken += learn_pair(m, m->old[rows[k].index].path, path);
		}
	}
	qsort(m->rules, m->n_rules, sizeof(m->rules[0]), votes_cmp);
	if (m->n_rules > RULES_MAX)
		m->n_rules = RULES_MAX;
	/* One file alone shows no custom; by its name and size it is judged below. */
	while (m->n_rules > 0 && m->rules[m->n_rules - 1].votes < VOTES_MIN)
		m->n_rules--;
}

/* ---- proposing ---- */

static void propose(struct ay_match *match, uint32_t index)
{
	for (unsigned i = 0; i < match->n; i++) {
		if (match->base[i] == index)
			return;
	}
	if (match->n < AY_MATCH_MAX)
		match->base[match->n++] = index;
}

static void propose_path(const struct matcher *m, const char *path, struct ay_match *match)
{
	size_t n;
	const struct row *rows = table_find(&m->paths, key_path(path), &n);

	if (n > 0)
		propose(match, rows[0].index);
}

/* @path with the rule's new name replaced by its old one wherever it occurs; false when it does not. */
static bool rewrite(const struct rule *rule, const char *path, char out[AY_PATH_MAX + 1])
{
	size_t n = 0;
	bool found = false;

	while (*path) {
		if (strncmp(path, (const char *)rule->to.data, rule->to.len) == 0) {
			if (n + rule->from.len > AY_PATH_MAX)
				return false;
			memcpy(out + n, rule->from.data, rule->from.len);
			n += rule->from.len;
			path += rule->to.len;
			found = true;
		} else {
			if (n == AY_PATH_MAX)
				return false;
			out[n++] = *path++;
		}
	}
	out[n] = 0;
	return found;
}

static void propose_rewritten(const struct matcher *m, const char *path, struct ay_match *match)
{
	char one[AY_PATH_MAX + 1], all[AY_PATH_MAX + 1], next[AY_PATH_MAX + 1];
	unsigned used = 0;

	memcpy(all, path, strlen(path) + 1);
	for (size_t i = 0; i < m->n_rules; i++) {
		if (!rewrite(&m->rules[i], path, one))
			continue;
		propose_path(m, one, match);
		if (rewrite(&m->rules[i], all, next)) {
			memcpy(all, next, strlen(next) + 1);
			used++;
		}
	}
	if (used > 1)
		propose_path(m, all, match);
}

static bool similar_size(uint64_t a, uint64_t b)
{
	if (a <= SIZE_SMALL && b <= SIZE_SMALL)
		return true;
	return a / SIZE_RATIO <= b && b / SIZE_RATIO <= a;
}

/* How well an old file of the same name suits: gone is better, then the path's like ends and beginnings, then size. */
static uint64_t suit(const struct matcher *m, uint32_t index, const struct ay_match_file *f)
{
	const char *a = m->old[index].path, *b = f->path;
	size_t a_len = strlen(a), b_len = strlen(b), head = 0, tail = 0;

	while (a[head] && a[head] == b[head])
		head++;
	while (tail < a_len && tail < b_len && a[a_len - 1 - tail] == b[b_len - 1 - tail])
		tail++;
	uint64_t diff =
		m->old[index].size > f->size ? m->old[index].size - f->size : f->size - m->old[index].size;
	uint64_t close = f->size ? (diff < f->size ? 1023 - diff * 1023 / f->size : 0) : 0;

	return ((uint64_t)m->gone[index] << 40) + ((uint64_t)(head + 2 * tail) << 10) + close;
}

/* The best suited of the old files with @hash in @t. */
static void propose_best(const struct matcher *m, const struct table *t, uint64_t hash, bool any_size,
			 const struct ay_match_file *f, struct ay_match *match)
{
	size_t n, best = SIZE_MAX;
	uint64_t top = 0;
	const struct row *rows = table_find(t, hash, &n);

	for (size_t i = 0; i < n && i < CANDIDATES_MAX; i++) {
		if (!any_size && !similar_size(m->old[rows[i].index].size, f->size))
			continue;
		uint64_t s = suit(m, rows[i].index, f);
		if (best == SIZE_MAX || s > top) {
			best = i;
			top = s;
		}
	}
	if (best != SIZE_MAX)
		propose(match, rows[best].index);
}

static void match_one(const struct matcher *m, const struct ay_match_file *f, struct ay_match *match)
{
	match->n = 0;
	if (f->size == 0)
		return;
	propose_path(m, f->path, match);
	propose_rewritten(m, f->path, match);
	propose_best(m, &m->plain_paths, hash_plain(f->path), true, f, match);
	propose_best(m, &m->names, key_name(f->path), false, f, match);
	propose_best(m, &m->plain_names, key_plain_name(f->path), false, f, match);
}

int ay_match(const struct ay_match_file *old, size_t n_old, const struct ay_match_file *new_, size_t n_new,
	     struct ay_match *out)
{
	struct matcher *m = calloc(1, sizeof(*m));
	int rc = -ENOMEM;

	if (!m)
		return rc;
	*m = (struct matcher){.old = old, .new_ = new_, .n_old = n_old, .n_new = n_new};
	m->gone = calloc(n_old + 1, 1);
	if (m->gone) {
		rc = table_build(&m->paths, old, n_old, key_path);
		if (rc == 0)
			rc = table_build(&m->names, old, n_old, key_name);
		if (rc == 0)
			rc = table_build(&m->plain_paths, old, n_old, hash_plain);
		if (rc == 0)
			rc = table_build(&m->plain_names, old, n_old, key_plain_name);
	}
	if (rc == 0) {
		mark_gone(m);
		learn(m);
		for (size_t i = 0; i < n_new; i++)
			match_one(m, &new_[i], &out[i]);
	}
	free(m->paths.rows);
	free(m->names.rows);
	free(m->plain_paths.rows);
	free(m->plain_names.rows);
	free(m->gone);
	free(m);
	return rc;
}
