/* SPDX-License-Identifier: MIT */
/*
 * manifest/head.h - the smallest signed pointer to a branch's newest release; 156 bytes, one frame.
 *
 *   0  "AyniHd" 0x00 version(1)   8 bytes: type and version, under the signature
 *   8  branch id                  8: first 8 bytes of SHA-256("ayni-branch\0" fleet "\0" branch)
 *  16  root epoch                 u32
 *  20  serial                     u32
 *  24  min serial                 u32
 *  28  rollout                    u8, percent 0..100;  29: three zero bytes
 *  32  release digest             32: of the release's envelope
 *  64  release size               u32: bytes of that envelope
 *  68  signed_at                  u64: seconds since 1970; a hint, never an order
 *  76  key id                     8:   of the key that signed
 *  84  reserved                   8:   zero
 *  92  signature                  64: Ed25519 over bytes 0..91
 *
 * Order is (root epoch, serial). The same serial with a newer signed_at replaces
 * silently and resets no timer. Version history: 1 (first).
 */
#ifndef AYNI_MANIFEST_HEAD_H
#define AYNI_MANIFEST_HEAD_H

#include "base/digest.h"
#include "manifest/sign.h"

#define AY_HEAD_SIZE 156

struct ay_branch_id {
	uint8_t b[8];
};

struct ay_head {
	struct ay_branch_id branch;
	uint32_t root_epoch, serial, min_serial;
	uint8_t rollout; /* percent of laptops that may take it */
	struct ay_digest release;
	uint32_t release_size;
	uint64_t signed_at_s;
	uint8_t key_id[8];
};

void ay_branch_id(const char *fleet, const char *branch, struct ay_branch_id *out);
/** ay_head_parse() - form only (also: serial >= 1, min_serial <= serial, rollout <= 100, reserved zero). */
int ay_head_parse(const uint8_t *data, size_t len, struct ay_head *out, struct ay_err *err);
/** ay_head_sign() - encode and sign; @h->key_id is set from @sk. */
int ay_head_sign(struct ay_head *h, const struct ay_secret_key *sk, uint8_t out[AY_HEAD_SIZE]);
/** ay_head_verify() - the signature alone. 0 or AY_ESIG. */
int ay_head_verify(const uint8_t data[AY_HEAD_SIZE], const struct ay_public_key *pk);
/** ay_head_cmp() - order by (root epoch, serial); signed_at does not count. */
int ay_head_cmp(const struct ay_head *a, const struct ay_head *b);

#endif
