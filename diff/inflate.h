/* SPDX-License-Identifier: MIT */
/*
 * diff/inflate.h - deflate streams (RFC 1951), unpacked down to their tokens (internal to diff/).
 *
 * Our own, because whoever wants to pack a stream again to the same bytes has to know what it was packed from: blocks,
 * their codes, literals and matches. It takes input by the byte and never one more than the stream has, so that what lies
 * behind the stream is left for the next reader.
 */
#ifndef AYNI_DIFF_INFLATE_H
#define AYNI_DIFF_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AY__DEFLATE_WINDOW 32768
#define AY__DEFLATE_LITS   286 /* literals, end of block, lengths */
#define AY__DEFLATE_DISTS  30
#define AY__DEFLATE_LENS   19 /* symbols of the code for code lengths */
#define AY__DEFLATE_BITS   15 /* of a code at most */
#define AY__DEFLATE_MATCH  258
#define AY__DEFLATE_TOKENS                                                                                   \
	320 /* symbols that a block's code lengths are written with: at most one a length */
#define AY__INFLATE_PRIMARY 10

enum ay__deflate_type { AY__DEFLATE_STORED, AY__DEFLATE_FIXED, AY__DEFLATE_DYNAMIC };

/* A dynamic block's codes as they were written. */
struct ay__deflate_codes {
	unsigned n_lits, n_dists, n_lens;
	uint8_t lens
		[AY__DEFLATE_LENS]; /* code lengths of the 19, in the order of the format; n_lens of them */
	uint8_t lit_len[AY__DEFLATE_LITS + 2]; /* per symbol; 0: not used */
	uint8_t dist_len[AY__DEFLATE_DISTS + 2];
	unsigned n_symbols;
	uint8_t symbols[AY__DEFLATE_TOKENS]; /* 0 to 18 */
	uint8_t repeats[AY__DEFLATE_TOKENS]; /* of 16, 17, 18: the extra bits */
};

/* What is told to who wants the tokens. Each returns 0 or a negative code, which ends the reading. */
struct ay__inflate_events {
	void *ctx;
	/* @codes: of a dynamic block. @stored: bytes of a stored one. */
	int (*block)(void *ctx, enum ay__deflate_type type, bool last, const struct ay__deflate_codes *codes,
		     unsigned stored);
	int (*literal)(void *ctx, uint8_t byte);
	int (*match)(void *ctx, unsigned len, unsigned dist);
	int (*block_end)(void *ctx);
};

struct ay__inflate_table {
	uint16_t fast[1u << AY__INFLATE_PRIMARY]; /* symbol << 4 | length; 0: a longer code, or none */
	uint16_t count[AY__DEFLATE_BITS + 1], symbol[AY__DEFLATE_LITS + 2];
};

struct ay__inflate {
	/* Give the next bytes of input; *@len 0 at its end. 0 or a negative code. */
	int (*fill)(void *ctx, const uint8_t **data, size_t *len);
	void *fill_ctx;
	const struct ay__inflate_events *events; /* may be NULL */
	const uint8_t *next, *end;               /* input not taken yet */
	uint32_t bits;
	unsigned n_bits;
	enum { AY__INFLATE_HEAD, AY__INFLATE_COPY, AY__INFLATE_CODES, AY__INFLATE_DONE } state;
	bool last;
	unsigned left;      /* of a stored block */
	unsigned len, dist; /* of the match in hand */
	uint64_t total;     /* bytes given out */
	const char *why;    /* of AY_EFORMAT; static */
	struct ay__inflate_table lits, dists;
	struct ay__deflate_codes codes;
	uint8_t window[AY__DEFLATE_WINDOW];
};

/** ay__inflate_init() - a new stream; @fill gives its bytes. */
void ay__inflate_init(struct ay__inflate *s, int (*fill)(void *, const uint8_t **, size_t *), void *ctx,
		      const struct ay__inflate_events *events);

/**
 * ay__inflate_read() - the next @cap bytes to @dst; *@got is less only at the end of the stream, behind which
 * @s->next then stands.
 *
 * Return: 0; AY_EFORMAT with @s->why (also when padding bits are not zero: no packer writes that); what @fill or an
 *   event returned.
 */
int ay__inflate_read(struct ay__inflate *s, uint8_t *dst, size_t cap, size_t *got);

/* Tables of the format. */
extern const uint16_t ay__deflate_len_base[29], ay__deflate_dist_base[30];
extern const uint8_t ay__deflate_len_extra[29], ay__deflate_dist_extra[30];
extern const uint8_t ay__deflate_lens_order[AY__DEFLATE_LENS];

#endif
