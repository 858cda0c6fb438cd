/* SPDX-License-Identifier: MIT */
/*
 * diff/sift.c - where noise begins and ends.
 *
 * First by windows: among 256 bytes without structure there are about 162 different ones, among those of text or code far
 * fewer. That is sure but coarse, so what is no noise by it is counted, and in a second walk each byte speaks
 * for itself: by how many bits more than eight it would cost where its neighbours are of that kind. Noise is where the sum
 * of these grows, to where it was largest (Kadane's longest segment, given up when it has fallen far enough).
 * What only looks rare, like a run of one byte, is found out by counting pairs of equal bytes.
 */
#include "diff/sift.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define WINDOW    256
#define DIFFERENT 146  /* of a window's bytes, at least */
#define RUN_MIN   128  /* bytes of noise in one place */
#define FALL      768  /* sixteenths of bits by which the sum falls until a run is over */
#define NOISE_MIN 4096 /* in all: less is not worth a second stream */
#define REST_MIN  4096

/* Bytes in windows that have nothing but noise are left out of @count; how many are in it. */
static size_t count_rest(const uint8_t *data, size_t len, size_t count[256])
{
	unsigned in[256] = {0}, different = 0;
	size_t covered = 0, total = 0; /* all before is counted, or is noise */

	for (size_t i = 0; i < len; i++) {
		different += in[data[i]]++ == 0;
		if (i >= WINDOW)
			different -= --in[data[i - WINDOW]] == 0;
		if (i >= WINDOW - 1 && different >= DIFFERENT) {
			covered = i + 1;
		} else if (i >= WINDOW - 1 && i - (WINDOW - 1) >= covered) {
			/* No window that is still to come has it. */
			count[data[i - (WINDOW - 1)]]++;
			total++;
		}
	}
	return total;
}

/* Are these as evenly spread as chance has it? By pairs of equal ones, of which there may be 1.4 times as many. */
static bool even(const uint8_t *p, size_t n)
{
	size_t count[256] = {0};
	uint64_t pairs = 0;

	for (size_t i = 0; i < n; i++)
		count[p[i]]++;
	for (unsigned i = 0; i < 256; i++)
		pairs += (uint64_t)count[i] * (count[i] - (count[i] > 0));
	return pairs / (n - 1) * 256 * 5 <= 7 * (uint64_t)n;
}

/* 16 log2(v), rounded down; v > 0. The same on every machine, as the bytes that are made shall be. */
static int log2_16(uint64_t v)
{
	int e = 63 - __builtin_clzll(v), result = e;
	uint64_t m = v << (63 - e) >> 32; /* 1 to 2, as 31 bits behind the point */

	for (unsigned i = 0; i < 4; i++) {
		m = m * m >> 31;
		result = 2 * result + (int)(m >> 32);
		m >>= m >> 32;
	}
	return result;
}

/* What people write may be rare around here, and is no noise all the same: half of what is expected is that. */
static bool is_text(unsigned c)
{
	return (c >= ' ' && c < 0x7f) || c == '\n';
}

struct sifter {
	const uint8_t *data;
	struct ay_buf pairs, rest, *noise;
	size_t at; /* all before is in one of them */
};

static void run_put(struct sifter *s, size_t from, size_t to)
{
	if (to - from < RUN_MIN || !even(s->data + from, to - from))
		return;
	ay_put_varint(&s->pairs, from - s->at);
	ay_put_varint(&s->pairs, to - from);
	ay_put_bytes(&s->rest, s->data + s->at, from - s->at);
	ay_put_bytes(s->noise, s->data + from, to - from);
	s->at = to;
}

static void runs_find(struct sifter *s, size_t len, const int bits[256])
{
	int64_t sum = 0, best = 0;
	size_t from = 0, to = 0;

	for (size_t i = 0; i < len; i++) {
		if (sum <= 0) {
			sum = best = 0;
			from = to = i;
		}
		sum += bits[s->data[i]];
		if (sum > best) {
			best = sum;
			to = i + 1;
		}
		if (sum < best - FALL) {
			run_put(s, from, to);
			sum = 0; /* what fell so far is no beginning of another */
			from = to;
		}
	}
	if (sum > 0)
		run_put(s, from, to);
}

int ay__sift(const uint8_t *data, size_t len, struct ay_buf *inner, size_t *pairs, struct ay_buf *noise)
{
	size_t count[256] = {0}, total;
	int bits[256];

	*pairs = 0;
	if (len < NOISE_MIN + REST_MIN)
		return 1;
	total = count_rest(data, len, count);
	if (total < REST_MIN || len - total < NOISE_MIN)
		return 1;
	for (unsigned i = 0; i < 256; i++)
		bits[i] = log2_16(2 * (total + 256)) - log2_16(count[i] + 1 + is_text(i) * (total / 96)) -
			  8 * 16;
	struct sifter s = {.data = data, .noise = noise};
	runs_find(&s, len, bits);
	ay_put_bytes(&s.rest, data + s.at, len - s.at);
	*pairs = s.pairs.len;
	bool worth = noise->len >= NOISE_MIN && s.rest.len >= REST_MIN && s.pairs.len <= AY__SIFT_PAIRS_MAX &&
		     s.pairs.len <= noise->len;
	if (worth) {
		ay_put_bytes(inner, s.pairs.data, s.pairs.len);
		ay_put_bytes(inner, s.rest.data, s.rest.len);
	}
	int rc = ay_buf_status(&s.pairs) || ay_buf_status(&s.rest) || ay_buf_status(noise) ||
				 ay_buf_status(inner)
			 ? -ENOMEM
			 : 0;
	ay_buf_release(&s.pairs);
	ay_buf_release(&s.rest);
	if (!worth)
		ay_buf_release(noise);
	return rc ? rc : !worth;
}

int ay__unsift(struct ay_slice pairs, struct ay_slice noise, uint8_t *out, size_t out_len)
{
	size_t at = 0, from = noise.len,
	       used = 0; /* @at stays behind @from by the noise that is still to come */
	struct ay_cursor c;

	ay_cursor_init(&c, pairs.data, pairs.len);
	while (!ay_cursor_done(&c)) {
		uint64_t rest = ay_get_varint(&c), n = ay_get_varint(&c);

		if (c.failed || rest > out_len - from || n == 0 || n > noise.len - used ||
		    (rest == 0 && at > 0))
			return AY_EFORMAT;
		memmove(out + at, out + from, rest);
		at += rest;
		from += rest;
		memcpy(out + at, noise.data + used, n);
		at += n;
		used += n;
	}
	return used == noise.len ? 0 : AY_EFORMAT;
}
