/* SPDX-License-Identifier: MIT */
/*
 * manifest/entry.c - one line of a manifest: encode, decode, compare, order.
 *
 * The rules of what an entry may be stand in check_entry() and serve both
 * directions; the decoder adds only syntax. So what we write we also read, and
 * what we read encodes to the same bytes.
 */
#include "manifest/entry.h"

#include <limits.h>
#include <string.h>

#include "manifest/text.h"

#define XATTR_NAME_MAX_ 255              /* Linux' XATTR_NAME_MAX */
#define ID_MAX          (UINT32_MAX - 1) /* 2^32-1 means "leave as it is" to chown(2) */

static int bad(struct ay_err *err, const char *what)
{
	return ay_err_set(err, AY_EFORMAT, "%s", what);
}

static int check_xattrs(const struct ay_entry *e, struct ay_err *err)
{
	size_t total = 0;

	if (e->n_xattrs > AY_XATTR_COUNT_MAX)
		return ay_err_set(err, AY_ELIMIT, "more than %d extended attributes", AY_XATTR_COUNT_MAX);
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *x = &e->xattrs[i];
		size_t name_len = strlen(x->name);
		if (name_len == 0 || name_len > XATTR_NAME_MAX_)
			return bad(err, "name of an extended attribute is empty or longer than 255 bytes");
		if (i > 0 && strcmp(e->xattrs[i - 1].name, x->name) >= 0)
			return bad(err, "extended attributes are not sorted by name, or one comes twice");
		if (x->value_len > AY_XATTRS_MAX - total)
			return ay_err_set(err, AY_ELIMIT, "more than %d bytes of extended attributes",
					  AY_XATTRS_MAX);
		total += x->value_len;
	}
	return 0;
}

/* What an entry may be, whichever way it goes. */
static int check_entry(const struct ay_entry *e, struct ay_err *err)
{
	if (e->mode > 07777)
		return bad(err, "mode has bits outside 07777");
	if (e->uid > ID_MAX || e->gid > ID_MAX)
		return bad(err, "uid or gid above 2^32-2");
	if (e->mtime_ns > 999999999)
		return bad(err, "nanoseconds above 999999999");
	if (ay_path_check(e->path, e->path_len))
		return bad(err, "not a legal path inside a tree");
	switch (e->type) {
	case AY_ENTRY_FILE:
		if (e->size > INT64_MAX)
			return bad(err, "file size above 2^63-1");
		break;
	case AY_ENTRY_SYMLINK:
		if (e->mode != 0777)
			return bad(err, "a symbolic link's mode is always 0777");
		if (e->target_len == 0 || e->target_len > AY_PATH_MAX || memchr(e->target, 0, e->target_len))
			return bad(err, "link target is empty, longer than 4095 bytes, or has a NUL byte");
		break;
	case AY_ENTRY_DIR:
	case AY_ENTRY_CHAR:
	case AY_ENTRY_BLOCK:
	case AY_ENTRY_FIFO:
		break;
	default:
		return bad(err, "unknown type of entry");
	}
	return check_xattrs(e, err);
}

static void put_hex(struct ay_buf *out, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *p = ay_buf_reserve(out, 2 * len);

	if (!p)
		return;
	for (size_t i = 0; i < len; i++) {
		p[2 * i] = (uint8_t)digits[data[i] >> 4];
		p[2 * i + 1] = (uint8_t)digits[data[i] & 15];
	}
	out->len += 2 * len;
}

int ay_entry_encode(struct ay_buf *out, const struct ay_entry *e, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	int r = check_entry(e, err);

	if (r)
		return r;
	ay_put_fmt(out, "%c %04o %u %u %lld.%09u ", (char)e->type, e->mode, e->uid, e->gid,
		   (long long)e->mtime_s, e->mtime_ns);
	switch (e->type) {
	case AY_ENTRY_FILE:
		ay_put_fmt(out, "%llu %s ", (unsigned long long)e->size, ay_digest_hex(&e->digest, hex));
		break;
	case AY_ENTRY_SYMLINK:
		ay_percent_put(out, e->target, e->target_len);
		ay_put_u8(out, ' ');
		break;
	case AY_ENTRY_CHAR:
	case AY_ENTRY_BLOCK:
		ay_put_fmt(out, "%u:%u ", e->dev_major, e->dev_minor);
		break;
	default:
		break;
	}
	ay_percent_put(out, e->path, e->path_len);
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *x = &e->xattrs[i];
		ay_put_u8(out, ' ');
		ay_percent_put(out, x->name, strlen(x->name));
		ay_put_u8(out, '=');
		put_hex(out, x->value, x->value_len);
	}
	ay_put_u8(out, '\n');
	return ay_buf_status(out);
}

