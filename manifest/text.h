/* SPDX-License-Identifier: MIT */
/*
 * manifest/text.h - the strict reading of our text formats (internal to manifest/).
 *
 *     TYPE VERSION\n
 *     key: value\n
 *     key:\n              an empty value: no space, so that no line ends in one
 *
 * Only printable ASCII and newlines; the last line ends in a newline too. The
 * reader asks for each key in its order: unknown, missing, repeated or reordered
 * keys are one error. Values split into words at single spaces.
 */
#ifndef AYNI_MANIFEST_TEXT_H
#define AYNI_MANIFEST_TEXT_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

struct ay__text {
	const char *type; /* "ayni-release", for messages */
	const uint8_t *pos, *end;
	unsigned line; /* of the value returned last */
	unsigned version;
};

/**
 * ay__text_open() - check bytes and first line: @type and version 1.
 *
 * Return: 0; AY_EFORMAT (also: another type), AY_EVERSION, AY_ELIMIT (above AY_SIGNED_TEXT_MAX).
 */
int ay__text_open(struct ay__text *t, const void *text, size_t len, const char *type, struct ay_err *err);
/** ay__text_open_upto() - the same for a type that has versions 1 to @newest; which it is stands in @t->version. */
int ay__text_open_upto(struct ay__text *t, const void *text, size_t len, const char *type, unsigned newest,
		       struct ay_err *err);
/** ay__text_value() - the next line's value, which must have @key; borrowed from the text. 0 or AY_EFORMAT. */
int ay__text_value(struct ay__text *t, const char *key, struct ay_slice *value, struct ay_err *err);
/** ay__text_peek() - has the next line @key? */
bool ay__text_peek(const struct ay__text *t, const char *key);
/** ay__text_number() - the next line's value as a number in [@min, @max]. */
int ay__text_number(struct ay__text *t, const char *key, uint64_t min, uint64_t max, uint64_t *out,
		    struct ay_err *err);
/** ay__text_branch() - the next line, "branch: NAME"; @name has AY_BRANCH_NAME_MAX + 1 bytes. */
int ay__text_branch(struct ay__text *t, char *name, struct ay_err *err);
/** ay__text_digest_size() - the next line, "KEY: DIGEST SIZE" with a size in [1, @max]. */
int ay__text_digest_size(struct ay__text *t, const char *key, uint64_t max, struct ay_digest *d,
			 uint64_t *size, struct ay_err *err);
/** ay__text_end() - 0 when nothing is left. */
int ay__text_end(const struct ay__text *t, struct ay_err *err);
/** ay__text_bad() - AY_EFORMAT with type and line: "ayni-release line 3: WHAT". */
int ay__text_bad(const struct ay__text *t, struct ay_err *err, const char *what);

/**
 * ay__word() - take the next word from @rest, up to a space or the end.
 *
 * After the last word @rest->data is NULL. A leading, trailing or doubled space shows as an empty
 * word, which every caller's own check refuses.
 *
 * Return: false when there is none.
 */
bool ay__word(struct ay_slice *rest, struct ay_slice *word);
/** ay__word_is() - is the word exactly @s? */
bool ay__word_is(const struct ay_slice *word, const char *s);
/** ay__parse_u64() - decimal without sign or leading zeros, at most @max. 0 or AY_EFORMAT. */
int ay__parse_u64(const void *s, size_t len, uint64_t max, uint64_t *out);

/**
 * ay__prose_get() - a percent-encoded human text into @out[@size], NUL-terminated.
 * @newlines: are newline and tab allowed?
 *
 * Valid UTF-8 without control characters, because it goes to terminals. 0, AY_EFORMAT, AY_ELIMIT, -ENOMEM.
 */
int ay__prose_get(const struct ay_slice *value, char *out, size_t size, bool newlines);

#endif
