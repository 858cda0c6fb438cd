/* SPDX-License-Identifier: MIT */
/*
 * diff/bsdiff.c - bsdiff's algorithm, in memory, bounded in time, and lazy about sorting.
 *
 * As in Percival's paper: walk through the new file under an alignment (new position - old position); where
 * the longest match found anywhere in the old file is clearly better than the alignment, switch to it; extend
 * each copied run forwards and backwards as long as at least half of its bytes are right.
 *
 * Two things differ from the paper, both because a release's files mostly lie where they lay before:
 *
 *  1. Where the alignment predicts most of the next 64 bytes nothing is searched for.
 *  2. The suffix sort (nine tenths of bsdiff's time) is only made for files that need it. First both files are
 *     laid beside each other from their beginnings and from their ends; what agrees neither way is a gap. When the gaps
 *     are a small share, their 8-byte strings go into a hash table and the old file is read past it once. A
 *     match must be better by more than eight bytes to be taken, so that this finds what the sort would.
 *
 * Matches are measured to LEN_CAP only: a longer one goes on as the alignment. That, and a count of bytes
 * compared, bound the time for inputs such as gigabytes of zeros.
 */
#include "diff/bsdiff.h"

#include <divsufsort.h>
#include <divsufsort64.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define LEN_CAP	 1024 /* bytes of a match that are measured */
#define WINDOW	 64   /* bytes looked ahead under the alignment */
#define GOOD	 48   /* of WINDOW, so many right: nothing is searched for */
#define STEP	 16   /* bytes passed over at a time while the alignment is good */
#define GRAM	 8    /* bytes of a string in the gaps' table */
#define RECENT	 8    /* alignments remembered */
#define GAPS_FREE 2048 /* bytes of gaps that never need a sort: a signature, a build id, a date */
#define SHORTCUT_MAX 256 /* a quarter: the table must stay small */
#define BUCKETS	 65536
#define BUCKETS_FROM 16384 /* bytes of the old file below which counting pairs is not worth it */
#define SAMPLE	 64
#define RELATED_MIN   65536 /* bytes of a file below which sorting is cheap anyway */
#define RELATED_SHARE 256   /* so few strings in common are none */
#define SA32_MAX ((uint64_t)INT32_MAX)
/* Bytes compared while searching, at most, per byte of both files; then what was found so far must do. */
#define EFFORT_PER_BYTE 256

/* The new file's places that no simple alignment predicts, with the best match known for each position. */
struct gap {
	uint64_t start, len;
	size_t first; /* index of its first position in the arrays */
};

struct search {
	struct ay_slice old, new_;
	uint64_t effort; /* bytes that may still be compared */
	int64_t recent[RECENT];
	unsigned n_recent;
	/* by suffix array */
	int32_t *sa32;
	int64_t *sa64;
	uint64_t *bucket; /* BUCKETS + 1: first suffix whose two first bytes are at least the index; may be NULL */
	/* by gaps */
	struct gap *gaps;
	size_t n_gaps, cap_gaps, at_gap;
	uint64_t gap_bytes;
	uint64_t *best_pos;
	uint16_t *best_len;
};

void ay_bsdiff_ops_release(struct ay_bsdiff_ops *ops)
{
	free(ops->ops);
	*ops = (struct ay_bsdiff_ops){0};
}

uint64_t ay_bsdiff_memory(uint64_t old_len, uint64_t new_len)
{
	uint64_t sort = old_len * (old_len >= SA32_MAX ? 8 : 4) + (BUCKETS + 1) * sizeof(uint64_t);
	uint64_t gaps = new_len / WINDOW * sizeof(struct gap) + (new_len / 4 + GAPS_FREE) * 34;
	uint64_t ops = new_len / 8 * sizeof(struct ay_bsdiff_op);

	return (sort > gaps ? sort : gaps) + ops + (1u << 20);
}

static uint64_t load8(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Bytes that are equal at the beginning of @a and @b, of @n at most. */
static size_t common(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		if (load8(a + i) != load8(b + i))
			break;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* Bytes of the next @n that are equal. */
static unsigned equal_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	unsigned equal = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t x = load8(a + i) ^ load8(b + i);

		/* one bit per byte that is not zero, then count */
		x |= x >> 4;
		x |= x >> 2;
		x |= x >> 1;
		x &= 0x0101010101010101u;
		equal += 8 - (unsigned)((x * 0x0101010101010101u) >> 56);
	}
	for (; i < n; i++)
		equal += a[i] == b[i];
	return equal;
}

