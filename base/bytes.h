/* SPDX-License-Identifier: MIT */
/*
 * base/bytes.h - reading and writing binary formats.
 *
 * A cursor reads little-endian fields from borrowed bytes and never reads past
 * the end: the first short read makes it fail for good, later reads give zeros,
 * and one check at the end of a section is enough (the habit of tarantool's SWIM
 * decoder). A buf grows, owns its bytes and refuses to pass its limit.
 */
#ifndef AYNI_BASE_BYTES_H
#define AYNI_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of bytes that belongs to somebody else. */
struct ay_slice {
	const uint8_t *data;
	size_t len;
};

struct ay_cursor {
	const uint8_t *start, *pos, *end;
	bool failed; /* a read went past the end */
};

/** ay_cursor_init() - read @len bytes at @data, borrowed for the cursor's life. */
void ay_cursor_init(struct ay_cursor *c, const void *data, size_t len);

uint8_t ay_get_u8(struct ay_cursor *c);
uint16_t ay_get_u16(struct ay_cursor *c);
uint32_t ay_get_u32(struct ay_cursor *c);
uint64_t ay_get_u64(struct ay_cursor *c);

/** ay_get_varint() - unsigned LEB128, at most 10 bytes, shortest form only (else the cursor fails). */
uint64_t ay_get_varint(struct ay_cursor *c);

/** ay_get_bytes() - @len bytes, borrowed; NULL and failed when there are fewer. */
const uint8_t *ay_get_bytes(struct ay_cursor *c, size_t len);

/** ay_get_copy() - copy @len bytes to @dst; zeros when there are fewer. */
void ay_get_copy(struct ay_cursor *c, void *dst, size_t len);

static inline size_t ay_cursor_left(const struct ay_cursor *c)
{
	return (size_t)(c->end - c->pos);
}

static inline size_t ay_cursor_offset(const struct ay_cursor *c)
{
	return (size_t)(c->pos - c->start);
}

/** ay_cursor_done() - true when nothing failed and every byte was read. */
static inline bool ay_cursor_done(const struct ay_cursor *c)
{
	return !c->failed && c->pos == c->end;
}

/* Growing bytes. Zero-initialised is an empty buf without limit; release with ay_buf_release(). */
struct ay_buf {
	uint8_t *data;
	size_t len, cap;
	size_t limit; /* 0: none. An append that would pass it fails. */
	bool failed;  /* out of memory or over the limit; sticky, checked once at the end */
	int why;      /* which of the two; read it with ay_buf_status() */
};

void ay_buf_init(struct ay_buf *b, size_t limit);
void ay_buf_release(struct ay_buf *b);
/** ay_buf_reset() - length 0, failed cleared, memory kept. */
void ay_buf_reset(struct ay_buf *b);

/**
 * ay_buf_reserve() - room for @more bytes behind the end.
 *
 * Return: pointer to the room (then add to b->len), or NULL with @b->failed set.
 */
uint8_t *ay_buf_reserve(struct ay_buf *b, size_t more);

void ay_put_u8(struct ay_buf *b, uint8_t v);
void ay_put_u16(struct ay_buf *b, uint16_t v);
void ay_put_u32(struct ay_buf *b, uint32_t v);
void ay_put_u64(struct ay_buf *b, uint64_t v);
void ay_put_varint(struct ay_buf *b, uint64_t v);
void ay_put_bytes(struct ay_buf *b, const void *data, size_t len);
void ay_put_str(struct ay_buf *b, const char *s); /* without the NUL */
void ay_put_fmt(struct ay_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** ay_buf_cstr() - the bytes with a NUL behind them (not counted in len), or NULL when failed. */
const char *ay_buf_cstr(struct ay_buf *b);

/** ay_buf_status() - 0, -ENOMEM or AY_ELIMIT (of the first failure). */
int ay_buf_status(const struct ay_buf *b);

/** ay_zigzag()/ay_unzigzag() - signed to unsigned so that small magnitudes are small varints. */
static inline uint64_t ay_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t ay_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/** ay_get_le32(), ay_get_le64() - little-endian fields at a pointer, for code that has checked the bounds. */
static inline uint32_t ay_get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t ay_get_le64(const uint8_t *p)
{
	return (uint64_t)ay_get_le32(p) | (uint64_t)ay_get_le32(p + 4) << 32;
}

#endif
