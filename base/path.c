/* SPDX-License-Identifier: MIT */
/*
 * Paths are bytes, not text: no locale, no normalisation, no case. Each of these
 * functions is total over arbitrary bytes, because the bytes come from strangers.
 */
#include "base/path.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define BRANCH_LEN_MAX 64 /* as one file name, every byte encoded, it is still below 255 */

/* '/' sorts below every other byte, NUL too, so that the order is total. */
static int rank(char c)
{
	return c == '/' ? 0 : 1 + (unsigned char)c;
}

int ay_path_cmp(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	for (size_t i = 0; i < n; i++) {
		if (a[i] != b[i])
			return rank(a[i]) - rank(b[i]);
	}
	return (alen > blen) - (alen < blen);
}

/* Does @p consist of components of 1 to AY_NAME_LEN_MAX bytes, neither "." nor "..", between slashes? */
static bool components_ok(const char *p, size_t len)
{
	for (size_t start = 0; start <= len;) {
		const char *slash = start < len ? memchr(p + start, '/', len - start) : NULL;
		size_t n = (slash ? (size_t)(slash - p) : len) - start;
		const char *name = p + start;
		if (n == 0 || n > AY_NAME_LEN_MAX)
			return false;
		if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')))
			return false;
		start += n + 1;
	}
	return true;
}

int ay_path_check(const char *p, size_t len)
{
	if (len < 1 || len > AY_PATH_MAX || p[0] != '/' || memchr(p, '\0', len))
		return AY_EFORMAT;
	return len == 1 || components_ok(p + 1, len - 1) ? 0 : AY_EFORMAT;
}

size_t ay_path_parent_len(const char *p, size_t len)
{
	if (len <= 1)
		return 0;
	while (len > 1 && p[len - 1] != '/')
		len--;
	return len > 1 ? len - 1 : 1;
}

static bool plain(unsigned char c)
{
	return c >= 0x21 && c <= 0x7e && c != '%';
}

static void put_byte(struct ay_buf *out, unsigned char c, bool encode)
{
	static const char digits[] = "0123456789ABCDEF";
	const char text[3] = {'%', digits[c >> 4], digits[c & 15]};

	if (encode)
		ay_put_bytes(out, text, sizeof(text));
	else
		ay_put_u8(out, c);
}

void ay_percent_put(struct ay_buf *out, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++)
		put_byte(out, p[i], !plain(p[i]));
}

static int upper_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte at @text[*@at], which moves on; @encoded says in which form it stood. Negative if in neither. */
static int take_byte(const char *text, size_t len, size_t *at, bool *encoded)
{
	unsigned char c = (unsigned char)text[*at];

	*encoded = c == '%';
	if (!*encoded) {
		*at += 1;
		return plain(c) ? c : AY_EFORMAT;
	}
	if (len - *at < 3)
		return AY_EFORMAT;
	int high = upper_hex_value(text[*at + 1]), low = upper_hex_value(text[*at + 2]);
	if (high < 0 || low < 0)
		return AY_EFORMAT;
	*at += 3;
	return high << 4 | low;
}

int ay_percent_get(struct ay_buf *out, const char *text, size_t len)
{
	size_t before = out->len;

	for (size_t at = 0; at < len;) {
		bool encoded;
		int c = take_byte(text, len, &at, &encoded);
		if (c < 0 || encoded == plain((unsigned char)c)) {
			out->len = before;
			return AY_EFORMAT;
		}
		ay_put_u8(out, (uint8_t)c);
	}
	return ay_buf_status(out);
}

/* Must the byte @c at the start (@first) or inside of a branch's file name be encoded? */
static bool plain_in_name(unsigned char c, bool first)
{
	return plain(c) && c != '/' && !(first && c == '.');
}

int ay_percent_name(struct ay_buf *out, const char *name)
{
	if (!name[0])
		return AY_EFORMAT;
	for (const char *p = name; *p; p++)
		put_byte(out, (unsigned char)*p, !plain_in_name((unsigned char)*p, p == name));
	ay_buf_cstr(out);
	return ay_buf_status(out);
}

int ay_percent_unname(struct ay_buf *out, const char *file_name)
{
	size_t len = strlen(file_name), before = out->len;

	if (len == 0)
		return AY_EFORMAT;
	for (size_t at = 0; at < len;) {
		bool encoded, first = at == 0;
		int c = take_byte(file_name, len, &at, &encoded);
		if (c <= 0 || encoded == plain_in_name((unsigned char)c, first)) {
			out->len = before;
			return AY_EFORMAT;
		}
		ay_put_u8(out, (uint8_t)c);
	}
	ay_buf_cstr(out);
	return ay_buf_status(out);
}

static bool branch_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
	       c == '/';
}

int ay_branch_check(const char *name, size_t len)
{
	if (len < 1 || len > BRANCH_LEN_MAX)
		return AY_EFORMAT;
	for (size_t i = 0; i < len; i++) {
		if (!branch_byte(name[i]))
			return AY_EFORMAT;
	}
	return components_ok(name, len) ? 0 : AY_EFORMAT;
}
