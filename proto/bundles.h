/* SPDX-License-Identifier: MIT */
/*
 * proto/bundles.h - the table of bundles. Who comes, goes and is kept: proto/shelf.h.
 */
#ifndef AYNI_PROTO_BUNDLES_H
#define AYNI_PROTO_BUNDLES_H

#include "proto/bits.h"
#include "proto/core_state.h"

/* AY__NONE: it is not known. */
int ay__bundle_find(const struct ay_core *c, const struct ay_digest *digest);
/* Both: AY__NONE: the table is full. open also orders the runner to open or begin it. */
int ay__bundle_new(struct ay_core *c, const struct ay_digest *digest, uint64_t size);
int ay__bundle_open(struct ay_core *c, const struct ay_digest *digest, uint64_t size);
void ay__bundle_whole(struct ay__bundle *b);
/* @bitmap: blocks had; NULL: none. 0 or -ENOMEM, then nothing changed. */
int ay__bundle_partial(struct ay__bundle *b, const uint8_t *bitmap);
/* The entry only: nothing may hang on it any more (see ay__shelf_drop()). */
void ay__bundle_free(struct ay_core *c, int bundle);

static inline bool ay__bundle_has(const struct ay__bundle *b, uint32_t i)
{
	return b->state == AY__B_WHOLE || (b->had && ay__bit(b->had, i));
}

#endif
