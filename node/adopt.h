/* SPDX-License-Identifier: MIT */
/*
 * node/adopt.h - a directory that is on the disk already becomes a branch's first release: one that a repository
 * holds and that it resembles, or one that is signed here.
 */
#ifndef AYNI_NODE_ADOPT_H
#define AYNI_NODE_ADOPT_H

#include "manifest/sign.h"
#include "store/adopt.h"

struct ay_adoption {
	struct ay_store *s;
	struct ay_adopt how; /* its repo: match; NULL: sign */
	/* Matching. */
	uint32_t serial; /* 0: the one that needs least, of equals the newest */
	/* Signing. */
	const struct ay_secret_key *keys;
	unsigned n_keys;
	const char *name, *notes; /* may be NULL */
	uint64_t now_s;
};

/**
 * ay_adopt() - adopt, and make it current.
 * @serial: which release it became.
 *
 * Return: 0; AY_ENOTHING it is here and current, or the repository has no such branch; AY_EUSAGE the branch has
 *   another release already; AY_EROLE no key may sign it; AY_EROLLBACK the branch is published, so it must be matched;
 *   or the release is below the floor; AY_EBASE the directory and the repository together lack something;
 *   the errors of ay_store_adopt_new() and ay_store_adopt_match().
 */
int ay_adopt(const struct ay_adoption *q, uint32_t *serial, struct ay_adopted *out, struct ay_err *err);

#endif
