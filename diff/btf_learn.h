/* SPDX-License-Identifier: MIT */
/*
 * diff/btf_learn.h - what became of the numbers in .BTF, learned from the modules of two trees (internal to diff/; publisher's side).
 */
#ifndef AYNI_DIFF_BTF_LEARN_H
#define AYNI_DIFF_BTF_LEARN_H

#include "diff/btf.h"

/* Zero-initialise; give pairs; finish once; release. */
struct ay__btf_learner {
	struct ay__btf_vote *votes[AY__BTF_SPACES]; /* owned; by old number */
	uint32_t n_votes[AY__BTF_SPACES];
	/* from where on numbers are a module's own, in old and new */
	uint32_t own[AY__BTF_SPACES][2];
	uint32_t n_pairs;
};

/**
 * ay__btf_learn() - compare the .BTF sections of one module's two versions.
 * @old, @new_: borrowed for the call; anything that is no .BTF is left out.
 *
 * Time is linear in their types. Return: 0; -ENOMEM.
 */
int ay__btf_learn(struct ay__btf_learner *l, struct ay_slice old, struct ay_slice new_);

/** ay__btf_learned() - the map that follows; without rows when there were too few modules. 0; -ENOMEM. */
int ay__btf_learned(const struct ay__btf_learner *l, struct ay__btf_map *out);

void ay__btf_learner_release(struct ay__btf_learner *l);

#endif
