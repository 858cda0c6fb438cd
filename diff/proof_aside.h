/* SPDX-License-Identifier: MIT */
/*
 * diff/proof_aside.h - the long proof of one packed stream, in a thread of its own (internal to diff/).
 *
 * Packing a kernel image again takes as long as all else that is done for it. Where its beginning came out right, the rest
 * nearly always does: so what depends on it is done meanwhile, and is thrown away should the proof fail.
 */
#ifndef AYNI_DIFF_PROOF_ASIDE_H
#define AYNI_DIFF_PROOF_ASIDE_H

#include <pthread.h>

#include "diff/inside_proof.h"

/* One at a time: each needs as much memory as packing does. Zero-initialise; release. */
struct ay__proof_aside {
	bool begun;
	pthread_t thread;
	struct ay__filter_params params;
	struct ay_buf content, packed; /* copies: what they are of may be gone before the proof is done */
	int rc;
};

/**
 * ay__proof_aside_begin() - begin what ay__stream_packs(@params, @content, @packed, whole) would do.
 * @params: of a filter without corrections.
 *
 * Return: whether it was taken. It is not when one was begun before, when there is too little for a thread, and when
 * no thread or memory can be had: the caller proves it then.
 */
bool ay__proof_aside_begin(struct ay__proof_aside *a, const struct ay__filter_params *params,
			   struct ay_slice content, struct ay_slice packed);

/** ay__proof_aside_end() - wait. Return: as ay__stream_packs(); 1 where none was begun. */
int ay__proof_aside_end(struct ay__proof_aside *a);
void ay__proof_aside_release(struct ay__proof_aside *a);

#endif
