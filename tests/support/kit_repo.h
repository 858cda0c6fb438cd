/* SPDX-License-Identifier: MIT */
/* A repository of the kit's publisher, kit.dir/repo: for tests of what takes from one. */
#ifndef AYNI_TESTS_SUPPORT_KIT_REPO_H
#define AYNI_TESTS_SUPPORT_KIT_REPO_H

#include "store/repo.h"
#include "tests/support/store_kit.h"

/** kit_repo() - open it for writing; made with the kit's root when it is not there. */
struct ay_repo *kit_repo(struct kit *k);
/** kit_repo_tree() - put manifest and release of a tree into it, and a head that names it. */
void kit_repo_tree(struct kit *k, struct ay_repo *r, const struct kit_tree *t);
/** kit_repo_bundle() - put a bundle and its signed offer into it. */
void kit_repo_bundle(struct kit *k, struct ay_repo *r, int bundle_fd, const struct ay_offer *offer);
/** kit_repo_all() - tree @to with its bundle from @from (NULL: nothing). */
void kit_repo_all(struct kit *k, struct ay_repo *r, const struct kit_tree *from, const struct kit_tree *to);

#endif