static bool spend(struct search *s, uint64_t bytes)
{
	s->effort = s->effort > bytes ? s->effort - bytes : 0;
	return s->effort > 0;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- matches by suffix array ---- */

static uint64_t suffix_get(const struct search *s, uint64_t i)
{
	return s->sa32 ? (uint64_t)s->sa32[i] : (uint64_t)s->sa64[i];
}

/* Where the suffixes of each first two bytes begin: saves half of the comparisons. */
static int buckets_build(struct search *s)
{
	size_t n = s->old.len;
	uint64_t sum = 0;

	s->bucket = calloc(BUCKETS + 1, sizeof(*s->bucket));
	if (!s->bucket)
		return -ENOMEM;
	for (size_t i = 0; i + 1 < n; i++)
		s->bucket[s->old.data[i] << 8 | s->old.data[i + 1]]++;
	for (size_t b = 0; b <= BUCKETS; b++) {
		uint64_t here = b < BUCKETS ? s->bucket[b] : 0;

		/* The file's last byte alone sorts before every pair that begins with it. */
		if (b == (size_t)s->old.data[n - 1] << 8)
			sum++;
		s->bucket[b] = sum;
		sum += here;
	}
	return 0;
}

static int suffixes_build(struct search *s)
{
	size_t n = s->old.len;

	if (n < SA32_MAX)
		s->sa32 = malloc(n * sizeof(*s->sa32));
	else
		s->sa64 = malloc(n * sizeof(*s->sa64));
	if (!s->sa32 && !s->sa64)
		return -ENOMEM;
	if (s->sa32 ? divsufsort(s->old.data, s->sa32, (saidx_t)n)
		    : divsufsort64(s->old.data, s->sa64, (saidx64_t)n))
		return -ENOMEM;
	return n >= BUCKETS_FROM ? buckets_build(s) : 0;
}

/* The suffixes among which one that begins as @want does must be, and how many bytes they all share with it. */
static size_t suffixes_range(const struct search *s, const uint8_t *want, uint64_t *lo, uint64_t *hi)
{
	*lo = 0;
	*hi = s->old.len;
	if (!s->bucket)
		return 0;
	size_t pair = (size_t)want[0] << 8 | want[1];
	*lo = s->bucket[pair];
	*hi = s->bucket[pair + 1];
	if (want[1] == 0xff && s->old.data[s->old.len - 1] == want[0] + 1 && *hi > *lo)
		--*hi; /* the last byte alone stands where the next first byte's suffixes begin */
	return 2;
}

/*
 * Binary search that remembers how much of the string the two borders share with it, so that no byte is
 * compared twice. Source: Manber and Myers, "Suffix arrays", 1993.
 */
static size_t suffixes_search(struct search *s, uint64_t at, uint64_t *pos)
{
	const uint8_t *want = s->new_.data + at;
	size_t want_len = min_size(s->new_.len - at, LEN_CAP);

	if (want_len < 2)
		return 0;
	uint64_t lo, hi, compared = 0;
	size_t lo_len = suffixes_range(s, want, &lo, &hi), hi_len = lo_len, best = 0;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2, p = suffix_get(s, mid);
		size_t len = min_size(lo_len, hi_len), room = min_size(s->old.len - p, want_len);

		if (len < room) {
			size_t more = common(s->old.data + p + len, want + len, room - len);

			compared += more + 1;
			len += more;
		}
		if (len > best) {
			best = len;
			*pos = p;
		}
		if (len >= want_len)
			break;
		if (len == s->old.len - p || s->old.data[p + len] < want[len]) {
			lo = mid + 1;
			lo_len = len;
		} else {
			hi = mid;
			hi_len = len;
		}
	}
	spend(s, compared + 8);
	return best;
}

/* ---- matches by gaps ---- */

static int gap_add(struct search *s, uint64_t start, uint64_t len)
{
	struct gap *last = s->n_gaps ? &s->gaps[s->n_gaps - 1] : NULL;

	s->gap_bytes += len;
	if (last && last->start + last->len == start) {
		last->len += len;
		return 0;
	}
	if (s->n_gaps == s->cap_gaps) {
		size_t cap = s->cap_gaps ? 2 * s->cap_gaps : 64;
		struct gap *g = realloc(s->gaps, cap * sizeof(*g));

		if (!g)
			return -ENOMEM;
		s->gaps = g;
		s->cap_gaps = cap;
	}
	s->gaps[s->n_gaps++] = (struct gap){.start = start, .len = len};
	return 0;
}

