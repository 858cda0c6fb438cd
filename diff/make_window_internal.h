/* SPDX-License-Identifier: MIT */
/* diff/make_window_internal.h - one window's work, shared by the files that carry it out (internal to diff/). */
#ifndef AYNI_DIFF_MAKE_WINDOW_INTERNAL_H
#define AYNI_DIFF_MAKE_WINDOW_INTERNAL_H

#include "diff/encode.h"
#include "diff/make_window.h"

#define AY__METHODS_DIFF (AY__METHODS_ALL & ~AY__METHOD_BIT(AY_METHOD_LITERAL))

#define AY__GOOD_SHARE 4 /* a diff below this share of the file needs no second look */

struct ay__bytes {
	uint8_t *data; /* owned */
	size_t len;
};

void ay__bytes_free(struct ay__bytes *b);

/** ay__window_read() - bytes [@at, @at + @len) of file @e of @tree, proved. Errors as of ay__window_run(). */
int ay__window_read(const struct ay_make_tree *tree, const struct ay_entry *e, const struct ay_merkle *merkle,
		    uint64_t at, size_t len, struct ay__bytes *out, struct ay_err *err);

/** ay__window_encode() - ay__encode() as the window wants it. */
int ay__window_encode(const struct ay__window *w, const struct ay__span *base, const struct ay__span *target,
		      unsigned methods, struct ay__encoded *out);

/** ay__window_take() - @e, coded against old file @base, is the smallest so far. */
void ay__window_take(struct ay__window *w, struct ay__encoded *e, uint32_t base);

#endif
