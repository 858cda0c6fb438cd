/* SPDX-License-Identifier: MIT */
/*
 * diff/section.h - one section of a bundle, read, checked and unpacked into columns (internal to diff/).
 */
#ifndef AYNI_DIFF_SECTION_H
#define AYNI_DIFF_SECTION_H

#include "base/bytes.h"
#include "diff/bundle_format.h"

#define AY__STREAMS_ALL ((1u << AY_STREAMS) - 1)

struct ay__section_memory {
	uint8_t *bytes; /* owned */
	size_t len;
};

/* Zero-initialise; release. Its memory is kept from section to section. */
struct ay__section {
	uint64_t offset, end; /* in the bundle */
	uint64_t packed, unpacked;
	struct ay_cursor col[AY_STREAMS]; /* a part's columns */
	struct ay__stream_sizes {
		uint8_t codec;
		uint32_t packed, unpacked; /* 0: it has none of this column */
	} stream[AY_STREAMS];
	struct ay_slice delta; /* a delta section's bytes */
	struct ay__section_memory raw, streams;
	bool threads; /* the largest stream may be unpacked by a second thread */
};

void ay__section_release(struct ay__section *s);

/**
 * ay__section_read() - read the section at @offset of the bundle in @fd.
 * @bundle_size: bytes of the bundle. @part_limit: what the streams may unpack to.
 * @wanted: bit i: unpack stream i (others are checked and left packed).
 *
 * Memory: part_limit packed, part_limit unpacked, and what ay_codec_unpack() needs.
 *
 * Return: 0; AY_EFORMAT, AY_EUNSUPPORTED; -errno, -ENOMEM.
 */
int ay__section_read(int fd, uint64_t offset, uint64_t bundle_size, enum ay_section_kind kind,
		     uint32_t part_limit, uint32_t wanted, struct ay__section *s, struct ay_err *err);

/** ay__pread_all() - exactly @len bytes; @short_code when the file ends before. */
int ay__pread_all(int fd, void *buf, size_t len, uint64_t offset, int short_code, struct ay_err *err);

/** ay__check() - the check of @len bytes. */
void ay__check(const void *data, size_t len, uint8_t out[AY_BUNDLE_CHECK_SIZE]);

#endif
