/* SPDX-License-Identifier: MIT */
/*
 * node/use.h - what `run`, `mount` and `checkout` have in common: their words, and the tree that they mean.
 */
#ifndef AYNI_NODE_USE_H
#define AYNI_NODE_USE_H

#include "store/store.h"
#include "store/use.h"

/** ay_use_parse() - "BRANCH[@SERIAL]"; @word is cut at the @. @serial 0: none named. AY_EUSAGE. */
int ay_use_parse(char *word, uint32_t *serial, struct ay_err *err);

/**
 * ay_use_open() - open the store for reading and use the tree. On success close both (ay_use_release(),
 * ay_store_close()); on failure there is nothing to close.
 */
int ay_use_open(const char *store, const char *branch, uint32_t serial, struct ay_store **s,
		struct ay_use *use, struct ay_err *err);

#endif
