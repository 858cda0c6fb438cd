/* SPDX-License-Identifier: MIT */
/*
 * node/repo_watch.h - a school tells its core what its repository holds, at start and whenever that grows.
 *
 * From each branch's head it walks the offers backwards (who leads here? who leads
 * there?) and tells roots, heads, releases, offers and the bundles, opened and
 * hashed. All reading is done on the disk's thread.
 */
#ifndef AYNI_NODE_REPO_WATCH_H
#define AYNI_NODE_REPO_WATCH_H

#include <uv.h>

#include "base/error.h"
#include "node/disk.h"
#include "node/events.h"

struct ay_repo_watch;

/**
 * ay_repo_watch_new() - open the repository and begin the first scan.
 *
 * Return: 0; AY_EUSAGE there is no repository, or no root in it; other errors of store/repo.h.
 */
int ay_repo_watch_new(uv_loop_t *loop, const char *path, struct ay_disk *disk, const struct ay_events *events,
		      struct ay_repo_watch **out, struct ay_err *err);
/** ay_repo_watch_close() - then close the disk, run the loop, then ay_repo_watch_free(). */
void ay_repo_watch_close(struct ay_repo_watch *w);
void ay_repo_watch_free(struct ay_repo_watch *w);

/** ay_repo_watch_scan() - look now. */
void ay_repo_watch_scan(struct ay_repo_watch *w);
/** ay_repo_watch_problem() - a sentence when the last scan could not read all, else "". */
const char *ay_repo_watch_problem(const struct ay_repo_watch *w);

#endif
