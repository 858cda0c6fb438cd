/* SPDX-License-Identifier: MIT */
/*
 * What a branch remembers, as text: fixed lines in fixed order, read strictly,
 * because a floor that cannot be read must be an error and never a zero.
 */
#include <inttypes.h>
#include <string.h>

#include "base/path.h"
#include "store/state_internal.h"

#define MAGIC_1 "ayni-branch-state 1\n"
#define MAGIC_2 "ayni-branch-state 2\n"

/* ---- hexadecimal, numbers ---- */

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

/* ---- the lines ---- */

static void put_pins(struct ay_buf *out, const char *key, const struct ay_pins *pins)
{
	ay_put_fmt(out, "%s:", key);
	for (unsigned i = 0; i < pins->n; i++)
		ay_put_fmt(out, " %" PRIu32, pins->serial[i]);
	ay_put_str(out, pins->n ? "\n" : " -\n");
}

void ay__branch_state_write(const struct ay_branch_state *b, struct ay_buf *out)
{
	ay_put_fmt(out, MAGIC_2 "branch: %s\nfollow: %d\nfloor: %" PRIu32 "\nbad-serial: %" PRIu32 "\nhead: ",
		   b->branch, b->follow ? 1 : 0, b->floor, b->bad_serial);
	if (b->has_head)
		ay__hex_put(out, b->head, sizeof(b->head));
	else
		ay_put_str(out, "-");
	ay_put_fmt(out,
		   "\npending: %" PRIu32 "\nunconfirmed: %" PRIu32 "\ntries: %" PRIu32 "\ngood: %" PRIu32
		   "\nbefore: %" PRIu32 "\n",
		   b->pending, b->unconfirmed, b->tries, b->good, b->before);
	put_pins(out, "pinned", &b->pinned);
	put_pins(out, "kept", &b->kept);
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

static bool take_u32(const char **p, const char *end, const char *key, uint32_t *out)
{
	const char *v;
	size_t len;

	return take_line(p, end, key, &v, &len) && ay__u32_get(v, len, out);
}

static bool take_pins(const char **p, const char *end, const char *key, struct ay_pins *pins)
{
	const char *v;
	size_t len;

	if (!take_line(p, end, key, &v, &len))
		return false;
	if (len == 1 && v[0] == '-')
		return true;
	for (const char *stop = v + len; v <= stop;) {
		const char *space = memchr(v, ' ', (size_t)(stop - v));
		uint32_t serial, last = pins->n ? pins->serial[pins->n - 1] : 0;
		if (pins->n == AY_PINS_MAX ||
		    !ay__u32_get(v, (size_t)((space ? space : stop) - v), &serial) || serial <= last)
			return false;
		pins->serial[pins->n++] = serial;
		v = space ? space + 1 : stop + 1;
	}
	return true;
}

/* What both versions have. */
static bool parse_first(const char **p, const char *end, struct ay_branch_state *b)
{
	const char *v;
	size_t len;
	uint32_t follow;

	if (!take_line(p, end, "branch", &v, &len) || ay_branch_check(v, len) < 0)
		return false;
	memcpy(b->branch, v, len);
	if (!take_u32(p, end, "follow", &follow) || follow > 1)
		return false;
	b->follow = follow == 1;
	if (!take_u32(p, end, "floor", &b->floor) || !take_u32(p, end, "bad-serial", &b->bad_serial) ||
	    !take_line(p, end, "head", &v, &len))
		return false;
	b->has_head = !(len == 1 && v[0] == '-');
	return !b->has_head || ay__hex_get(v, len, b->head, sizeof(b->head));
}

bool ay__branch_state_parse(const char *text, size_t text_len, struct ay_branch_state *b)
{
	const char *p = text, *end = p + text_len;
	const size_t magic = sizeof(MAGIC_1) - 1;

	*b = (struct ay_branch_state){0};
	if (text_len < magic)
		return false;
	bool first = memcmp(p, MAGIC_1, magic) == 0;
	if (!first && memcmp(p, MAGIC_2, magic) != 0)
		return false;
	p += magic;
	if (!parse_first(&p, end, b))
		return false;
	if (!first &&
	    (!take_u32(&p, end, "pending", &b->pending) ||
	     !take_u32(&p, end, "unconfirmed", &b->unconfirmed) || !take_u32(&p, end, "tries", &b->tries) ||
	     !take_u32(&p, end, "good", &b->good) || !take_u32(&p, end, "before", &b->before) ||
	     !take_pins(&p, end, "pinned", &b->pinned) || !take_pins(&p, end, "kept", &b->kept)))
		return false;
	return p == end;
}
