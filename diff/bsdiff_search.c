/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff_search.c - matches, by a suffix array or, for most files of a release, without one.
 *
 * The suffix sort is most of bsdiff's time and memory, and only files that were changed all over need it. So both
 * files are first laid beside each other from their beginnings and from their ends; what agrees neither way is a gap.
 * When the gaps are a small share, their 8-byte strings go into a hash table and the old file is read past it once.
 * A match must be better by more than eight bytes to be taken, so that this finds what the sort would.
 * And files that share nothing (compressed ones, mostly) are not sorted in vain.
 *
 * Matches are measured to LEN_CAP only: a longer one goes on as the alignment. That, and a count of bytes
 * compared, bound the time for inputs such as gigabytes of zeros.
 */
#include "diff/bsdiff_search.h"

#include <divsufsort.h>
#include <divsufsort64.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "diff/alike.h"
#include "diff/hopeless.h"

#define LEN_CAP      1024  /* bytes of a match that are measured */
#define GRAM         8     /* bytes of a string in the tables */
#define GAPS_FREE    2048  /* bytes of gaps that never need a sort: a signature, a build id, a date */
#define SHORTCUT_MAX 256   /* a quarter: the table must stay small */
#define BUCKETS      65536 /* pairs of bytes */
#define BUCKETS_FROM 16384 /* bytes of the old file below which counting pairs is not worth it */
#define RUNS_FROM    65536 /* bytes of both files below which sorting is quick */
#define SA32_MAX     ((uint64_t)INT32_MAX)
/* Bytes compared while searching, at most, per byte of both files; then what was found so far must do. */
#define EFFORT_PER_BYTE 256

uint64_t ay__search_memory(uint64_t old_len, uint64_t new_len)
{
	/* Where stretches were cut off, what is left is held once more, and is three quarters at most. */
	uint64_t sort = old_len * (old_len >= SA32_MAX ? 8 : 4) + (BUCKETS + 1) * sizeof(uint64_t) +
			ay__runs_memory(old_len, new_len);
	uint64_t gaps = new_len / AY__WINDOW * sizeof(struct ay__gap) + (new_len / 4 + GAPS_FREE) * 34;

	return sort > gaps ? sort : gaps;
}

static bool spend(struct ay__search *s, uint64_t bytes)
{
	s->effort = s->effort > bytes ? s->effort - bytes : 0;
	return s->effort > 0;
}

/* ---- matches by suffix array ---- */

static uint64_t suffix_get(const struct ay__search *s, uint64_t i)
{
	return s->sa32 ? (uint64_t)s->sa32[i] : (uint64_t)s->sa64[i];
}

/* Where the suffixes of each first two bytes begin: saves half of the comparisons. */
static int buckets_build(struct ay__search *s)
{
	size_t n = s->text.len;
	uint64_t sum = 0;

	s->bucket = calloc(BUCKETS + 1, sizeof(*s->bucket));
	if (!s->bucket)
		return -ENOMEM;
	for (size_t i = 0; i + 1 < n; i++)
		s->bucket[s->text.data[i] << 8 | s->text.data[i + 1]]++;
	for (size_t b = 0; b <= BUCKETS; b++) {
		uint64_t here = b < BUCKETS ? s->bucket[b] : 0;

		/* The file's last byte alone sorts before every pair that begins with it. */
		if (b == (size_t)s->text.data[n - 1] << 8)
			sum++;
		s->bucket[b] = sum;
		sum += here;
	}
	return 0;
}

static int suffixes_build(struct ay__search *s)
{
	size_t n = s->text.len;

	if (n < SA32_MAX)
		s->sa32 = malloc(n * sizeof(*s->sa32));
	else
		s->sa64 = malloc(n * sizeof(*s->sa64));
	if (!s->sa32 && !s->sa64)
		return -ENOMEM;
	if (s->sa32 ? divsufsort(s->text.data, s->sa32, (saidx_t)n)
		    : divsufsort64(s->text.data, s->sa64, (saidx64_t)n))
		return -ENOMEM;
	return n >= BUCKETS_FROM ? buckets_build(s) : 0;
}

