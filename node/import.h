/* SPDX-License-Identifier: MIT */
/*
 * node/import.h - a store is brought up to date from a repository directory, without a network:
 * a stick that came by bus, or a publisher's own disk.
 */
#ifndef AYNI_NODE_IMPORT_H
#define AYNI_NODE_IMPORT_H

#include "store/repo.h"
#include "store/store.h"

struct ay_imported {
	uint32_t from, to; /* serials; from 0: there was none */
	unsigned steps;    /* bundles applied */
	uint64_t bytes;    /* of those bundles */
};

/**
 * ay_import() - take the newest release of @branch that @repo leads to.
 * @force: also a serial remembered as bad.
 * @progress: as in struct ay_apply; may be NULL.
 *
 * Newer roots in the repository are followed first, one version at a time.
 *
 * Return: 0 and @out; AY_ENOTHING nothing newer is there, or no bundle leads to it from here (said in @err);
 *   AY_ESIG, AY_EROLE, AY_EROLLBACK refused; the errors of ay_store_apply(). What was applied before an error stays.
 */
int ay_import(struct ay_store *s, struct ay_repo *repo, const char *branch, bool force,
	      int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *ctx,
	      struct ay_imported *out, struct ay_err *err);

#endif
