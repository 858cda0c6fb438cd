/* SPDX-License-Identifier: MIT */
/*
 * diff/file_line.h - a line of a manifest or of a manifest delta, byte by byte: which content does it name? (internal to diff/)
 *
 * "f mode uid gid mtime size DIGEST path", in a delta with a + before it: the digest is the seventh word. Nothing else of
 * the line is looked at, nor whether it is right: that is for who merges them.
 */
#ifndef AYNI_DIFF_FILE_LINE_H
#define AYNI_DIFF_FILE_LINE_H

#include <string.h>

#include "base/digest.h"

#define AY__FILE_LINE  "f "  /* a manifest's lines that count begin so */
#define AY__FILE_COMES "+f " /* and a delta's */

/* Zero-initialise. */
struct ay__file_line {
	bool other; /* it is of no file */
	unsigned spaces;
	uint64_t at; /* bytes of it so far */
	unsigned hex;
	uint8_t digest[AY_DIGEST_LEN];
};

static inline int ay__file_line_hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** ay__file_line_step() - the next byte. True: with it the digest of a line that begins with @begin is complete. */
static inline bool ay__file_line_step(struct ay__file_line *l, const char *begin, uint8_t c)
{
	const unsigned digest_word = 6; /* spaces before it */
	size_t begin_len = strlen(begin);

	if (c == '\n') {
		*l = (struct ay__file_line){0};
		return false;
	}
	uint64_t at = l->at++;
	if (l->other) {
		return false;
	} else if (at < begin_len) {
		l->other = c != (uint8_t)begin[at];
		l->spaces += at == begin_len - 1;
	} else if (c == ' ') {
		l->other = ++l->spaces > digest_word;
		return l->other && l->hex == 2 * AY_DIGEST_LEN;
	} else if (l->spaces == digest_word) {
		int v = ay__file_line_hex(c);

		l->other = v < 0 || l->hex == 2 * AY_DIGEST_LEN;
		if (l->other)
			return false;
		uint8_t *b = &l->digest[l->hex / 2];
		*b = (uint8_t)(l->hex % 2 ? *b | v : v << 4);
		l->hex++;
	}
	return false;
}

#endif
