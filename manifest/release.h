/* SPDX-License-Identifier: MIT */
/*
 * manifest/release.h - the signed statements about a tree: release and offer.
 *
 *     ayni-release 1\n                          ayni-offer 1\n
 *     branch: xo/stable\n                       branch: xo/stable\n
 *     serial: 7\n                               from: DIGEST\n        manifest digests; zeros: from nothing
 *     root-epoch: 1\n                           to: DIGEST\n
 *     name: 2026.3\n         (percent-encoded)  bundle: DIGEST SIZE\n
 *     date: 1700000000\n     (seconds, 1970)    unpacked: BYTES\n     bytes that applying writes
 *     manifest: DIGEST SIZE\n                   memory: BYTES\n       peak memory of applying
 *     unpacked: BYTES\n      (sum of sizes)     cpu: CLASS\n          0 plain, 1 re-packing of large files
 *     entries: N\n                              encoders: NAME NAME\n (sorted; "-" when none)
 *     min-serial: 0\n                           maker: publisher|school\n
 *     notes: TEXT\n          (percent-encoded)
 *
 * name and notes are UTF-8 without control characters (notes may have newlines and
 * tabs); when empty the line ends with the colon. Encoder names: [a-z0-9._+-],
 * beginning with a letter or digit.
 *
 * A release alone decides what a tree must be. An offer has no authority over
 * content: it says that a bundle exists. Both are the text of an envelope
 * (manifest/sign.h); an envelope's digest (of all its bytes) names the document.
 */
#ifndef AYNI_MANIFEST_RELEASE_H
#define AYNI_MANIFEST_RELEASE_H

#include "base/digest.h"
#include "manifest/root.h"

#define AY_RELEASE_NAME_MAX  128
#define AY_RELEASE_NOTES_MAX 4096
#define AY_SERIAL_MAX        UINT32_MAX /* a release a second for 136 years */
#define AY_MANIFEST_SIZE_MAX (1ull << 30)
#define AY_ENCODERS_MAX      16
#define AY_ENCODER_NAME_MAX  32

struct ay_release {
	char branch[AY_BRANCH_NAME_MAX + 1];
	uint32_t serial; /* from 1 */
	uint32_t root_epoch;
	char name[AY_RELEASE_NAME_MAX + 1];
	uint64_t date_s;
	struct ay_digest manifest;
	uint64_t manifest_size;
	uint64_t unpacked_size;
	uint64_t entries;
	uint32_t min_serial;
	char notes[AY_RELEASE_NOTES_MAX + 1];
};

struct ay_offer {
	char branch[AY_BRANCH_NAME_MAX + 1];
	struct ay_digest from, to; /* manifests */
	struct ay_digest bundle;
	uint64_t bundle_size;
	uint64_t unpacked_size;
	uint64_t hole_size; /* of these, in blocks of zeros, which need no room on a disk; 0: not said */
	uint64_t memory;
	uint8_t cpu;
	unsigned n_encoders;
	char encoders[AY_ENCODERS_MAX][AY_ENCODER_NAME_MAX + 1];
	bool by_school;
};

int ay_release_parse(const void *text, size_t len, struct ay_release *out, struct ay_err *err);
int ay_release_write(const struct ay_release *r, struct ay_buf *out, struct ay_err *err);
int ay_offer_parse(const void *text, size_t len, struct ay_offer *out, struct ay_err *err);
int ay_offer_write(const struct ay_offer *o, struct ay_buf *out, struct ay_err *err);

#endif
