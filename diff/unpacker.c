/* SPDX-License-Identifier: MIT */
/* diff/unpacker.c - deflate by our own reader, LZMA2 by liblzma, zstd by libzstd. */
#include "diff/unpacker.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "diff/filter_xz.h"
#include "diff/inflate.h"

int ay__unpacker_peek(struct ay__unpacker *s, const uint8_t **data, size_t *len, struct ay_err *err)
{
	while (s->len == 0 && !s->ended) {
		size_t got = 0;
		int rc = s->more ? s->more(s, &got, err) : 0;

		if (rc)
			return rc;
		if (s->left && got > *s->left)
			return ay_err_set(
				err, AY_EFORMAT,
				"the base unpacks to more bytes on the way than what is seen of it allows");
		if (s->left)
			*s->left -= got;
		s->next = s->buffer;
		s->len = got;
		s->ended = got == 0;
	}
	*data = s->next;
	*len = s->len;
	return 0;
}

void ay__unpacker_take(struct ay__unpacker *s, size_t n)
{
	AY_ASSERT(n <= s->len);
	if (n == 0)
		return; /* nothing in hand yet is no pointer, and has no offset */
	s->next += n;
	s->len -= n;
}

static int view_more(struct ay__unpacker *s, size_t *got, struct ay_err *err)
{
	struct ay__view *v = s->state;
	uint64_t left = v->size - s->at;
	size_t n = left < AY__UNPACKER_BUFFER ? (size_t)left : AY__UNPACKER_BUFFER;
	int rc = n ? ay__view_read(v, s->at, s->buffer, n, err) : 0;

	s->at += n;
	*got = n;
	return rc;
}

void ay__unpacker_open_view(struct ay__unpacker *s, struct ay__view *v)
{
	memset(s, 0, offsetof(struct ay__unpacker, buffer));
	s->more = view_more;
	s->state = v;
}

static int broken(struct ay_err *err, const char *filter, const char *why)
{
	return ay_err_set(err, AY_EBASE, "the base does not unpack as its recipe says (%s: %s)", filter, why);
}

/* ---- deflate ---- */

struct fill {
	struct ay__unpacker *below;
	struct ay_err *err;
	struct ay__inflate s;
};

static int deflate_fill(void *ctx, const uint8_t **data, size_t *len)
{
	struct fill *f = ctx;

	/* What was given is used up when more is asked for. */
	ay__unpacker_take(f->below, f->below->len);
	return ay__unpacker_peek(f->below, data, len, f->err);
}

static int deflate_more(struct ay__unpacker *s, size_t *got, struct ay_err *err)
{
	struct fill *f = s->state;

	if (f->s.state == AY__INFLATE_DONE) {
		*got = 0;
		return 0;
	}
	f->err = err;
	f->s.next = f->below->next;
	/* Nothing in hand yet is no pointer. */
	f->s.end = f->below->len ? f->below->next + f->below->len : f->below->next;
	int rc = ay__inflate_read(&f->s, s->buffer, AY__UNPACKER_BUFFER, got);
	if (rc)
		return rc == AY_EFORMAT && f->s.why ? broken(err, "deflate", f->s.why) : rc;
	ay__unpacker_take(f->below, f->below->len - (size_t)(f->s.end - f->s.next));
	return 0;
}

static int deflate_open(struct ay__unpacker *s)
{
	struct fill *f = malloc(sizeof(*f));

	s->state = f;
	s->close = free;
	s->more = deflate_more;
	if (!f)
		return -ENOMEM;
	f->below = s->below;
	ay__inflate_init(&f->s, deflate_fill, f, NULL);
	return 0;
}

/* ---- LZMA2 ---- */