/* Lay the files beside each other from both ends; stop once there are more than @limit bytes of gaps. */
static int gaps_find(struct search *s, uint64_t limit)
{
	const uint8_t *new_ = s->new_.data, *old = s->old.data;
	uint64_t n = s->new_.len;

	for (uint64_t at = 0; at < n && s->gap_bytes <= limit; at += WINDOW) {
		size_t len = min_size(n - at, WINDOW);
		uint64_t from_end = at + s->old.len - n; /* may wrap: then it is no position */
		unsigned equal = 0;

		if (at + len <= s->old.len)
			equal = equal_bytes(new_ + at, old + at, len);
		if (equal * 2 < len && from_end < s->old.len && from_end + len <= s->old.len)
			equal = equal_bytes(new_ + at, old + from_end, len);
		if (equal * 2 < len) {
			/* Searching begins before a place where the alignment ends, so the gap does too. */
			uint64_t start = at;
			struct gap *last = s->n_gaps ? &s->gaps[s->n_gaps - 1] : NULL;
			uint64_t floor = last ? last->start + last->len : 0;

			start = start > floor + WINDOW ? start - WINDOW : floor;
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
static int gaps_index(struct search *s, uint32_t **table, size_t *mask, uint64_t **where)
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
			if (at + GRAM > s->new_.len || gram_plain(gram = load8(s->new_.data + at)))
				continue;
			size_t slot = gram_hash(gram) & *mask;
			while ((*table)[slot] && load8(s->new_.data + (*where)[(*table)[slot] - 1]) != gram)
				slot = (slot + 1) & *mask;
			if (!(*table)[slot])
				(*table)[slot] = (uint32_t)n + 1;
		}
	}
	return 0;
}

