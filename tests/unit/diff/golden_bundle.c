/* SPDX-License-Identifier: MIT */
/* See golden_bundle.h. */
#include "tests/unit/diff/golden_bundle.h"

#include <lzma.h>
#include <zstd.h>

struct ay_buf golden_bundle(const char *name, int made, struct tree *old, struct tree *new_,
			    const struct ay_bundle_limits *limits, bool exact)
{
	struct ay_buf today = bundle_bytes(made);

	close(made);
	golden_write(name, &today);
	struct ay_buf want = golden_read(name);
	int fd = bundle_fd(want.data, want.len);
	bundle_complete(fd, old, new_, limits);
	close(fd);
	if (exact && ZSTD_versionNumber() == 10504 && lzma_version_number() / 10000 == 5004) {
		assert_int_equal(today.len, want.len);
		assert_memory_equal(today.data, want.data, want.len);
	}
	ay_buf_release(&today);
	return want;
}

struct golden_shown golden_shows(const struct ay_buf *bundle)
{
	struct golden_shown shown = {0};

	for (size_t at = AY_BUNDLE_HEADER_SIZE; at < bundle->len;) {
		size_t n = bundle->data[at + 1], packed = 0;

		for (size_t i = 0; i < n; i++) {
			const uint8_t *s =
				bundle->data + at + AY_SECTION_HEAD_SIZE + i * AY_SECTION_STREAM_SIZE;

			shown.codecs |= 1u << s[1];
			shown.streams |= s[0] < AY_STREAMS ? 1u << s[0] : 0;
			packed += ay_get_le32(s + 4);
		}
		shown.parts += bundle->data[at] == 'P';
		at += AY_SECTION_HEAD_SIZE + n * AY_SECTION_STREAM_SIZE + packed + AY_BUNDLE_CHECK_SIZE;
	}
	return shown;
}
