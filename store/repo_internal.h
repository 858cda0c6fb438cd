/* SPDX-License-Identifier: MIT */
/* store/repo_internal.h - what repo.c and repo_index.c share; nothing else includes it. */
#ifndef AYNI_STORE_REPO_INTERNAL_H
#define AYNI_STORE_REPO_INTERNAL_H

#include <dirent.h>

#include "store/repo.h"

enum {
	AY__REPO_ROOTS,
	AY__REPO_BRANCHES,
	AY__REPO_RELEASES,
	AY__REPO_MANIFESTS,
	AY__REPO_OFFERS,
	AY__REPO_BUNDLES,
	AY__REPO_DIRS
};

struct ay_repo {
	struct ay_fs *fs;
	char *path;
	int dir, lock; /* lock: -1 until the first write */
	int dirs[AY__REPO_DIRS];
};

/** ay__repo_begin_write() - be the only writer until the repository is closed; AY_EBUSY. */
int ay__repo_begin_write(struct ay_repo *r, struct ay_err *err);
/** ay__repo_list() - an independent reader of a held directory; NULL with errno. */
DIR *ay__repo_list(int dirfd);
/**
 * ay__repo_holds() - does @dirfd/@name hold exactly @data, and durably? Who wrote it may have been killed before he had its
 * directory synced, so that is done here; if it fails, the file is to be written anew.
 */
bool ay__repo_holds(struct ay_repo *r, int dirfd, const char *name, const void *data, size_t len);
/** ay__repo_subdir() - open directory @name in that of kind @which, made when it is not there; its name is durable. fd, -errno. */
int ay__repo_subdir(struct ay_repo *r, int which, const char *name);

#endif