/* The suffixes among which one that begins as @want does must be, and how many bytes they all share with it. */
static size_t suffixes_range(const struct ay__search *s, const uint8_t *want, uint64_t *lo, uint64_t *hi)
{
	*lo = 0;
	*hi = s->text.len;
	if (!s->bucket)
		return 0;
	size_t pair = (size_t)want[0] << 8 | want[1];
	*lo = s->bucket[pair];
	*hi = s->bucket[pair + 1];
	if (want[1] == 0xff && s->text.data[s->text.len - 1] == want[0] + 1 && *hi > *lo)
		--*hi; /* the last byte alone stands where the next first byte's suffixes begin */
	return 2;
}

/* A match in what is left of the old file, at *@pos: as far as it is one in the old file, of which it may be longer there. */
static size_t rest_match(const struct ay__search *s, uint64_t at, size_t want_len, uint64_t *pos, size_t len)
{
	if (len == 0)
		return 0;
	const struct ay__run *piece = ay__rest_find(&s->rest, *pos);
	uint64_t inside = *pos - piece->new_at;

	len = ay__min(len, (size_t)(piece->len - inside));
	*pos = piece->old_at + inside;
	size_t room = ay__min((size_t)(s->old.len - *pos), want_len);
	return len + ay__common(s->old.data + *pos + len, s->new_.data + at + len, room - len);
}

/*
 * Binary search that remembers how much of the string the two borders share with it, so that no byte is
 * compared twice. Source: Manber and Myers, "Suffix arrays", 1993.
 */
static size_t suffixes_search(struct ay__search *s, uint64_t at, uint64_t *pos)
{
	const uint8_t *want = s->new_.data + at;
	size_t want_len = ay__min(s->new_.len - at, LEN_CAP);

	if (want_len < 2)
		return 0;
	uint64_t lo, hi, compared = 0;
	size_t lo_len = suffixes_range(s, want, &lo, &hi), hi_len = lo_len, best = 0;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2, p = suffix_get(s, mid);
		size_t len = ay__min(lo_len, hi_len), room = ay__min(s->text.len - p, want_len);

		if (len < room) {
			size_t more = ay__common(s->text.data + p + len, want + len, room - len);

			compared += more + 1;
			len += more;
		}
		if (len > best) {
			best = len;
			*pos = p;
		}
		if (len >= want_len)
			break;
		if (len == s->text.len - p || s->text.data[p + len] < want[len]) {
			lo = mid + 1;
			lo_len = len;
		} else {
			hi = mid;
			hi_len = len;
		}
	}
	spend(s, compared + 8);
	return s->rest.bytes ? rest_match(s, at, want_len, pos, best) : best;
}

/* ---- matches by gaps ---- */

static int gap_add(struct ay__search *s, uint64_t start, uint64_t len)
{
	struct ay__gap *last = s->n_gaps ? &s->gaps[s->n_gaps - 1] : NULL;

	s->gap_bytes += len;
	if (last && last->start + last->len == start) {
		last->len += len;
		return 0;
	}
	if (!s->gaps || s->n_gaps == s->cap_gaps) {
		size_t cap = s->cap_gaps ? 2 * s->cap_gaps : 64;
		struct ay__gap *g = realloc(s->gaps, cap * sizeof(*g));

		if (!g)
			return -ENOMEM;
		s->gaps = g;
		s->cap_gaps = cap;
	}
	s->gaps[s->n_gaps++] = (struct ay__gap){.start = start, .len = len};
	return 0;
}

