/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/promise.h - what the store has said is so, and what it may be in the middle of.
 *
 * The story writes marks into the disk's log, lines of three kinds:
 *
 *     may KEY VALUE     from here on KEY may be VALUE as well (a change begins)
 *     must KEY VALUE    from here on KEY is VALUE and nothing else (the change was promised)
 *     had KEY BITS      of the bundle KEY at least these blocks are had
 *
 * Looking at a store after a power cut gives facts, lines "KEY VALUE". What is not there has the value "-", and
 * that is also all that a KEY without a mark may be. Bits are '0' and '1', one per block; "whole" has all of them.
 * The VALUE "*" is any.
 * Lines that begin with # are for people; a mark that begins so is none of these. A line "bad SENTENCE" among the facts is what may never be, whatever was promised.
 */
#ifndef AYNI_TESTS_POWERCUT_PROMISE_H
#define AYNI_TESTS_POWERCUT_PROMISE_H

#include <stdbool.h>
#include <stddef.h>

#define KEYS_MAX   96
#define VALUES_MAX 8
#define KEY_LEN    64
#define VALUE_LEN  48

struct promise {
	char key[KEY_LEN];
	char values[VALUES_MAX][VALUE_LEN];
	unsigned n;
};

struct promises {
	struct promise p[KEYS_MAX];
	unsigned n;
	unsigned version; /* grows with each mark that changed something */
};

void promises_init(struct promises *ps);
/** promises_mark() - take in the lines of one mark. False: a line is not understood, or there are too many. */
bool promises_mark(struct promises *ps, const char *text, size_t len);
/** promises_kept() - do the facts fit? If not @why (may be NULL) says which does not. */
bool promises_kept(const struct promises *ps, const char *facts, char *why, size_t why_len);
/**
 * promises_kind() - what sort of sentence @why is: its numbers and digests become "#". Two of a kind are the same
 * promise broken in another place.
 */
void promises_kind(const char *why, char *out, size_t len);

#endif