static bool same_bytes(const void *a, size_t alen, const void *b, size_t blen)
{
	return alen == blen && (alen == 0 || memcmp(a, b, alen) == 0);
}

bool ay_entry_same(const struct ay_entry *a, const struct ay_entry *b)
{
	if (a->type != b->type || a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
	    a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns || a->n_xattrs != b->n_xattrs ||
	    !same_bytes(a->path, a->path_len, b->path, b->path_len))
		return false;
	if (a->type == AY_ENTRY_FILE && (a->size != b->size || !ay_digest_eq(&a->digest, &b->digest)))
		return false;
	if (a->type == AY_ENTRY_SYMLINK && !same_bytes(a->target, a->target_len, b->target, b->target_len))
		return false;
	if ((a->type == AY_ENTRY_CHAR || a->type == AY_ENTRY_BLOCK) &&
	    (a->dev_major != b->dev_major || a->dev_minor != b->dev_minor))
		return false;
	for (size_t i = 0; i < a->n_xattrs; i++) {
		const struct ay_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];
		if (strcmp(x->name, y->name) || !same_bytes(x->value, x->value_len, y->value, y->value_len))
			return false;
	}
	return true;
}

void ay__entry_store_init(struct ay__entry_store *st)
{
	memset(st, 0, sizeof(*st));
	ay_buf_init(&st->path, AY_PATH_MAX + 1);
	ay_buf_init(&st->target, AY_PATH_MAX + 1);
	ay_buf_init(&st->xattr_bytes, AY_XATTRS_MAX + AY_XATTR_COUNT_MAX * (XATTR_NAME_MAX_ + 1));
}

void ay__entry_store_release(struct ay__entry_store *st)
{
	ay_buf_release(&st->path);
	ay_buf_release(&st->target);
	ay_buf_release(&st->xattr_bytes);
}

/* Decode into an emptied @b and end it with a NUL. */
static int decode_text(struct ay_buf *b, const uint8_t *text, size_t len, const char *what,
		       struct ay_err *err)
{
	ay_buf_reset(b);
	int r = ay_percent_get(b, (const char *)text, len);
	if (!r && !ay_buf_cstr(b))
		r = ay_buf_status(b);
	if (r)
		return ay_err_set(err, r, "%s: not percent-encoded as it must be, or too long", what);
	return 0;
}

