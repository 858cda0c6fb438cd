/* SPDX-License-Identifier: MIT */
/*
 * diff/packer.h - content to packed bytes, by one filter (internal to diff/).
 */
#ifndef AYNI_DIFF_PACKER_H
#define AYNI_DIFF_PACKER_H

#include "diff/recipe.h"

typedef int ay__put_fn(void *ctx, const uint8_t *data, size_t len);

/* Zero-initialise; open; close in any case. */
struct ay__packer {
	ay__put_fn *put; /* where the packed bytes go */
	void *ctx;
	int (*write)(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err);
	int (*end)(struct ay__packer *p, struct ay_err *err);
	void (*close)(void *state);
	void *state;
	uint8_t *buffer; /* owned */
};

/* These return 0; AY_EFORMAT; -ENOMEM; what @put returned. */

/** ay__packer_open() - @params as in a target's recipe; its corrections are borrowed until the end. */
int ay__packer_open(struct ay__packer *p, const struct ay__filter_params *params, ay__put_fn *put, void *ctx,
		    struct ay_err *err);
int ay__packer_write(struct ay__packer *p, const uint8_t *data, size_t len, struct ay_err *err);
int ay__packer_end(struct ay__packer *p, struct ay_err *err);
void ay__packer_close(struct ay__packer *p);

#endif
