/* SPDX-License-Identifier: MIT */
/*
 * diff/hex_apart.c - one walk each way.
 */
#include "diff/hex_apart.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "diff/file_line.h"

static size_t digits(const uint8_t *p, const uint8_t *end)
{
	size_t n = 0;

	while (p + n < end && ay__file_line_hex(p[n]) >= 0)
		n++;
	return n;
}

int ay__hex_apart(const uint8_t *text, size_t len, struct ay_buf *rest, struct ay_buf *digests)
{
	const uint8_t *p = text, *end = text + len;

	if (memchr(text, AY__HEX_MARK, len))
		return 0;
	while (p < end) {
		size_t n = digits(p, end);

		if (n == AY__HEX_DIGITS) {
			for (size_t i = 0; i < AY__HEX_DIGITS; i += 2)
				ay_put_u8(digests, (uint8_t)(ay__file_line_hex(p[i]) << 4 |
							     ay__file_line_hex(p[i + 1])));
			ay_put_u8(rest, AY__HEX_MARK);
		} else {
			n += n == 0; /* what ended the run goes with it */
			ay_put_bytes(rest, p, n);
		}
		p += n;
	}
	return ay_buf_status(rest) || ay_buf_status(digests) ? -ENOMEM : 0;
}

int ay__hex_back(struct ay_slice digests, uint8_t *out, size_t out_len, size_t rest_len)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0, from = out_len - rest_len, used = 0;

	/* @at stays behind @from by the digits that are still to come. */
	while (from < out_len) {
		uint8_t c = out[from++];

		if (c != AY__HEX_MARK) {
			out[at++] = c;
			continue;
		}
		if (digests.len - used < AY__HEX_BYTES)
			return AY_EFORMAT;
		for (size_t i = 0; i < AY__HEX_BYTES; i++, used++) {
			out[at++] = (uint8_t)hex[digests.data[used] >> 4];
			out[at++] = (uint8_t)hex[digests.data[used] & 15];
		}
	}
	return used == digests.len && at == out_len ? 0 : AY_EFORMAT;
}
