/* SPDX-License-Identifier: MIT */
/*
 * manifest/sign_internal.h - pieces of minisign's formats shared by key.c, sign.c, envelope.c and head.c.
 */
#ifndef AYNI_MANIFEST_SIGN_INTERNAL_H
#define AYNI_MANIFEST_SIGN_INTERNAL_H

#include "manifest/sign.h"

/** ay__sodium() - make libsodium ready; cheap when it is. Every function that calls it does this first. */
void ay__sodium(void);

/** ay__base64_get() - exactly @size bytes from one base64 line, canonical form only. 0 or AY_EFORMAT. */
int ay__base64_get(const uint8_t *text, size_t len, uint8_t *out, size_t size);
/** ay__base64_put() - append a base64 line and a newline. */
void ay__base64_put(struct ay_buf *out, const uint8_t *data, size_t len);

/** ay__take_line() - the next line of @rest without its newline; false when there is no newline. */
bool ay__take_line(struct ay_slice *rest, struct ay_slice *line);
/** ay__starts_with() - does the line begin with @prefix? */
bool ay__starts_with(const struct ay_slice *line, const char *prefix);

struct ay__signature {
	bool legacy; /* "Ed" */
	uint8_t key_id[8];
	uint8_t sig[64];
	struct ay_slice comment; /* trusted */
	uint8_t global[64];      /* over sig and comment */
};

/** ay__signature_parse() - take one signature file of four lines from @rest; @file gets its bytes. 0 or AY_EFORMAT. */
int ay__signature_parse(struct ay_slice *rest, struct ay__signature *out, struct ay_slice *file,
			struct ay_err *err);

#endif
