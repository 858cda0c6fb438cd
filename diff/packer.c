/* SPDX-License-Identifier: MIT */
/* diff/packer.c - deflate by our own packer, LZMA2 by liblzma, zstd by libzstd. */
#include "diff/packer.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "diff/deflate_pack.h"
#include "diff/filter_xz.h"

#define BUFFER (64u << 10)

/* ---- deflate ---- */

static int deflate_result(struct ay__packer *p, int rc, struct ay_err *err)
{
	if (rc == -ENOMEM)
		return ay_err_errno(err, ENOMEM, "pack again");
	if (rc == AY_EFORMAT && ay__deflate_pack_why(p->state))
		return ay_err_set(err, rc, "filter deflate: %s", ay__deflate_pack_why(p->state));
	return rc;
}

static int deflate_write(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err)
{
	return deflate_result(p, ay__deflate_pack_put(p->state, data, len), err);
}

static int deflate_end(struct ay__packer *p, struct ay_err *err)
{
	return deflate_result(p, ay__deflate_pack_end(p->state), err);
}

static void deflate_close(void *state)
{
	ay__deflate_pack_free(state);
}

/* ---- LZMA2 ---- */

static int xz_run(struct ay__packer *p, const uint8_t *data, size_t len, lzma_action action,
		  struct ay_err *err)
{
	lzma_stream *z = p->state;
	lzma_ret ret = LZMA_OK;

	z->next_in = data;
	z->avail_in = len;
	while (ret == LZMA_OK && (z->avail_in > 0 || action == LZMA_FINISH)) {
		z->next_out = p->buffer;
		z->avail_out = BUFFER;
		ret = lzma_code(z, action);
		if (ret != LZMA_OK && ret != LZMA_STREAM_END)
			break;
		size_t n = BUFFER - z->avail_out;
		int rc = n ? p->put(p->ctx, p->buffer, n) : 0;
		if (rc)
			return rc;
	}
	if (ret == LZMA_OK || ret == LZMA_STREAM_END)
		return 0;
	return ret == LZMA_MEM_ERROR ? ay_err_errno(err, ENOMEM, "pack again")
				     : ay_err_set(err, AY_EFORMAT, "filter lzma2: liblzma says %d", (int)ret);
}

static int xz_write(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err)
{
	return xz_run(p, data, len, LZMA_RUN, err);
}

static int xz_end(struct ay__packer *p, struct ay_err *err)
{
	return xz_run(p, NULL, 0, LZMA_FINISH, err);
}

static void xz_close(void *state)
{
	lzma_end(state);
	free(state);
}

static int xz_open(struct ay__packer *p, const struct ay__xz_params *params, struct ay_err *err)
{
	static const lzma_stream init = LZMA_STREAM_INIT;
	struct ay__xz_chain chain;
	lzma_stream *z = malloc(sizeof(*z));

	if (!z)
		return ay_err_errno(err, ENOMEM, "pack again");
	*z = init;
	p->state = z;
	p->close = xz_close;
	p->write = xz_write;
	p->end = xz_end;
	ay__xz_chain_make(&chain, params, true);
	lzma_ret ret = lzma_raw_encoder(z, chain.filters);
	if (ret == LZMA_OK)
		return 0;
	return ret == LZMA_MEM_ERROR ? ay_err_errno(err, ENOMEM, "pack again")
				     : ay_err_set(err, AY_EUNSUPPORTED,
						  "filter lzma2: liblzma does not take the parameters");
}

/* ---- zstd ---- */

static int zstd_run(struct ay__packer *p, const uint8_t *data, size_t len, ZSTD_EndDirective end,
		    struct ay_err *err)
{
	ZSTD_inBuffer in = {.src = data, .size = len};
	size_t left = 1;

	while (end == ZSTD_e_end ? left != 0 : in.pos < in.size) {
		ZSTD_outBuffer out = {.dst = p->buffer, .size = BUFFER};

		left = ZSTD_compressStream2(p->state, &out, &in, end);
		if (ZSTD_isError(left))
			return ay_err_set(err, AY_EFORMAT, "filter zstd: %s", ZSTD_getErrorName(left));
		int rc = out.pos ? p->put(p->ctx, p->buffer, out.pos) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static int zstd_write(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err)
{
	return zstd_run(p, data, len, ZSTD_e_continue, err);
}

static int zstd_end(struct ay__packer *p, struct ay_err *err)
{
	return zstd_run(p, NULL, 0, ZSTD_e_end, err);
}

static void zstd_close(void *state)
{
	ZSTD_freeCCtx(state);
}

static int zstd_open(struct ay__packer *p, const struct ay__zstd_params *z, struct ay_err *err)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t rc;

	if (!c)
		return ay_err_errno(err, ENOMEM, "pack again");
	p->state = c;
	p->close = zstd_close;
	p->write = zstd_write;
	p->end = zstd_end;
	rc = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, z->level);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, z->checksum);
	if (!ZSTD_isError(rc) && z->long_)
		rc = ZSTD_CCtx_setParameter(c, ZSTD_c_enableLongDistanceMatching, 1);
	if (!ZSTD_isError(rc) && z->window_set)
		rc = ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, z->window_log);
	if (!ZSTD_isError(rc) && z->worker)
		rc = ZSTD_CCtx_setParameter(c, ZSTD_c_nbWorkers, 1);
	if (!ZSTD_isError(rc) && z->sized)
		rc = ZSTD_CCtx_setPledgedSrcSize(c, z->size);
	return ZSTD_isError(rc) ? ay_err_set(err, AY_EFORMAT, "filter zstd: %s", ZSTD_getErrorName(rc)) : 0;
}

int ay__packer_open(struct ay__packer *p, const struct ay__filter_params *params, ay__put_fn *put, void *ctx,
		    struct ay_err *err)
{
	*p = (struct ay__packer){.put = put, .ctx = ctx};
	if (params->id == AY__FILTER_DEFLATE) {
		p->state = ay__deflate_pack_new(&params->deflate, params->corrections, put, ctx);
		p->close = deflate_close;
		p->write = deflate_write;
		p->end = deflate_end;
		return p->state ? 0 : ay_err_errno(err, ENOMEM, "pack again");
	}
	p->buffer = malloc(BUFFER);
	if (!p->buffer)
		return ay_err_errno(err, ENOMEM, "pack again");
	return params->id == AY__FILTER_LZMA2 ? xz_open(p, &params->xz, err)
					      : zstd_open(p, &params->zstd, err);
}

int ay__packer_write(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err)
{
	return p->write(p, data, len, err);
}

int ay__packer_end(struct ay__packer *p, struct ay_err *err)
{
	return p->end(p, err);
}

void ay__packer_close(struct ay__packer *p)
{
	if (p->close && p->state)
		p->close(p->state);
	free(p->buffer);
	*p = (struct ay__packer){0};
}