/* Lay the files beside each other from both ends; stop once there are more than @limit bytes of gaps. */
static int gaps_find(struct ay__search *s, uint64_t limit)
{
	const uint8_t *new_ = s->new_.data, *old = s->old.data;
	uint64_t n = s->new_.len;

	for (uint64_t at = 0; at < n && s->gap_bytes <= limit; at += AY__WINDOW) {
		size_t len = ay__min(n - at, AY__WINDOW);
		uint64_t from_end = at + s->old.len - n; /* may wrap: then it is no position */
		unsigned equal = 0;

		if (at + len <= s->old.len)
			equal = ay__equal_bytes(new_ + at, old + at, len);
		if (equal * 2 < len && from_end < s->old.len && from_end + len <= s->old.len)
			equal = ay__equal_bytes(new_ + at, old + from_end, len);
		if (equal * 2 < len) {
			/* Searching begins before a place where the alignment ends, so the gap does too. */
			uint64_t start = at;
			struct ay__gap *last = s->n_gaps ? &s->gaps[s->n_gaps - 1] : NULL;
			uint64_t floor = last ? last->start + last->len : 0;

			start = start > floor + AY__WINDOW ? start - AY__WINDOW : floor;
			int rc = gap_add(s, start, at + len - start);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static uint64_t gram_hash(uint64_t gram)
{
	return (gram * 0x9e3779b97f4a7c15u) >> 24;
}

/* Runs of one byte are everywhere and say nothing. */
static bool gram_plain(uint64_t gram)
{
	return gram == (gram & 0xff) * 0x0101010101010101u;
}

/* The table holds, per string, the first position (as an index into the arrays, plus one) that has it. */
static int gaps_index(struct ay__search *s, uint32_t **table, size_t *mask, uint64_t **where)
{
	size_t cap = 64, n = 0;

	while (cap < 2 * s->gap_bytes)
		cap *= 2;
	*mask = cap - 1;
	*table = calloc(cap, sizeof(**table));
	*where = malloc((s->gap_bytes + 1) * sizeof(**where));
	s->best_pos = calloc(s->gap_bytes + 1, sizeof(*s->best_pos));
	s->best_len = calloc(s->gap_bytes + 1, sizeof(*s->best_len));
	if (!*table || !*where || !s->best_pos || !s->best_len)
		return -ENOMEM;
	for (size_t g = 0; g < s->n_gaps; g++) {
		s->gaps[g].first = n;
		for (uint64_t i = 0; i < s->gaps[g].len; i++, n++) {
			uint64_t at = s->gaps[g].start + i, gram;

			(*where)[n] = at;
			if (at + GRAM > s->new_.len || gram_plain(gram = ay__load8(s->new_.data + at)))
				continue;
			size_t slot = gram_hash(gram) & *mask;
			while ((*table)[slot] &&
			       ay__load8(s->new_.data + (*where)[(*table)[slot] - 1]) != gram)
				slot = (slot + 1) & *mask;
			if (!(*table)[slot])
				(*table)[slot] = (uint32_t)n + 1;
		}
	}
	return 0;
}

static int gaps_match(struct ay__search *s)
{
	AY_FREE uint32_t *table = NULL;
	AY_FREE uint64_t *where = NULL;
	size_t mask;
	int rc = gaps_index(s, &table, &mask, &where);

	if (rc)
		return rc;
	for (uint64_t q = 0; q + GRAM <= s->old.len; q++) {
		uint64_t gram = ay__load8(s->old.data + q);
		size_t slot = gram_hash(gram) & mask;

		while (table[slot] && ay__load8(s->new_.data + where[table[slot] - 1]) != gram)
			slot = (slot + 1) & mask;
		if (!table[slot])
			continue;
		size_t i = table[slot] - 1;
		size_t room = ay__min(ay__min(s->old.len - q, s->new_.len - where[i]), LEN_CAP);
		size_t len = GRAM;

		if (s->effort)
			len += ay__common(s->old.data + q + GRAM, s->new_.data + where[i] + GRAM,
					  room - GRAM);
		spend(s, len - GRAM + 1);
		if (len > s->best_len[i]) {
			s->best_len[i] = (uint16_t)len;
			s->best_pos[i] = q;
		}
	}
	/* A match of one position is a match, shorter by one, of the next. */
	for (size_t g = 0; g < s->n_gaps; g++) {
		size_t first = s->gaps[g].first;

		for (size_t i = first; i + 1 < first + s->gaps[g].len; i++) {
			if (s->best_len[i] > s->best_len[i + 1] + 1u) {
				s->best_len[i + 1] = s->best_len[i] - 1;
				s->best_pos[i + 1] = s->best_pos[i] + 1;
			}
		}
	}
	return 0;
}

static size_t gaps_search(struct ay__search *s, uint64_t at, uint64_t *pos)
{
	while (s->at_gap < s->n_gaps && s->gaps[s->at_gap].start + s->gaps[s->at_gap].len <= at)
		s->at_gap++;
	if (s->at_gap == s->n_gaps || at < s->gaps[s->at_gap].start)
		return 0;
	size_t i = s->gaps[s->at_gap].first + (size_t)(at - s->gaps[s->at_gap].start);
	*pos = s->best_pos[i];
	return s->best_len[i];
}

/* ---- both ---- */

/* What is left of the stretch that @at is in. */
static size_t run_at(struct ay__search *s, uint64_t at, uint64_t *pos)
{
	while (s->at_run < s->n_runs && s->runs[s->at_run].new_at + s->runs[s->at_run].len <= at)
		s->at_run++;
	if (s->at_run == s->n_runs || at < s->runs[s->at_run].new_at)
		return 0;
	const struct ay__run *r = &s->runs[s->at_run];
	*pos = r->old_at + (at - r->new_at);
	return ay__min((size_t)(r->new_at + r->len - at), LEN_CAP);
}

/* The longest match of the new file's bytes from @at on: of the alignments used lately, else of all. */
size_t ay__search_at(struct ay__search *s, uint64_t at, uint64_t *pos)
{
	size_t best = 0;
	size_t room = ay__min(s->new_.len - at, LEN_CAP);

	if (s->effort == 0)
		return 0;
	/* Behind the gaps only these two lead on, however many others were used within. */
	int64_t ends[2] = {0, (int64_t)(s->new_.len - s->old.len)};
	unsigned n_ends = s->n_gaps ? 2 : 0;
	for (unsigned i = 0; i < s->n_recent + n_ends; i++) {
		int64_t shift = i < s->n_recent ? s->recent[i] : ends[i - s->n_recent];
		uint64_t p = at - (uint64_t)shift;

		if (p >= s->old.len)
			continue;
		size_t len = ay__common(s->new_.data + at, s->old.data + p, ay__min(room, s->old.len - p));
		if (len > best) {
			best = len;
			*pos = p;
		}
	}
	spend(s, best + 1);
	if (best >= AY__WINDOW)
		return best;
	uint64_t found = 0;
	size_t len = run_at(s, at, &found);
	if (len > best) {
		best = len;
		*pos = found;
	}
	if (best >= AY__WINDOW)
		return best;
	len = s->sa32 || s->sa64 ? suffixes_search(s, at, &found) : gaps_search(s, at, &found);
	if (len > best) {
		best = len;
		*pos = found;
	}
	return best;
}

void ay__search_recent(struct ay__search *s, int64_t shift)
{
	unsigned i = 0;

	while (i < s->n_recent && s->recent[i] != shift)
		i++;
	if (i == s->n_recent && s->n_recent < AY__RECENT)
		s->n_recent++;
	if (i == AY__RECENT)
		i = AY__RECENT - 1;
	memmove(s->recent + 1, s->recent, i * sizeof(s->recent[0]));
	s->recent[0] = shift;
}

/* Long stretches are cut off before sorting, if they are much. */
static int runs_use(struct ay__search *s)
{
	if (s->old.len < RUNS_FROM || s->new_.len < RUNS_FROM)
		return 0;
	int rc = ay__runs_find(s->old, s->new_, &s->runs, &s->n_runs);
	if (rc == 0)
		rc = ay__runs_cut(s->old, s->runs, s->n_runs, &s->rest);
	if (rc == 0 && s->rest.bytes)
		s->text = (struct ay_slice){s->rest.bytes, s->rest.len};
	return rc;
}

/* Choose how matches are found: past the gaps, by sorting, or not at all beyond the simple alignments. */
static int prepare(struct ay__search *s, uint64_t limit)
{
	bool in_vain;

	if (limit && s->gap_bytes <= limit && s->gap_bytes < UINT32_MAX)
		return gaps_match(s);
	s->n_gaps = 0;
	s->text = s->old;
	int rc = runs_use(s);
	if (rc || s->rest.bytes)
		return rc ? rc : suffixes_build(s);
	rc = ay__unrelated(s->old, s->new_, &in_vain);
	return rc || in_vain ? rc : suffixes_build(s);
}

int ay__search_init(struct ay__search *s, struct ay_slice old, struct ay_slice new_, unsigned shortcut)
{
	uint64_t limit = 0;
	int rc = 0;

	*s = (struct ay__search){.old = old, .new_ = new_};
	s->effort = (1u << 20) + EFFORT_PER_BYTE * ((uint64_t)old.len + new_.len);
	ay__search_recent(s, (int64_t)(new_.len - old.len));
	ay__search_recent(s, 0);
	if (shortcut) {
		limit = GAPS_FREE + new_.len / 1024 * (shortcut < SHORTCUT_MAX ? shortcut : SHORTCUT_MAX);
		rc = gaps_find(s, limit);
	}
	return rc ? rc : prepare(s, limit);
}

void ay__search_release(struct ay__search *s)
{
	free(s->sa32);
	free(s->sa64);
	free(s->bucket);
	free(s->gaps);
	free(s->best_pos);
	free(s->best_len);
	free(s->runs);
	ay__rest_release(&s->rest);
	*s = (struct ay__search){0};
}
