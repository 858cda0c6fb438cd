/* SPDX-License-Identifier: MIT */
/*
 * proto/frame.h - frames of a session, as far as whoever runs the core must know them.
 *
 *   0  length   u32: bytes behind this field, 1 .. AY_FRAME_MAX
 *   4  type     u8
 *   5  payload
 *
 * BLOCK   payload: 32 bundle digest, u32 index, 1..65536 bytes
 * HASHES  payload: 32 bundle digest, u8 level, u32 index, 4096 bytes
 * These two go past the core (AY_EV_BLOCK, AY_EV_HASHES); all others go through it
 * (proto/wire.h).
 */
#ifndef AYNI_PROTO_FRAME_H
#define AYNI_PROTO_FRAME_H

#include "base/bytes.h"
#include "base/digest.h"

enum ay_frame_type {
	AY_FRAME_HELLO = 1,   /* first in both directions */
	AY_FRAME_ASK = 2,     /* a document: root, head, release, offers */
	AY_FRAME_DOC = 3,     /* one document in answer */
	AY_FRAME_NONE = 4,    /* no (more) documents */
	AY_FRAME_WANT = 5,    /* interest in a bundle; answered by BITMAP */
	AY_FRAME_BITMAP = 6,  /* blocks had of a bundle */
	AY_FRAME_HAVE = 7,    /* one more block had */
	AY_FRAME_REQUEST = 8, /* a block, please */
	AY_FRAME_BLOCK = 9,
	AY_FRAME_HASH_REQUEST = 10,
	AY_FRAME_HASHES = 11,
	AY_FRAME_CANCEL = 12,
	AY_FRAME_REJECT = 13, /* a request will not be answered, and why */
	AY_FRAME_PING = 14,   /* nothing but "still here" */
	AY_FRAME_PEERS = 15,  /* addresses of others who collect or have a bundle */
	AY_FRAME_TYPES = 16,
};

#define AY_FRAME_HEADER  5
#define AY_BLOCK_HEADER  36
#define AY_HASHES_HEADER 37
/* The largest frame: a block. Documents larger than that do not exist but for a root, which is sent in parts. */
#define AY_FRAME_MAX (1 + AY_BLOCK_HEADER + AY_BLOCK_SIZE)

/**
 * ay_frame_header_get() - length of the payload and type.
 *
 * Return: 0; AY_EFORMAT: no such type, or a length that this type cannot have: drop the session.
 */
int ay_frame_header_get(const uint8_t head[AY_FRAME_HEADER], uint32_t *payload_len, uint8_t *type);
void ay_frame_header_put(uint8_t head[AY_FRAME_HEADER], uint32_t payload_len, uint8_t type);

/** ay_frame_block_get() - split a BLOCK payload; @data is borrowed from @payload. 0 or AY_EFORMAT. */
int ay_frame_block_get(const uint8_t *payload, size_t len, struct ay_digest *bundle, uint32_t *index,
		       struct ay_slice *data);
void ay_frame_block_put(uint8_t header[AY_BLOCK_HEADER], const struct ay_digest *bundle, uint32_t index);
int ay_frame_hashes_get(const uint8_t *payload, size_t len, struct ay_digest *bundle, uint8_t *level,
			uint32_t *index, const uint8_t **block);
void ay_frame_hashes_put(uint8_t header[AY_HASHES_HEADER], const struct ay_digest *bundle, uint8_t level,
			 uint32_t index);

#endif
