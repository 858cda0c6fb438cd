/* SPDX-License-Identifier: MIT */
/*
 * Frames: where one message of a session ends and the next begins.
 *
 * Each type has its own largest payload, so that a stranger's length field never
 * makes anybody wait for, or allocate, more than that message can be.
 */
#include "base/error.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <string.h>

struct payload_limits {
	uint32_t min, max;
};

static const struct payload_limits limits[AY_FRAME_TYPES] = {
	[AY_FRAME_HELLO] = {AY_WIRE_HELLO_FIXED, AY_WIRE_HELLO_MAX},
	[AY_FRAME_ASK] = {AY_WIRE_ASK_SIZE, AY_WIRE_ASK_SIZE},
	[AY_FRAME_DOC] = {AY_WIRE_DOC_FIXED + 1, AY_WIRE_DOC_FIXED + AY_WIRE_DOC_PART},
	[AY_FRAME_NONE] = {AY_WIRE_ASK_SIZE, AY_WIRE_ASK_SIZE},
	[AY_FRAME_WANT] = {AY_WIRE_WANT_SIZE, AY_WIRE_WANT_SIZE},
	[AY_FRAME_BITMAP] = {AY_WIRE_BITMAP_FIXED, AY_WIRE_BITMAP_FIXED + AY_WIRE_BITMAP_BYTES_MAX},
	[AY_FRAME_HAVE] = {AY_WIRE_BLOCK_SIZE, AY_WIRE_BLOCK_SIZE},
	[AY_FRAME_REQUEST] = {AY_WIRE_REQUEST_SIZE, AY_WIRE_REQUEST_SIZE},
	[AY_FRAME_BLOCK] = {AY_BLOCK_HEADER + 1, AY_BLOCK_HEADER + AY_BLOCK_SIZE},
	[AY_FRAME_HASH_REQUEST] = {AY_WIRE_HASH_REQUEST_SIZE, AY_WIRE_HASH_REQUEST_SIZE},
	[AY_FRAME_HASHES] = {AY_HASHES_HEADER + AY_LEAF_SIZE, AY_HASHES_HEADER + AY_LEAF_SIZE},
	[AY_FRAME_CANCEL] = {AY_WIRE_BLOCK_SIZE, AY_WIRE_BLOCK_SIZE},
	[AY_FRAME_REJECT] = {AY_WIRE_REJECT_SIZE, AY_WIRE_REJECT_SIZE},
	[AY_FRAME_PING] = {0, 0},
	[AY_FRAME_PEERS] = {1 + AY_WIRE_PEER_SIZE, 1 + AY_WIRE_PEERS_MAX *AY_WIRE_PEER_SIZE},
};

static void put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

int ay_frame_header_get(const uint8_t head[AY_FRAME_HEADER], uint32_t *payload_len, uint8_t *type)
{
	uint32_t length = ay_get_le32(head);
	uint8_t t = head[4];

	*payload_len = 0;
	*type = 0;
	if (length < 1 || length > AY_FRAME_MAX)
		return AY_EFORMAT;
	if (t < AY_FRAME_HELLO || t >= AY_FRAME_TYPES)
		return AY_EFORMAT;
	if (length - 1 < limits[t].min || length - 1 > limits[t].max)
		return AY_EFORMAT;
	*payload_len = length - 1;
	*type = t;
	return 0;
}

void ay_frame_header_put(uint8_t head[AY_FRAME_HEADER], uint32_t payload_len, uint8_t type)
{
	AY_ASSERT(payload_len < AY_FRAME_MAX);
	put_le32(head, payload_len + 1);
	head[4] = type;
}

int ay_frame_block_get(const uint8_t *payload, size_t len, struct ay_digest *bundle, uint32_t *index,
		       struct ay_slice *data)
{
	if (len < AY_BLOCK_HEADER + 1 || len > AY_BLOCK_HEADER + AY_BLOCK_SIZE)
		return AY_EFORMAT;
	memcpy(bundle->b, payload, AY_DIGEST_LEN);
	*index = ay_get_le32(payload + AY_DIGEST_LEN);
	data->data = payload + AY_BLOCK_HEADER;
	data->len = len - AY_BLOCK_HEADER;
	return 0;
}

void ay_frame_block_put(uint8_t header[AY_BLOCK_HEADER], const struct ay_digest *bundle, uint32_t index)
{
	memcpy(header, bundle->b, AY_DIGEST_LEN);
	put_le32(header + AY_DIGEST_LEN, index);
}

int ay_frame_hashes_get(const uint8_t *payload, size_t len, struct ay_digest *bundle, uint8_t *level,
			uint32_t *index, const uint8_t **block)
{
	if (len != AY_HASHES_HEADER + AY_LEAF_SIZE || payload[AY_DIGEST_LEN] >= AY_MERKLE_LEVELS_MAX)
		return AY_EFORMAT;
	memcpy(bundle->b, payload, AY_DIGEST_LEN);
	*level = payload[AY_DIGEST_LEN];
	*index = ay_get_le32(payload + AY_DIGEST_LEN + 1);
	*block = payload + AY_HASHES_HEADER;
	return 0;
}

void ay_frame_hashes_put(uint8_t header[AY_HASHES_HEADER], const struct ay_digest *bundle, uint8_t level,
			 uint32_t index)
{
	memcpy(header, bundle->b, AY_DIGEST_LEN);
	header[AY_DIGEST_LEN] = level;
	put_le32(header + AY_DIGEST_LEN + 1, index);
}
