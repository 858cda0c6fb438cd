/* SPDX-License-Identifier: MIT */
/*
 * A session's bytes. The first byte says in pieces of what size the rest comes; cutting must change nothing, and
 * memory must stay within a frame.
 */
#include <stdlib.h>
#include <string.h>

#include "node/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A hash of all that came out, to compare two ways of cutting. */
static uint64_t run(const uint8_t *data, size_t len, size_t piece)
{
	struct ay_stream s = {0};
	uint64_t hash = 1469598103934665603u;
	int r = 0;
	for (size_t pos = 0; pos < len && r >= 0; pos += piece) {
		size_t part = len - pos < piece ? len - pos : piece;
		for (size_t done = 0; done < part && r >= 0;) {
			struct ay_stream_frame f;
			struct ay_slice block;
			struct ay_digest d;
			uint32_t index;
			const uint8_t *hashes;
			uint8_t level;
			size_t used;
			r = ay_stream_next(&s, data + pos + done, part - done, &used, &f);
			if (used > part - done || (r == 0 && used != part - done) || s.cap > AY_FRAME_MAX)
				abort();
			done += used;
			if (r != 1)
				continue;
			hash = (hash ^ f.type) * 1099511628211u;
			for (size_t i = 0; i < f.payload.len; i++)
				hash = (hash ^ f.payload.data[i]) * 1099511628211u;
			ay_frame_block_get(f.payload.data, f.payload.len, &d, &index, &block);
			ay_frame_hashes_get(f.payload.data, f.payload.len, &d, &level, &index, &hashes);
		}
	}
	ay_stream_release(&s);
	return hash + (uint64_t)(r < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return 0;
	if (run(data + 1, len - 1, (size_t)data[0] + 1) != run(data + 1, len - 1, len))
		abort();
	return 0;
}
