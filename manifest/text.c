/* SPDX-License-Identifier: MIT */
/*
 * manifest/text.c - the strict reading of our text formats.
 *
 * One reader for release, offer and root, so that strictness is written once: a
 * signed text with two readings is how two programs come to believe two things
 * of one signature.
 */
#include "manifest/text.h"

#include <string.h>

#include "base/path.h"
#include "manifest/root.h"

static int check_bytes(const struct ay__text *t, const uint8_t *p, size_t len, struct ay_err *err)
{
	unsigned line = 1;

	if (len == 0 || p[len - 1] != '\n')
		return ay_err_set(err, AY_EFORMAT, "%s: does not end in a newline (cut off?)", t->type);
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n') {
			line++;
			if (i > 0 && p[i - 1] == ' ')
				return ay_err_set(err, AY_EFORMAT, "%s line %u: trailing space", t->type,
						  line - 1);
		} else if (p[i] < 0x20 || p[i] > 0x7e) {
			return ay_err_set(err, AY_EFORMAT, "%s line %u: byte 0x%02x is not printable ASCII",
					  t->type, line, p[i]);
		}
	}
	return 0;
}

/* The next line without its newline; ay__text_open() has made sure that there is a newline. */
static bool next_line(struct ay__text *t, struct ay_slice *line)
{
	if (t->pos == t->end)
		return false;
	const uint8_t *nl = memchr(t->pos, '\n', (size_t)(t->end - t->pos));
	AY_ASSERT(nl);
	*line = (struct ay_slice){t->pos, (size_t)(nl - t->pos)};
	t->pos = nl + 1;
	t->line++;
	return true;
}

int ay__text_open(struct ay__text *t, const void *text, size_t len, const char *type, struct ay_err *err)
{
	return ay__text_open_upto(t, text, len, type, 1, err);
}

int ay__text_open_upto(struct ay__text *t, const void *text, size_t len, const char *type, unsigned newest,
		       struct ay_err *err)
{
	struct ay_slice line = {0}, word;

	*t = (struct ay__text){.type = type, .pos = text};
	if (len > AY_SIGNED_TEXT_MAX)
		return ay_err_set(err, AY_ELIMIT, "%s: %zu bytes of text, at most %d are allowed", type, len,
				  AY_SIGNED_TEXT_MAX);
	int r = check_bytes(t, text, len, err);
	if (r)
		return r;
	t->end = t->pos + len;
	next_line(t, &line);
	if (!ay__word(&line, &word) || !ay__word_is(&word, type))
		return ay_err_set(err, AY_EFORMAT, "%s line 1: this is not a text of that type", type);
	uint64_t version;
	if (!ay__word(&line, &word) || line.data || ay__parse_u64(word.data, word.len, UINT32_MAX, &version))
		return ay_err_set(err, AY_EFORMAT, "%s line 1: no version number", type);
	if (version < 1 || version > newest)
		return ay_err_set(err, AY_EVERSION, "%s: version %u is not known here; upgrade ayni", type,
				  (unsigned)version);
	t->version = (unsigned)version;
	return 0;
}

int ay__text_bad(const struct ay__text *t, struct ay_err *err, const char *what)
{
	return ay_err_set(err, AY_EFORMAT, "%s line %u: %s", t->type, t->line, what);
}

bool ay__text_peek(const struct ay__text *t, const char *key)
{
	size_t n = strlen(key);

	return (size_t)(t->end - t->pos) > n && memcmp(t->pos, key, n) == 0 && t->pos[n] == ':';
}

int ay__text_value(struct ay__text *t, const char *key, struct ay_slice *value, struct ay_err *err)
{
	size_t n = strlen(key);
	bool found = ay__text_peek(t, key);

	if (!next_line(t, value))
		return ay_err_set(err, AY_EFORMAT, "%s: ends before \"%s:\"", t->type, key);
	if (!found)
		return ay_err_set(err, AY_EFORMAT, "%s line %u: expected \"%s:\"", t->type, t->line, key);
	value->data += n + 1;
	value->len -= n + 1;
	if (value->len == 0)
		return 0;
	if (value->data[0] != ' ')
		return ay__text_bad(t, err, "no space behind the colon");
	value->data++;
	value->len--;
	return 0;
}

