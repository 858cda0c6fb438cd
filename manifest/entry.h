/* SPDX-License-Identifier: MIT */
/*
 * manifest/entry.h - one line of a manifest, and the order of lines (internal to manifest/).
 */
#ifndef AYNI_MANIFEST_ENTRY_H
#define AYNI_MANIFEST_ENTRY_H

#include "base/path.h"
#include "manifest/manifest.h"

/* Where a decoded entry's pointers point to. */
struct ay__entry_store {
	struct ay_buf path, target, xattr_bytes;
	struct ay_xattr xattrs[AY_XATTR_COUNT_MAX];
};

void ay__entry_store_init(struct ay__entry_store *st);
void ay__entry_store_release(struct ay__entry_store *st);

/** ay__entry_decode() - @line without newline into @e, whose pointers are @st's until its next use. */
int ay__entry_decode(struct ay__entry_store *st, const struct ay_slice *line, struct ay_entry *e,
		     struct ay_err *err);
/** ay__path_decode() - a percent-encoded tree path into @st->path. 0, AY_EFORMAT, AY_ELIMIT, -ENOMEM. */
int ay__path_decode(struct ay__entry_store *st, const uint8_t *text, size_t len, struct ay_err *err);

/*
 * Order is depth first, so the directories that are open at a moment are the last
 * entry's path and its ancestors: to know them it is enough to remember that path.
 */
struct ay__order {
	char path[AY_PATH_MAX + 1]; /* of the entry before; empty before the first */
	size_t len;
	bool is_dir;
};

/** ay__order_step() - may @e come now? First "/", then ascending, each below an open directory. 0 or AY_EFORMAT. */
int ay__order_step(struct ay__order *o, const struct ay_entry *e, struct ay_err *err);

/** ay__manifest_reader_raw() - the entry's line with its newline, until the reader's next call. */
struct ay_slice ay__manifest_reader_raw(const struct ay_manifest_reader *r);
/** ay__manifest_add_raw() - as ay_manifest_add(), but @line is known to be @e's encoding. */
int ay__manifest_add_raw(struct ay_manifest_writer *w, const struct ay_entry *e, struct ay_slice line,
			 struct ay_err *err);

#endif
