/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a packed stream: byte 0 the codec, bytes 1-2 the size that it should unpack to. Then the same bytes
 * packed and unpacked.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void there_and_back(const uint8_t *data, size_t len)
{
	struct ay_buf packed = {0};
	struct ay_err err = {0};
	enum ay_codec codec;
	uint8_t *out = malloc(len);

	AY_ASSERT(out && ay_codec_pack(data, len, 1, AY_CODECS_ALL, AY_VALUES_TEXT, &packed, &codec) == 0);
	AY_ASSERT(packed.len <= len && (codec != AY_CODEC_NONE || packed.len == len));
	struct ay_slice s = {.data = packed.data, .len = packed.len};
	AY_ASSERT(ay_codec_unpack(codec, s, out, len, &err) == 0 && memcmp(out, data, len) == 0);
	ay_buf_release(&packed);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_err err = {0};

	if (len < 4)
		return 0;
	size_t out_len = (size_t)(data[1] | data[2] << 8) + 1;
	uint8_t *out = malloc(out_len);
	AY_ASSERT(out);
	int rc = ay_codec_unpack(data[0] % 6, (struct ay_slice){.data = data + 3, .len = len - 3}, out,
				 out_len, &err);
	AY_ASSERT(rc == 0 || (rc == err.code && err.msg[0]));
	AY_ASSERT(rc == 0 || rc == AY_EFORMAT || (rc == AY_EUNSUPPORTED && data[0] % 6 == 5));
	free(out);
	there_and_back(data, len);
	return 0;
}
