/* SPDX-License-Identifier: MIT */
/*
 * What a branch remembers, as text: fixed lines in fixed order, read strictly,
 * because a floor that cannot be read must be an error and never a zero.
 */
#include <inttypes.h>
#include <string.h>

#include "base/path.h"
#include "store/state_internal.h"

#define BRANCH_MAGIC "ayni-branch-state 1\n"

/* ---- pieces ---- */

void ay__hex_put(struct ay_buf *out, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		ay_put_u8(out, (uint8_t)digits[data[i] >> 4]);
		ay_put_u8(out, (uint8_t)digits[data[i] & 15]);
	}
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool ay__hex_get(const char *text, size_t text_len, uint8_t *out, size_t len)
{
	if (text_len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool ay__u32_get(const char *text, size_t len, uint32_t *out)
{
	uint64_t v = 0;

	if (len < 1 || len > 10 || (len > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*out = (uint32_t)v;
	return v <= UINT32_MAX;
}

/* ---- the file ---- */

void ay__branch_state_write(const struct ay_branch_state *b, struct ay_buf *out)
{
	ay_put_fmt(out,
		   BRANCH_MAGIC "branch: %s\nfollow: %d\nfloor: %" PRIu32 "\nbad-serial: %" PRIu32 "\nhead: ",
		   b->branch, b->follow ? 1 : 0, b->floor, b->bad_serial);
	if (b->has_head)
		ay__hex_put(out, b->head, sizeof(b->head));
	else
		ay_put_str(out, "-");
	ay_put_str(out, "\n");
}

/* The value of the line "KEY: VALUE\n" at *@p, which moves behind it. */
static bool take_line(const char **p, const char *end, const char *key, const char **value, size_t *len)
{
	size_t key_len = strlen(key);
	const char *newline = memchr(*p, '\n', (size_t)(end - *p));

	if (!newline || (size_t)(newline - *p) < key_len + 2 || memcmp(*p, key, key_len) != 0 ||
	    memcmp(*p + key_len, ": ", 2) != 0)
		return false;
	*value = *p + key_len + 2;
	*len = (size_t)(newline - *value);
	*p = newline + 1;
	return true;
}

bool ay__branch_state_parse(const char *text, size_t text_len, struct ay_branch_state *b)
{
	const char *p = text, *end = text + text_len, *v;
	size_t len, magic = strlen(BRANCH_MAGIC);
	uint32_t follow;

	*b = (struct ay_branch_state){0};
	if (text_len < magic || memcmp(p, BRANCH_MAGIC, magic) != 0)
		return false;
	p += magic;
	if (!take_line(&p, end, "branch", &v, &len) || ay_branch_check(v, len) < 0)
		return false;
	memcpy(b->branch, v, len);
	if (!take_line(&p, end, "follow", &v, &len) || !ay__u32_get(v, len, &follow) || follow > 1)
		return false;
	b->follow = follow == 1;
	if (!take_line(&p, end, "floor", &v, &len) || !ay__u32_get(v, len, &b->floor) ||
	    !take_line(&p, end, "bad-serial", &v, &len) || !ay__u32_get(v, len, &b->bad_serial) ||
	    !take_line(&p, end, "head", &v, &len))
		return false;
	b->has_head = !(len == 1 && v[0] == '-');
	if (b->has_head && !ay__hex_get(v, len, b->head, sizeof(b->head)))
		return false;
	return p == end;
}