static int gaps_match(struct search *s)
{
	AY_FREE uint32_t *table = NULL;
	AY_FREE uint64_t *where = NULL;
	size_t mask;
	int rc = gaps_index(s, &table, &mask, &where);

	if (rc)
		return rc;
	for (uint64_t q = 0; q + GRAM <= s->old.len; q++) {
		uint64_t gram = load8(s->old.data + q);
		size_t slot = gram_hash(gram) & mask;

		while (table[slot] && load8(s->new_.data + where[table[slot] - 1]) != gram)
			slot = (slot + 1) & mask;
		if (!table[slot])
			continue;
		size_t i = table[slot] - 1;
		size_t room = min_size(min_size(s->old.len - q, s->new_.len - where[i]), LEN_CAP);
		size_t len = GRAM;

		if (s->effort)
			len += common(s->old.data + q + GRAM, s->new_.data + where[i] + GRAM, room - GRAM);
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

static size_t gaps_search(struct search *s, uint64_t at, uint64_t *pos)
{
	while (s->at_gap < s->n_gaps && s->gaps[s->at_gap].start + s->gaps[s->at_gap].len <= at)
		s->at_gap++;
	if (s->at_gap == s->n_gaps || at < s->gaps[s->at_gap].start)
		return 0;
	size_t i = s->gaps[s->at_gap].first + (size_t)(at - s->gaps[s->at_gap].start);
	*pos = s->best_pos[i];
	return s->best_len[i];
}

/* ---- is searching worth it? ---- */

/* Of all strings the same one in SAMPLE, whatever file it is in. */
static bool sampled(uint64_t gram)
{
	return gram_hash(gram) % SAMPLE == 0 && !gram_plain(gram);
}

static size_t gram_slot(const uint64_t *table, size_t mask, uint64_t gram)
{
	size_t slot = gram_hash(gram) / SAMPLE & mask;

	while (table[slot] && table[slot] != gram)
		slot = (slot + 1) & mask;
	return slot;
}

/*
 * Do the files share anything? Compressed files that differ early do not, and sorting such costs more than any other.
 */
static int related(const struct search *s, bool *yes)
{
	size_t cap = 1024, n = 0, hits = 0;

	*yes = true;
	if (s->new_.len < RELATED_MIN || s->old.len < RELATED_MIN)
		return 0;
	/* Of strings that all differ one in SAMPLE is taken, give or take; a full table is no reason to stop. */
	while (cap < s->new_.len / SAMPLE * 4)
		cap *= 2;
	AY_FREE uint64_t *table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i + GRAM <= s->new_.len && n < cap / 2; i++) {
		uint64_t gram = load8(s->new_.data + i);

		if (!sampled(gram))
			continue;
		size_t slot = gram_slot(table, cap - 1, gram);
		n += table[slot] == 0;
		table[slot] = gram;
	}
	for (size_t i = 0; i + GRAM <= s->old.len; i++) {
		uint64_t gram = load8(s->old.data + i);

		if (sampled(gram))
			hits += table[gram_slot(table, cap - 1, gram)] == gram;
	}
	*yes = hits >= n / RELATED_SHARE;
	return 0;
}

/* ---- the walk ---- */

/* The longest match of the new file's bytes from @at on: of the alignments used lately, else of all. */
static size_t search_at(struct search *s, uint64_t at, uint64_t *pos)
{
	size_t best = 0;
	size_t room = min_size(s->new_.len - at, LEN_CAP);

	if (s->effort == 0)
		return 0;
	for (unsigned i = 0; i < s->n_recent; i++) {
		uint64_t p = at - (uint64_t)s->recent[i];

		if (p >= s->old.len)
			continue;
		size_t len = common(s->new_.data + at, s->old.data + p, min_size(room, s->old.len - p));
		if (len > best) {
			best = len;
			*pos = p;
		}
	}
	spend(s, best + 1);
	if (best >= WINDOW)
		return best;
	uint64_t found = 0;
	size_t len = s->sa32 || s->sa64 ? suffixes_search(s, at, &found) : gaps_search(s, at, &found);
	if (len > best) {
		best = len;
		*pos = found;
	}
	return best;
}

static void recent_add(struct search *s, int64_t shift)
{
	unsigned i = 0;

	while (i < s->n_recent && s->recent[i] != shift)
		i++;
	if (i == s->n_recent && s->n_recent < RECENT)
		s->n_recent++;
	if (i == RECENT)
		i = RECENT - 1;
	memmove(s->recent + 1, s->recent, i * sizeof(s->recent[0]));
	s->recent[0] = shift;
}

static int ops_push(struct ay_bsdiff_ops *out, uint64_t old_pos, uint64_t diff_len, uint64_t extra_len)
{
	if (!diff_len && !extra_len)
		return 0;
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap + out->cap / 2 : 32;
		struct ay_bsdiff_op *ops = realloc(out->ops, cap * sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		out->ops = ops;
		out->cap = cap;
	}
	out->ops[out->n++] = (struct ay_bsdiff_op){diff_len ? old_pos : 0, diff_len, extra_len};
	return 0;
}

/* How far the copy from (@old_at, @new_at) goes on, of @n bytes: where most bytes are right. */
static uint64_t extend_forward(const struct search *s, uint64_t old_at, uint64_t new_at, uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	if (n > s->old.len - old_at)
		n = s->old.len - old_at;
	for (uint64_t i = 0; i < n;) {
		/* whole words that are equal cannot end it */
		if (i + 8 <= n && load8(s->old.data + old_at + i) == load8(s->new_.data + new_at + i)) {
			score += 8;
			i += 8;
		} else {
			score += s->old.data[old_at + i] == s->new_.data[new_at + i] ? 1 : -1;
			i++;
		}
		if (score > top) {
			top = score;
			best = i;
		}
	}
	return best;
}

static uint64_t extend_backward(const struct search *s, uint64_t old_at, uint64_t new_at, uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	if (n > old_at)
		n = old_at;
	for (uint64_t i = 1; i <= n; i++) {
		score += s->old.data[old_at - i] == s->new_.data[new_at - i] ? 1 : -1;
		if (score > top) {
			top = score;
			best = i;
		}
	}
	return best;
}

/* Two copies overlap by @n bytes: how many of them the earlier one should keep. */
static uint64_t split_overlap(const struct search *s, uint64_t old_a, uint64_t old_b, uint64_t new_at, uint64_t n)
{
	uint64_t best = 0;
	int64_t score = 0, top = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t c = s->new_.data[new_at + i];

		score += (s->old.data[old_a + i] == c) - (s->old.data[old_b + i] == c);
		if (score > top) {
			top = score;
			best = i + 1;
		}
	}
	return best;
}

