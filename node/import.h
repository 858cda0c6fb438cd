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
	uint32_t from, to; /* newest serials that were complete before and are now; from 0: there was none */
	unsigned steps;    /* trees on the way, those included that were here already */
	uint64_t bytes;    /* of the bundles applied */
};

struct ay_config;

/**
 * ay_import() - take the newest release of @branch that @repo leads to, and note that it is ready
 * (store/turn.h).
 * @config: what may be collected when there is no room for it; may be NULL.
 * @force: also a serial remembered as bad.
 * @progress: as in struct ay_apply; may be NULL.
 *
 * Newer roots in the repository are followed first, one version at a time. Should one bundle be bad, another
 * way is taken. @out is filled in every case: when @to is above @from something newer is ready, even if an error
 * says that the newest could not be had.
 *
 * Return: 0; AY_ENOTHING nothing newer is there; AY_EBASE no bundle leads to it from here; AY_ESIG, AY_EROLE,
 *   AY_EROLLBACK refused; the errors of ay_store_apply(). Each with a sentence that names the file.
 */
int ay_import(struct ay_store *s, const struct ay_config *config, struct ay_repo *repo, const char *branch,
	      bool force, int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *ctx,
	      struct ay_imported *out, struct ay_err *err);

#endif
