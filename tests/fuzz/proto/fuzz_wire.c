/* SPDX-License-Identifier: MIT */
/*
 * Every decoder of datagrams, frame headers and frame payloads: byte 0 chooses, the rest is the stranger's.
 * What is accepted must come out of the encoder as it went in.
 */
#include <string.h>

#include "base/error.h"
#include "proto/frame.h"
#include "proto/wire.h"

#define KIND(what)                                                                                           \
	static int again_##what(const uint8_t *data, size_t len, struct ay_buf *out)                         \
	{                                                                                                    \
		struct ay_wire_##what v;                                                                     \
		int rc = ay_wire_##what##_get(data, len, &v);                                                \
		if (rc == 0)                                                                                 \
			ay_wire_##what##_put(out, &v);                                                       \
		return rc;                                                                                   \
	}
KIND(datagram)
KIND(hello)
KIND(ask)
KIND(doc)
KIND(want)
KIND(bitmap)
KIND(block)
KIND(request)
KIND(hash_request)
KIND(reject)
KIND(peers)

static int again_header(const uint8_t *data, size_t len, struct ay_buf *out)
{
	uint8_t head[AY_FRAME_HEADER], type;
	uint32_t payload;

	if (len != AY_FRAME_HEADER)
		return AY_EFORMAT;
	int rc = ay_frame_header_get(data, &payload, &type);
	if (rc)
		return rc;
	ay_frame_header_put(head, payload, type);
	ay_put_bytes(out, head, sizeof(head));
	return 0;
}

static int again_bulk(const uint8_t *data, size_t len, struct ay_buf *out)
{
	uint8_t head[AY_BLOCK_HEADER];
	struct ay_digest bundle;
	struct ay_slice bytes;
	uint32_t index;
	int rc = ay_frame_block_get(data, len, &bundle, &index, &bytes);

	if (rc)
		return rc;
	ay_frame_block_put(head, &bundle, index);
	ay_put_bytes(out, head, sizeof(head));
	ay_put_bytes(out, bytes.data, bytes.len);
	return 0;
}

static int again_hashes(const uint8_t *data, size_t len, struct ay_buf *out)
{
	uint8_t head[AY_HASHES_HEADER], level;
	struct ay_digest bundle;
	const uint8_t *block;
	uint32_t index;
	int rc = ay_frame_hashes_get(data, len, &bundle, &level, &index, &block);

	if (rc)
		return rc;
	ay_frame_hashes_put(head, &bundle, level, index);
	ay_put_bytes(out, head, sizeof(head));
	ay_put_bytes(out, block, AY_LEAF_SIZE);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int (*const kinds[])(const uint8_t *, size_t, struct ay_buf *) = {
		again_datagram, again_hello,  again_ask,     again_doc,          again_want,
		again_bitmap,   again_block,  again_request, again_hash_request, again_reject,
		again_peers,    again_header, again_bulk,    again_hashes,
	};
	struct ay_buf out = {0};

	if (len < 1)
		return 0;
	int rc = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))](data + 1, len - 1, &out);
	AY_ASSERT(rc <= 0);
	if (rc == 0)
		AY_ASSERT(out.len == len - 1 && (out.len == 0 || memcmp(out.data, data + 1, out.len) == 0));
	ay_buf_release(&out);
	return 0;
}