static int xz_more(struct ay__unpacker *s, size_t *got, struct ay_err *err)
{
	lzma_stream *z = s->state;
	lzma_ret ret = LZMA_OK;

	z->next_out = s->buffer;
	z->avail_out = AY__UNPACKER_BUFFER;
	while (ret == LZMA_OK && z->avail_out == AY__UNPACKER_BUFFER) {
		const uint8_t *in;
		size_t len;
		int rc = ay__unpacker_peek(s->below, &in, &len, err);

		if (rc)
			return rc;
		z->next_in = in;
		z->avail_in = len;
		ret = lzma_code(z, len ? LZMA_RUN : LZMA_FINISH);
		ay__unpacker_take(s->below, len - z->avail_in);
		if (len == 0 && ret == LZMA_OK && z->avail_out == AY__UNPACKER_BUFFER)
			ret = LZMA_BUF_ERROR;
	}
	*got = AY__UNPACKER_BUFFER - z->avail_out;
	if (ret == LZMA_STREAM_END && *got == 0)
		return 0;
	if (ret == LZMA_MEM_ERROR)
		return ay_err_errno(err, ENOMEM, "base");
	if (ret == LZMA_STREAM_END) {
		/* The bytes first; asked again, the stream is at its end. */
		s->more = NULL;
		return 0;
	}
	return ret == LZMA_OK ? 0
			      : broken(err, "lzma2",
				       ret == LZMA_BUF_ERROR ? "it ends early" : "the stream is damaged");
}

static void xz_close(void *state)
{
	lzma_end(state);
	free(state);
}

static int xz_open(struct ay__unpacker *s, const struct ay__xz_params *p)
{
	static const lzma_stream init = LZMA_STREAM_INIT;
	struct ay__xz_chain chain;
	lzma_stream *z = malloc(sizeof(*z));

	s->state = z;
	s->close = xz_close;
	s->more = xz_more;
	if (!z)
		return -ENOMEM;
	*z = init;
	ay__xz_chain_make(&chain, p, false);
	return lzma_raw_decoder(z, chain.filters) == LZMA_OK ? 0 : -ENOMEM;
}

/* ---- zstd ---- */

static int zstd_more(struct ay__unpacker *s, size_t *got, struct ay_err *err)
{
	ZSTD_outBuffer out = {.dst = s->buffer, .size = AY__UNPACKER_BUFFER};
	size_t left = 1;

	while (left != 0 && out.pos == 0) {
		const uint8_t *data;
		size_t len;
		int rc = ay__unpacker_peek(s->below, &data, &len, err);

		if (rc)
			return rc;
		ZSTD_inBuffer in = {.src = data, .size = len};
		left = ZSTD_decompressStream(s->state, &out, &in);
		if (ZSTD_isError(left))
			return broken(err, "zstd", ZSTD_getErrorName(left));
		ay__unpacker_take(s->below, in.pos);
		if (len == 0 && out.pos == 0 && left != 0)
			return broken(err, "zstd", "it ends early");
	}
	if (left == 0)
		s->more = NULL;
	*got = out.pos;
	return 0;
}

static void zstd_close(void *state)
{
	ZSTD_freeDStream(state);
}

static int zstd_open(struct ay__unpacker *s, const struct ay__zstd_params *p)
{
	ZSTD_DStream *z = ZSTD_createDStream();

	s->state = z;
	s->close = zstd_close;
	s->more = zstd_more;
	return z && !ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, p->window_log)) ? 0
												 : -ENOMEM;
}

int ay__unpacker_open_filter(struct ay__unpacker *s, struct ay__unpacker *below,
			     const struct ay__filter_params *p, struct ay_err *err)
{
	int rc;

	memset(s, 0, offsetof(struct ay__unpacker, buffer));
	s->below = below;
	rc = p->id == AY__FILTER_DEFLATE ? deflate_open(s)
	     : p->id == AY__FILTER_LZMA2 ? xz_open(s, &p->xz)
					 : zstd_open(s, &p->zstd);
	return rc ? ay_err_errno(err, ENOMEM, "unpack the base") : 0;
}

void ay__unpacker_close(struct ay__unpacker *s)
{
	if (s->close)
		s->close(s->state);
	s->close = NULL;
	s->state = NULL;
}
