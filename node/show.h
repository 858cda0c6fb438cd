/* SPDX-License-Identifier: MIT */
/*
 * node/show.h - `ayni show`, between its files: one function per kind of file, and one per kind of JSON.
 *
 * A shower stands on the decoder that everybody else uses, so what cannot be read there is not shown here; nothing of
 * a file reaches the terminal before its decoder has said that it is well-formed.
 */
#ifndef AYNI_NODE_SHOW_H
#define AYNI_NODE_SHOW_H

#include <jansson.h>

#include "diff/bundle.h"
#include "manifest/manifest.h"
#include "manifest/trust.h"
#include "proto/wire.h"

struct ay_show {
	const char *path, *split, *root_path, *from_path;
	int mtree, json, stats;
	struct ay_root *root; /* to check signatures against; may be NULL */
	char *root_data;      /* its envelope */
	size_t root_len;
};

typedef int (*ay_show_fn)(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);

int ay_show_envelope(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_head(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_key(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_manifest(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_delta(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_datagram(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
int ay_show_bundle(const struct ay_show *s, int fd, struct ay_err *err);

/* ---- node/show_json.c; NULL: out of memory ---- */

json_t *ay_json_root(const struct ay_root *root);
json_t *ay_json_release(const struct ay_release *r);
json_t *ay_json_offer(const struct ay_offer *o);
json_t *ay_json_head(const struct ay_head *h);
json_t *ay_json_bundle(const struct ay_bundle_header *h);
json_t *ay_json_datagram(const struct ay_wire_datagram *d);
/** ay_json_set_document() - which bytes these are: their digest and number. */
void ay_json_set_document(json_t *o, const struct ay_digest *d, uint64_t size);

#endif
