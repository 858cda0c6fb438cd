/* SPDX-License-Identifier: MIT */
/*
 * node/publish_internal.h - one publication under way, between publish.c and publish_bundles.c.
 */
#ifndef AYNI_NODE_PUBLISH_INTERNAL_H
#define AYNI_NODE_PUBLISH_INTERNAL_H

#include "node/publish.h"
#include "store/repo.h"
#include "store/scan.h"

struct ay__publication {
	const struct ay_publish *p;
	struct ay_repo *repo;
	struct ay_store *store;     /* the publisher's own, repo/publisher */
	const struct ay_root *root; /* the store's */
	const struct ay_secret_key *release_keys[AY_SIGNATURES_MAX];
	unsigned n_release_keys;
	const struct ay_secret_key *head_key;

	bool has_before;
	struct ay_head head_before;
	struct ay_release before; /* the newest release, when there is one */
	uint32_t last_serial;     /* the highest that was ever signed here: never signed twice */
	bool went_back;           /* the store has published more than the head says */

	struct ay_buf manifest;
	struct ay_scan_totals totals;
	struct ay_scan_cache seen;
	struct ay_buf envelope; /* the new release */
	struct ay_published *out;
};

/** ay__publish_scan() - the tree's manifest, with what the last scan knew and the last release's times. */
int ay__publish_scan(struct ay__publication *w, int dirfd, struct ay_err *err);
/** ay__publish_remember() - keep what the scan learned for the next one; a failure costs only time, and is said. */
void ay__publish_remember(struct ay__publication *w);
/** ay__publish_bundles() - bundles that lead to the new release, each with its offer, into the repository. */
int ay__publish_bundles(struct ay__publication *w, struct ay_err *err);

#endif