int ay__path_decode(struct ay__entry_store *st, const uint8_t *text, size_t len, struct ay_err *err)
{
	int r = decode_text(&st->path, text, len, "path", err);

	if (!r && ay_path_check((const char *)st->path.data, st->path.len))
		return bad(err, "not a legal path inside a tree");
	return r;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NAME=HEX: the name may hold '=' itself, the value never does, so the last one divides. */
static int decode_xattr(struct ay__entry_store *st, const struct ay_slice *word, size_t *name_at,
			size_t *value_at, size_t *value_len, struct ay_err *err)
{
	struct ay_buf *b = &st->xattr_bytes;
	const uint8_t *eq = word->len ? memrchr(word->data, '=', word->len) : NULL;

	if (!eq)
		return bad(err, "extended attribute is not NAME=HEX");
	*name_at = b->len;
	int r = ay_percent_get(b, (const char *)word->data, (size_t)(eq - word->data));
	if (r)
		return ay_err_set(err, r,
				  "name of an extended attribute is not percent-encoded as it must be");
	if (b->len > *name_at && memchr(b->data + *name_at, 0, b->len - *name_at))
		return bad(err, "name of an extended attribute has a NUL byte");
	ay_put_u8(b, 0);
	const uint8_t *hex = eq + 1;
	size_t hex_len = (size_t)(word->data + word->len - hex);
	if (hex_len % 2)
		return bad(err, "value of an extended attribute has half a byte");
	*value_at = b->len;
	*value_len = hex_len / 2;
	uint8_t *p = ay_buf_reserve(b, *value_len);
	if (!p)
		return ay_err_set(err, ay_buf_status(b), "extended attributes are larger than %d bytes",
				  AY_XATTRS_MAX);
	for (size_t i = 0; i < *value_len; i++) {
		int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return bad(err, "value of an extended attribute is not lower-case hex");
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	b->len += *value_len;
	return 0;
}

static int decode_xattrs(struct ay__entry_store *st, struct ay_slice *rest, struct ay_entry *e,
			 struct ay_err *err)
{
	size_t name_at[AY_XATTR_COUNT_MAX], value_at[AY_XATTR_COUNT_MAX], value_len[AY_XATTR_COUNT_MAX];
	struct ay_slice word;
	size_t n = 0;

	ay_buf_reset(&st->xattr_bytes);
	while (ay__word(rest, &word)) {
		if (n == AY_XATTR_COUNT_MAX)
			return ay_err_set(err, AY_ELIMIT, "more than %d extended attributes",
					  AY_XATTR_COUNT_MAX);
		int r = decode_xattr(st, &word, &name_at[n], &value_at[n], &value_len[n], err);
		if (r)
			return r;
		n++;
	}
	if (n && ay_buf_status(&st->xattr_bytes))
		return ay_err_set(err, ay_buf_status(&st->xattr_bytes), "extended attributes too large");
	for (size_t i = 0; i < n; i++)
		st->xattrs[i] = (struct ay_xattr){.name = (const char *)st->xattr_bytes.data + name_at[i],
						  .value = st->xattr_bytes.data + value_at[i],
						  .value_len = value_len[i]};
	e->xattrs = st->xattrs;
	e->n_xattrs = n;
	return 0;
}

static int decode_mode(const struct ay_slice *w, uint16_t *mode)
{
	unsigned v = 0;

	if (w->len != 4)
		return AY_EFORMAT;
	for (size_t i = 0; i < 4; i++) {
		if (w->data[i] < '0' || w->data[i] > '7')
			return AY_EFORMAT;
		v = v << 3 | (unsigned)(w->data[i] - '0');
	}
	*mode = (uint16_t)v;
	return 0;
}

/* [-]SECONDS.NNNNNNNNN; time is seconds plus nanoseconds, so half a second before 1970 is -1.500000000. */
static int decode_mtime(const struct ay_slice *w, int64_t *s, uint32_t *ns)
{
	const uint8_t *dot = w->len ? memchr(w->data, '.', w->len) : NULL;

	if (!dot || w->data + w->len - dot != 10)
		return AY_EFORMAT;
	bool negative = w->data[0] == '-';
	const uint8_t *digits = w->data + negative;
	uint64_t v;
	if (ay__parse_u64(digits, (size_t)(dot - digits), (uint64_t)INT64_MAX + negative, &v) ||
	    (negative && v == 0))
		return AY_EFORMAT;
	*s = negative ? -(int64_t)(v - 1) - 1 : (int64_t)v;
	*ns = 0;
	for (size_t i = 1; i < 10; i++) {
		if (dot[i] < '0' || dot[i] > '9')
			return AY_EFORMAT;
		*ns = *ns * 10 + (uint32_t)(dot[i] - '0');
	}
	return 0;
}

static int decode_u32(const struct ay_slice *w, uint32_t *out)
{
	uint64_t v;
	int r = ay__parse_u64(w->data, w->len, UINT32_MAX, &v);

	if (!r)
		*out = (uint32_t)v;
	return r;
}

static int decode_device(const struct ay_slice *w, struct ay_entry *e)
{
	const uint8_t *colon = w->len ? memchr(w->data, ':', w->len) : NULL;

	if (!colon)
		return AY_EFORMAT;
	struct ay_slice major = {w->data, (size_t)(colon - w->data)};
	struct ay_slice minor = {colon + 1, (size_t)(w->data + w->len - colon - 1)};
	return decode_u32(&major, &e->dev_major) || decode_u32(&minor, &e->dev_minor) ? AY_EFORMAT : 0;
}

/* The fields between mtime and path, which depend on the type. */
static int decode_body(struct ay__entry_store *st, struct ay_slice *rest, struct ay_entry *e,
		       struct ay_err *err)
{
	struct ay_slice w, w2;

	switch (e->type) {
	case AY_ENTRY_FILE:
		if (!ay__word(rest, &w) || ay__parse_u64(w.data, w.len, INT64_MAX, &e->size))
			return bad(err, "file size is not a number below 2^63");
		if (!ay__word(rest, &w2) || ay_digest_parse(&e->digest, (const char *)w2.data, w2.len))
			return bad(err, "digest is not 64 lower-case hex digits");
		return 0;
	case AY_ENTRY_SYMLINK:
		if (!ay__word(rest, &w))
			return bad(err, "no link target");
		int r = decode_text(&st->target, w.data, w.len, "link target", err);
		e->target = (const char *)st->target.data;
		e->target_len = st->target.len;
		return r;
	case AY_ENTRY_CHAR:
	case AY_ENTRY_BLOCK:
		if (!ay__word(rest, &w) || decode_device(&w, e))
			return bad(err, "device is not MAJOR:MINOR");
		return 0;
	case AY_ENTRY_DIR:
	case AY_ENTRY_FIFO:
		return 0;
	}
	return bad(err, "unknown type of entry");
}

int ay__entry_decode(struct ay__entry_store *st, const struct ay_slice *line, struct ay_entry *e,
		     struct ay_err *err)
{
	struct ay_slice rest = *line, w;
	int r;

	memset(e, 0, sizeof(*e));
	if (!ay__word(&rest, &w) || w.len != 1 || !w.data[0] || !strchr("fdlcbp", w.data[0]))
		return bad(err, "unknown type of entry");
	e->type = (enum ay_entry_type)w.data[0];
	if (!ay__word(&rest, &w) || decode_mode(&w, &e->mode))
		return bad(err, "mode is not four octal digits");
	if (!ay__word(&rest, &w) || decode_u32(&w, &e->uid))
		return bad(err, "uid is not a number below 2^32");
	if (!ay__word(&rest, &w) || decode_u32(&w, &e->gid))
		return bad(err, "gid is not a number below 2^32");
	if (!ay__word(&rest, &w) || decode_mtime(&w, &e->mtime_s, &e->mtime_ns))
		return bad(err, "mtime is not SECONDS.NANOSECONDS with nine digits");
	r = decode_body(st, &rest, e, err);
	if (r)
		return r;
	if (!ay__word(&rest, &w))
		return bad(err, "no path");
	r = ay__path_decode(st, w.data, w.len, err);
	if (r)
		return r;
	e->path = (const char *)st->path.data;
	e->path_len = st->path.len;
	r = decode_xattrs(st, &rest, e, err);
	if (r)
		return r;
	return check_entry(e, err);
}

/* Is the path @p[0..@plen) an open directory, given the entry before? */
static bool is_open(const struct ay__order *o, const char *p, size_t plen)
{
	if (o->len < plen || memcmp(o->path, p, plen) != 0)
		return false;
	if (o->len == plen)
		return o->is_dir;
	return plen == 1 || o->path[plen] == '/';
}

int ay__order_step(struct ay__order *o, const struct ay_entry *e, struct ay_err *err)
{
	if (o->len == 0) {
		if (e->path_len != 1 || e->type != AY_ENTRY_DIR)
			return bad(err, "the first entry must be the directory /");
	} else {
		int c = ay_path_cmp(o->path, o->len, e->path, e->path_len);
		if (c == 0)
			return ay_err_set(err, AY_EFORMAT, "path comes twice: %.200s", e->path);
		if (c > 0)
			return ay_err_set(err, AY_EFORMAT, "path out of order: %.200s", e->path);
		if (!is_open(o, e->path, ay_path_parent_len(e->path, e->path_len)))
			return ay_err_set(err, AY_EFORMAT, "no directory above it: %.200s", e->path);
	}
	memcpy(o->path, e->path, e->path_len);
	o->path[e->path_len] = 0;
	o->len = e->path_len;
	o->is_dir = e->type == AY_ENTRY_DIR;
	return 0;
}