int ay__text_number(struct ay__text *t, const char *key, uint64_t min, uint64_t max, uint64_t *out,
		    struct ay_err *err)
{
	struct ay_slice value;
	int r = ay__text_value(t, key, &value, err);

	if (r)
		return r;
	if (ay__parse_u64(value.data, value.len, max, out) || *out < min)
		return ay_err_set(err, AY_EFORMAT, "%s line %u: %s must be a number from %llu to %llu",
				  t->type, t->line, key, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

int ay__text_branch(struct ay__text *t, char *name, struct ay_err *err)
{
	struct ay_slice value;
	int r = ay__text_value(t, "branch", &value, err);

	if (r)
		return r;
	if (value.len > AY_BRANCH_NAME_MAX || ay_branch_check((const char *)value.data, value.len))
		return ay__text_bad(t, err,
				    "not a branch name (1 to 64 of a-z 0-9 . _ - and / between them)");
	memcpy(name, value.data, value.len);
	name[value.len] = 0;
	return 0;
}

int ay__text_digest_size(struct ay__text *t, const char *key, uint64_t max, struct ay_digest *d,
			 uint64_t *size, struct ay_err *err)
{
	struct ay_slice value = {0}, digest, number;
	int r = ay__text_value(t, key, &value, err);

	if (r)
		return r;
	if (!ay__word(&value, &digest) || ay_digest_parse(d, (const char *)digest.data, digest.len) ||
	    !ay__word(&value, &number) || value.data || ay__parse_u64(number.data, number.len, max, size) ||
	    *size == 0)
		return ay__text_bad(t, err, "expected a digest and a size within its limit");
	return 0;
}

int ay__text_end(const struct ay__text *t, struct ay_err *err)
{
	if (t->pos != t->end)
		return ay_err_set(err, AY_EFORMAT, "%s line %u: unexpected line", t->type, t->line + 1);
	return 0;
}

bool ay__word(struct ay_slice *rest, struct ay_slice *word)
{
	if (!rest->data)
		return false;
	const uint8_t *space = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
	*word = (struct ay_slice){rest->data, space ? (size_t)(space - rest->data) : rest->len};
	if (space) {
		rest->data += word->len + 1;
		rest->len -= word->len + 1;
	} else {
		*rest = (struct ay_slice){NULL, 0};
	}
	return true;
}

bool ay__word_is(const struct ay_slice *word, const char *s)
{
	return word->len == strlen(s) && memcmp(word->data, s, word->len) == 0;
}

int ay__parse_u64(const void *s, size_t len, uint64_t max, uint64_t *out)
{
	const uint8_t *p = s;
	uint64_t v = 0;

	if (len == 0 || (p[0] == '0' && len > 1))
		return AY_EFORMAT;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return AY_EFORMAT;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(p[i] - '0'), &v))
			return AY_EFORMAT;
	}
	if (v > max)
		return AY_EFORMAT;
	*out = v;
	return 0;
}

/* Length of the UTF-8 sequence at @p and its code point; 0 when it is not valid (RFC 3629 §4). */
static size_t utf8_one(const uint8_t *p, size_t len, uint32_t *cp)
{
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > len)
		return 0;
	*cp = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3fu);
	}
	if ((n == 3 && *cp < 0x800) || (n == 4 && *cp < 0x10000) || *cp > 0x10ffff ||
	    (*cp >= 0xd800 && *cp < 0xe000))
		return 0;
	return n;
}

static int prose_check(const char *s, size_t len, bool newlines)
{
	const uint8_t *p = (const uint8_t *)s;

	while (len > 0) {
		uint32_t cp;
		size_t n = utf8_one(p, len, &cp);
		if (n == 0)
			return AY_EFORMAT;
		bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
		if (control && !(newlines && (cp == '\n' || cp == '\t')))
			return AY_EFORMAT;
		p += n;
		len -= n;
	}
	return 0;
}

int ay__prose_get(const struct ay_slice *value, char *out, size_t size, bool newlines)
{
	struct ay_buf b;

	ay_buf_init(&b, size - 1);
	int r = ay_percent_get(&b, (const char *)value->data, value->len);
	if (!r)
		r = ay_buf_status(&b);
	if (!r)
		r = prose_check((const char *)b.data, b.len, newlines);
	if (!r) {
		if (b.len)
			memcpy(out, b.data, b.len);
		out[b.len] = 0;
	}
	ay_buf_release(&b);
	return r;
}
