/* SPDX-License-Identifier: MIT */
/*
 * node/show_bundle_print.h - a bundle that was read for `ayni show`, between its reading (show_bundle.c) and its printing.
 */
#ifndef AYNI_NODE_SHOW_BUNDLE_PRINT_H
#define AYNI_NODE_SHOW_BUNDLE_PRINT_H

#include "diff/bundle_format.h"
#include "diff/codec.h"
#include "node/show.h"
#include "node/show_names.h"

struct ay__bundle_row {
	struct ay_bundle_record r;
	double cost;
};

struct ay__bundle_shown {
	const struct ay_show *s;
	struct ay_bundle_header h;
	struct ay_buf delta;
	struct ay_buf from;          /* the manifest that it starts from, when it was named */
	struct ay_old_files numbers; /* of its files */
	struct ay__names new_, old;
	struct ay__bundle_row *rows;
	size_t n, cap;
	json_t *parts;
	uint64_t delta_packed;
	struct {
		uint64_t packed, unpacked, by_codec[AY_CODECS];
	} streams[AY_STREAMS];
	uint64_t size;
	struct ay_digest digest;
};

int ay__bundle_words(struct ay__bundle_shown *b, struct ay_err *err);
int ay__bundle_json(struct ay__bundle_shown *b, struct ay_err *err);

#endif
