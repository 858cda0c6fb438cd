/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/facts.h - what a store is found to be after a power cut.
 *
 *     store there           (else nothing follows)
 *     root N   id HEX
 *     follow:B 1   floor:B N   bad:B N   head:B SERIAL      only what is not zero
 *     current:B N   dangling:B there        its tree is not
 *     tree:B:N there   damaged:B:N PATH     how it differs from what was signed
 *     state:B TEXT                          whose turn it is (store/turn.h), pins
 *     release:N there   offer:NAME there
 *     bundle:NAME whole | 01101...
 *     bad SENTENCE          what may never be: see below
 *
 * "damaged" and "dangling" are as "-" as all else that no mark allows. Never: a store that does not open, a file of state/ that
 * is neither what it was nor what it was to be, a tree that nobody published, a floor below what is current, a block that
 * counts and is wrong, staging that opening did not clear away.
 */
#ifndef AYNI_TESTS_POWERCUT_FACTS_H
#define AYNI_TESTS_POWERCUT_FACTS_H

#include "store/state.h"
#include "tests/powercut/world.h"

/**
 * facts_of() - open the store at @path as after a start, look at all of it, close it. @out is reset first.
 * @collected: the first collection after the start has been: objects that nothing links are one thing more that may not be.
 */
void facts_of(const struct world *w, const char *path, bool collected, struct ay_buf *out);
/** facts_turn() - the value of state:B. @out: at least VALUE_LEN bytes. */
void facts_turn(const struct ay_branch_state *b, char *out);
/** facts_bits() - a collected bundle's blocks as text. @out: at least VALUE_LEN bytes. */
void facts_bits(const uint8_t *bitmap, uint64_t blocks, char *out);

#endif
