/* SPDX-License-Identifier: MIT */
/*
 * diff/deflate_match.h - guess which token a packer takes next (internal to diff/).
 *
 * Most deflate streams come from two packers, zlib and GNU gzip, that search alike: chains of hashed strings, followed
 * so far as the level says; a match waits for one byte whether a longer one begins there. With the same parameters
 * this search takes the same decisions nearly always; where it does not, whoever asks is told the true token by the
 * recipe, and the search goes on from there. No code is shared with either: this is the published method
 * (RFC 1951 section 4) with the parameters of their levels.
 *
 * It is ours, so that it never ages: what it guesses is part of the format. A change of one decision is a new codec.
 */
#ifndef AYNI_DIFF_DEFLATE_MATCH_H
#define AYNI_DIFF_DEFLATE_MATCH_H

#include "diff/inflate.h"

#define AY__DEFLATE_AHEAD    (AY__DEFLATE_MATCH + 4) /* bytes looked at ahead; fewer only at the end */
#define AY__DEFLATE_BUFFER   (4 * AY__DEFLATE_WINDOW)
#define AY__DEFLATE_SIZE_MAX (1ull << 31) /* bytes of a stream's content */

enum ay__deflate_way {
	AY__DEFLATE_LITERALS, /* no matches */
	AY__DEFLATE_RUNS,     /* only repetitions of the byte before */
	AY__DEFLATE_GREEDY,   /* the first good match */
	AY__DEFLATE_LAZY,     /* unless the next byte begins a longer one */
	AY__DEFLATE_WAYS,
};

/* What stands in a recipe. */
struct ay__deflate_params {
	enum ay__deflate_way way;
	uint16_t good, lazy, nice, chain; /* of the level: see the table in deflate_match.c */
	uint8_t hash_bits;                /* 8 to 16 */
	uint8_t window_bits;              /* 9 to 15 */
	bool filtered;                    /* matches of up to 5 bytes are not worth it */
	bool resets;                      /* at an empty stored block all is forgotten: zlib's full flush */
};

/* A match, or with @len 0 the literal @dist. */
struct ay__deflate_token {
	uint16_t len, dist;
};

struct ay__deflate_match {
	struct ay__deflate_params p;
	uint32_t at, end; /* of the content: the next token begins at @at; bytes are there up to @end */
	uint32_t start;   /* of the content: where buffer[0] is */
	/* the lazy search, which stands one byte ahead of the token in question */
	bool looked;        /* the string at @at was looked up */
	uint32_t len, from; /* what was found there */
	uint32_t next_len, next_from;
	bool next_looked;
	uint32_t head[1u << 16]; /* 0: none; a content's first byte is never found, as with those packers */
	uint32_t chain[AY__DEFLATE_WINDOW];
	uint8_t buffer[AY__DEFLATE_BUFFER + AY__DEFLATE_MATCH];
};

/** ay__deflate_level() - the parameters of level 1 to 9. */
struct ay__deflate_params ay__deflate_level(unsigned level);

/** ay__deflate_params_ok() - within bounds? */
bool ay__deflate_params_ok(const struct ay__deflate_params *p);

void ay__deflate_match_init(struct ay__deflate_match *m, const struct ay__deflate_params *p);

/** ay__deflate_match_room() - bytes that may be given now, at least 1 when fewer than AY__DEFLATE_AHEAD are there. */
size_t ay__deflate_match_room(struct ay__deflate_match *m);
/** ay__deflate_match_give() - content, no more than there is room for. */
void ay__deflate_match_give(struct ay__deflate_match *m, const uint8_t *data, size_t len);

static inline size_t ay__deflate_match_ahead(const struct ay__deflate_match *m)
{
	return m->end - m->at;
}

/** ay__deflate_match_guess() - the next token; at least one byte is there, and AY__DEFLATE_AHEAD of them unless the content ends. */
struct ay__deflate_token ay__deflate_match_guess(struct ay__deflate_match *m);

/** ay__deflate_match_take() - the token that it was. Its bytes are there. */
void ay__deflate_match_take(struct ay__deflate_match *m, struct ay__deflate_token t);

/** ay__deflate_match_skip() - @n bytes that are there went into a stored block. */
void ay__deflate_match_skip(struct ay__deflate_match *m, size_t n);

#endif
