/* SPDX-License-Identifier: MIT */
/*
 * diff/encoders.c - known answers.
 *
 * The content is made, not stored: words that repeat with small numbers between, so that matches near and far, lazy
 * ones and literals all occur. Answers are the beginning of the SHA-256 of what it is packed to, one for each kind of
 * parameters that differ in which part of the encoder they use. Our own encoder is proved by its tests.
 */
#include "diff/encoders.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/prng.h"
#include "diff/packer.h"

#define CONTENT (96u << 10)

struct answer {
	struct ay__filter_params params;
	uint8_t sum[8];
};

static const struct answer answers[] = {
#define XZ(branch_, mode_, finder_, nice_, depth_, ...)                                                      \
	{                                                                                                    \
		.params = {.id = AY__FILTER_LZMA2,                                                           \
			   .xz = {.branch = branch_,                                                         \
				  .dict_code = 8,                                                            \
				  .props = 93,                                                               \
				  .mode = mode_,                                                             \
				  .finder = finder_,                                                         \
				  .nice = nice_,                                                             \
				  .depth = depth_}},                                                         \
		.sum = { __VA_ARGS__ }                                                                       \
	}
#define ZSTD(level_, sized_, ...)                                                                            \
	{                                                                                                    \
		.params = {.id = AY__FILTER_ZSTD,                                                            \
			   .zstd = {.level = level_,                                                         \
				    .window_log = 17,                                                        \
				    .checksum = true,                                                        \
				    .sized = sized_,                                                         \
				    .size = CONTENT,                                                         \
				    .worker = level_ == 9}},                                                 \
		.sum = { __VA_ARGS__ }                                                                       \
	}
	XZ(1, 2, 0x14, 64, 0, 0xdf, 0xdf, 0xd0, 0x2b, 0xba, 0xb5, 0x7e, 0xbd),
	XZ(0, 2, 0x14, 273, 512, 0xc9, 0xbf, 0x1e, 0x7d, 0x8d, 0x1b, 0x4f, 0x64),
	XZ(0, 1, 0x04, 128, 0, 0xa7, 0xf2, 0x25, 0x25, 0xd6, 0xfc, 0x04, 0x14),
	ZSTD(3, false, 0x16, 0x2d, 0xda, 0x6a, 0x5c, 0xbf, 0x4c, 0x6f),
	ZSTD(9, true, 0x48, 0x3d, 0xab, 0xa5, 0xf3, 0x5b, 0x81, 0x0b),
	ZSTD(19, true, 0x29, 0xb9, 0xe0, 0x64, 0x4c, 0xe5, 0x68, 0x9e),
};

const char *ay_encoder_name(unsigned number)
{
	static const char *const names[AY_ENCODERS] = {"none", "deflate-1", "lzma2-5.2", "zstd-1.5.4"};

	return number < AY_ENCODERS ? names[number] : "?";
}

static void content_make(uint8_t *out)
{
	static const char *const words[] = {"mov",     "call ",      "ret\n",  "\xe8",
					    "struct ", "the school", "\0\0\0", "today "};
	struct ay_prng r;
	size_t at = 0;

	ay_prng_init(&r, 2007);
	while (at < CONTENT) {
		uint64_t v = ay_prng_next(&r);
		const char *word = words[v % 8];
		size_t len = v % 8 == 6 ? 3 : strlen(word), n = CONTENT - at < len ? CONTENT - at : len;

		memcpy(out + at, word, n);
		at += n;
		/* Now and then a number, or what was there a while ago. */
		if ((v >> 8) % 3 == 0 && at < CONTENT)
			out[at++] = (uint8_t)(v >> 16 & 15);
		if ((v >> 24) % 11 == 0 && at > 4096 && CONTENT - at > 64) {
			memmove(out + at, out + (v >> 32) % (at - 64), 8 + (v >> 56) % 40);
			at += 8 + (v >> 56) % 40;
		}
	}
}

struct packed {
	uint8_t *data; /* CONTENT bytes */
	size_t len;
};

static int packed_put(void *ctx, const uint8_t *data, size_t len)
{
	struct packed *p = ctx;

	if (len > CONTENT - p->len)
		return AY_EDIGEST;
	memcpy(p->data + p->len, data, len);
	p->len += len;
	return 0;
}

static bool answers_right(const struct answer *a, const uint8_t *content, struct packed *packed)
{
	struct ay__packer p;
	uint8_t sum[32];

	packed->len = 0;
	int rc = ay__packer_open(&p, &a->params, packed_put, packed, NULL);
	if (rc == 0)
		rc = ay__packer_write(&p, content, CONTENT, NULL);
	if (rc == 0)
		rc = ay__packer_end(&p, NULL);
	ay__packer_close(&p);
	ay_sha256(packed->data, packed->len, sum);
	return rc == 0 && memcmp(sum, a->sum, sizeof(a->sum)) == 0;
}

uint32_t ay_encoders_proved(uint32_t wanted)
{
	AY_FREE uint8_t *content = malloc(CONTENT), *out = malloc(CONTENT);
	struct packed packed = {.data = out};
	uint32_t good = wanted & AY_ENCODERS_ALL;

	if (!content || !out)
		return wanted & 1u << AY__FILTER_DEFLATE;
#ifdef AYNI_FUZZING
	return good; /* at each input it would be all that is done */
#endif
	if (good & ~(1u << AY__FILTER_DEFLATE))
		content_make(content);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		uint32_t bit = 1u << answers[i].params.id;

		if (good & bit && !answers_right(&answers[i], content, &packed))
			good &= ~bit;
	}
	return good;
}

unsigned ay_encoders_here(const char *names[AY_ENCODERS])
{
	uint32_t proved = ay_encoders_proved(AY_ENCODERS_ALL);
	unsigned n = 0;

	for (unsigned i = 1; i < AY_ENCODERS; i++) {
		if (proved >> i & 1)
			names[n++] = ay_encoder_name(i);
	}
	return n;
}

int ay_encoders_check(uint32_t wanted, struct ay_err *err)
{
	uint32_t missing = wanted & ~ay_encoders_proved(wanted);

	if (!missing)
		return 0;
	unsigned number = (unsigned)__builtin_ctz(missing);
	if (number >= AY_ENCODERS || number == 0)
		return ay_err_set(err, AY_EUNSUPPORTED,
				  "needs encoder %u, which this version of ayni does not know", number);
	return ay_err_set(err, AY_EUNSUPPORTED,
			  "needs the encoder %s, and the library here packs differently: take another bundle",
			  ay_encoder_name(number));
}
