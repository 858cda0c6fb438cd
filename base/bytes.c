/* SPDX-License-Identifier: MIT */
/*
 * Binary formats, read and written.
 *
 * A failed cursor is cut off where it failed: nothing is left in it, so a loop
 * "while bytes are left" ends, and its offset tells where the mistake was. A
 * failed buf keeps what it has and takes no more; which failure it was is kept
 * beside the flag, so that one check at the end can say it.
 */
#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define VARINT_LEN_MAX 10 /* 64 bits in sevens */
#define BUF_FIRST      64

void ay_cursor_init(struct ay_cursor *c, const void *data, size_t len)
{
	static const uint8_t nothing[1];

	c->start = c->pos = data ? data : nothing;
	c->end = c->start + (data ? len : 0);
	c->failed = false;
}

static void cursor_fail(struct ay_cursor *c)
{
	c->end = c->pos;
	c->failed = true;
}

const uint8_t *ay_get_bytes(struct ay_cursor *c, size_t len)
{
	if (c->failed)
		return NULL;
	if (len > ay_cursor_left(c)) {
		cursor_fail(c);
		return NULL;
	}
	const uint8_t *p = c->pos;
	c->pos += len;
	return p;
}

void ay_get_copy(struct ay_cursor *c, void *dst, size_t len)
{
	if (len == 0)
		return;
	const uint8_t *p = ay_get_bytes(c, len);
	if (p)
		memcpy(dst, p, len);
	else
		memset(dst, 0, len);
}

uint8_t ay_get_u8(struct ay_cursor *c)
{
	const uint8_t *p = ay_get_bytes(c, 1);
	return p ? p[0] : 0;
}

uint16_t ay_get_u16(struct ay_cursor *c)
{
	const uint8_t *p = ay_get_bytes(c, 2);
	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t ay_get_u32(struct ay_cursor *c)
{
	const uint8_t *p = ay_get_bytes(c, 4);
	return p ? ay_get_le32(p) : 0;
}

uint64_t ay_get_u64(struct ay_cursor *c)
{
	const uint8_t *p = ay_get_bytes(c, 8);
	return p ? ay_get_le64(p) : 0;
}

uint64_t ay_get_varint(struct ay_cursor *c)
{
	uint64_t v = 0;

	if (c->failed)
		return 0;
	for (unsigned i = 0; i < VARINT_LEN_MAX && i < ay_cursor_left(c); i++) {
		uint8_t byte = c->pos[i];
		if (i == VARINT_LEN_MAX - 1 && byte > 1)
			break; /* more than 64 bits */
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		if (i > 0 && byte == 0)
			break; /* not the shortest form */
		c->pos += i + 1;
		return v;
	}
	cursor_fail(c);
	return 0;
}

void ay_buf_init(struct ay_buf *b, size_t limit)
{
	*b = (struct ay_buf){.limit = limit};
}

void ay_buf_release(struct ay_buf *b)
{
	free(b->data);
	ay_buf_init(b, b->limit);
}

void ay_buf_reset(struct ay_buf *b)
{
	b->len = 0;
	b->failed = false;
	b->why = 0;
}

static void *buf_fail(struct ay_buf *b, int why)
{
	b->failed = true;
	b->why = why;
	return NULL;
}

/* Room for @more bytes without regard to the limit. */
static uint8_t *buf_room(struct ay_buf *b, size_t more)
{
	if (more > SIZE_MAX - b->len)
		return buf_fail(b, -ENOMEM);
	size_t need = b->len + more;
	if (need > b->cap || !b->data) {
		size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		/* A buf with a limit never holds more memory than that and the NUL of ay_buf_cstr(). */
		if (b->limit && cap > b->limit && b->limit < SIZE_MAX)
			cap = need > b->limit + 1 ? need : b->limit + 1;
		uint8_t *data = realloc(b->data, cap);
		if (!data)
			return buf_fail(b, -ENOMEM);
		b->data = data;
		b->cap = cap;
	}
	return b->data + b->len;
}

uint8_t *ay_buf_reserve(struct ay_buf *b, size_t more)
{
	if (b->failed)
		return NULL;
	if (b->limit && (b->len > b->limit || more > b->limit - b->len))
		return buf_fail(b, AY_ELIMIT);
	return buf_room(b, more);
}

void ay_put_bytes(struct ay_buf *b, const void *data, size_t len)
{
	uint8_t *p = ay_buf_reserve(b, len);
	if (p && len > 0) {
		memcpy(p, data, len);
		b->len += len;
	}
}

static void put_le(struct ay_buf *b, uint64_t v, unsigned len)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	ay_put_bytes(b, bytes, len);
}

void ay_put_u8(struct ay_buf *b, uint8_t v)
{
	put_le(b, v, 1);
}

void ay_put_u16(struct ay_buf *b, uint16_t v)
{
	put_le(b, v, 2);
}

void ay_put_u32(struct ay_buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void ay_put_u64(struct ay_buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void ay_put_varint(struct ay_buf *b, uint64_t v)
{
	uint8_t bytes[VARINT_LEN_MAX];
	unsigned n = 0;
	for (; v > 0x7f; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	ay_put_bytes(b, bytes, n);
}

void ay_put_str(struct ay_buf *b, const char *s)
{
	ay_put_bytes(b, s, strlen(s));
}

void ay_put_fmt(struct ay_buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;

	if (b->failed)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	AY_ASSERT(n >= 0);
	size_t len = (size_t)n;
	if (len < sizeof(small)) {
		ay_put_bytes(b, small, len);
		return;
	}
	/* vsnprintf writes a NUL, which the limit does not count: ask for it behind the limit's back. */
	if (!ay_buf_reserve(b, len))
		return;
	uint8_t *p = buf_room(b, len + 1);
	if (!p)
		return;
	va_start(ap, fmt);
	vsnprintf((char *)p, len + 1, fmt, ap);
	va_end(ap);
	b->len += len;
}

const char *ay_buf_cstr(struct ay_buf *b)
{
	if (b->failed)
		return NULL;
	uint8_t *end = buf_room(b, 1);
	if (!end)
		return NULL;
	*end = 0;
	return (const char *)b->data;
}

int ay_buf_status(const struct ay_buf *b)
{
	return b->failed ? b->why : 0;
}