/*
 * From @scan on, the first place where switching to another alignment pays; @scan == the end when there is
 * none. @pos: where it points to in the old file.
 */
static uint64_t next_switch(struct search *s, uint64_t scan, int64_t shift, unsigned threshold, uint64_t *pos)
{
	const uint8_t *new_ = s->new_.data, *old = s->old.data;
	uint64_t n = s->new_.len, counted = scan;
	uint64_t score = 0; /* bytes right under the alignment in [scan, counted) */

	while (scan < n) {
		uint64_t here = scan - (uint64_t)shift;
		size_t ahead = min_size(n - scan, WINDOW);

		if (here < s->old.len && ahead <= s->old.len - here &&
		    equal_bytes(new_ + scan, old + here, ahead) * WINDOW >= GOOD * ahead) {
			scan += min_size(ahead, STEP);
			counted = scan;
			score = 0;
			continue;
		}
		size_t len = search_at(s, scan, pos);
		for (; counted < scan + len; counted++)
			score += counted - (uint64_t)shift < s->old.len && old[counted - (uint64_t)shift] == new_[counted];
		if (len && len == score) {
			scan += len;
			counted = scan;
			score = 0;
			continue;
		}
		if (len > score + threshold)
			return scan;
		if (counted > scan)
			score -= here < s->old.len && old[here] == new_[scan];
		else
			counted = scan + 1;
		scan++;
	}
	return n;
}

static int walk(struct search *s, unsigned threshold, struct ay_bsdiff_ops *out)
{
	uint64_t n = s->new_.len;
	uint64_t last_new = 0, last_old = 0; /* where the copy in hand begins */
	uint64_t scan = 0;

	while (last_new < n) {
		uint64_t pos = 0;
		int64_t shift = (int64_t)(last_new - last_old);

		scan = next_switch(s, scan, shift, threshold, &pos);
		uint64_t forward = extend_forward(s, last_old, last_new, scan - last_new);
		uint64_t backward = scan < n ? extend_backward(s, pos, scan, scan - last_new) : 0;
		if (forward + backward > scan - last_new) {
			uint64_t overlap = forward + backward - (scan - last_new);
			uint64_t at = last_new + forward - overlap;
			uint64_t keep = split_overlap(s, last_old + forward - overlap, pos - backward, at, overlap);

			forward -= overlap - keep;
			backward -= keep;
		}
		int rc = ops_push(out, last_old, forward, scan - backward - last_new - forward);
		if (rc)
			return rc;
		last_new = scan - backward;
		last_old = pos - backward;
		recent_add(s, (int64_t)(scan - pos));
	}
	return 0;
}

/* Choose how matches are found: past the gaps, by sorting, or not at all beyond the simple alignments. */
static int prepare(struct search *s, uint64_t limit)
{
	bool yes;

	if (limit && s->gap_bytes <= limit && s->gap_bytes < UINT32_MAX)
		return gaps_match(s);
	s->n_gaps = 0;
	int rc = related(s, &yes);
	return rc || !yes ? rc : suffixes_build(s);
}

int ay_bsdiff(struct ay_slice old, struct ay_slice new_, const struct ay_bsdiff_params *params,
	      struct ay_bsdiff_ops *out)
{
	struct search s = {.old = old, .new_ = new_, .effort = UINT64_MAX};
	unsigned threshold = params && params->threshold ? params->threshold : AY_BSDIFF_THRESHOLD;
	unsigned share = params ? params->shortcut : AY_BSDIFF_SHORTCUT;
	uint64_t limit = share ? GAPS_FREE + new_.len / 1024 * (share < SHORTCUT_MAX ? share : SHORTCUT_MAX) : 0;
	size_t n_before = out->n;
	int rc = 0;

	if (old.len == 0)
		return ops_push(out, 0, 0, new_.len);
	s.effort = (1u << 20) + EFFORT_PER_BYTE * ((uint64_t)old.len + new_.len);
	recent_add(&s, (int64_t)(new_.len - old.len));
	recent_add(&s, 0);
	if (limit)
		rc = gaps_find(&s, limit);
	if (rc == 0)
		rc = prepare(&s, limit);
	if (rc == 0)
		rc = walk(&s, threshold, out);
	if (rc)
		out->n = n_before;
	free(s.sa32);
	free(s.sa64);
	free(s.bucket);
	free(s.gaps);
	free(s.best_pos);
	free(s.best_len);
	return rc;
}
