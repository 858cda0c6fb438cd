/* SPDX-License-Identifier: MIT */
/* diff/make_memory.h - what applying may need, shared out: parts, and what one record needs besides (internal to diff/). */
#ifndef AYNI_DIFF_MAKE_MEMORY_H
#define AYNI_DIFF_MAKE_MEMORY_H

#include "diff/make.h"

#define AY__APPLY_MEMORY                                                                                     \
	(400ull << 20) /* where nobody says how much: of a laptop that packs a kernel image again */

/** ay__make_part_limit() - bytes that a part may have when applying may need @apply_memory bytes; 0: the default. */
uint32_t ay__make_part_limit(uint64_t apply_memory);

/** ay__make_extra_memory() - what the parts leave: bytes that a record may need besides. */
uint64_t ay__make_extra_memory(const struct ay_make_options *o);

/** ay__make_filter_memory() - of these, what unpacking and packing again may need; 0: there are no filters. */
uint64_t ay__make_filter_memory(const struct ay_make_options *o);

#endif
