/* SPDX-License-Identifier: MIT */
/* A store that is damaged in many ways, and healing it: for the tests of faults and of power cuts. */
#ifndef AYNI_TESTS_FAULT_STORE_HEAL_KIT_H
#define AYNI_TESTS_FAULT_STORE_HEAL_KIT_H

#include "store/fsck.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_repo.h"

struct heal_kit {
	struct kit k; /* the publisher's */
	struct ay_repo *repo;
	struct kit_tree v[2];
};

void heal_kit_init(struct heal_kit *x);
void heal_kit_release(struct heal_kit *x);
/** heal_place() - the directory @name in the kit's, made new, as a kit of its own whose store lies in it; close @out->fd. */
void heal_place(struct heal_kit *x, const char *name, struct kit *out);
/** heal_damaged() - a store in @at with both trees; then damaged. */
void heal_damaged(struct heal_kit *x, struct kit *at);
/** heal_with() - open it through @fs and heal; a failure has a sentence. */
int heal_with(struct heal_kit *x, struct kit *at, struct ay_fs *fs, struct ay_fsck_result *res,
	      struct ay_err *err);
/** heal_lost() - a path that had a file and has none now, or one that is neither the old nor the good one; NULL. */
const char *heal_lost(struct heal_kit *x, struct kit *at);
/** heal_is_done() - a check finds nothing damaged, as it is; NULL, or what does not hold. */
const char *heal_is_done(struct heal_kit *x, struct kit *at);
/**
 * heal_ends_well() - healing without faults ends with nothing damaged; NULL, or what does not hold.
 * @scan: look at the trees without fsck too, which waits for the file system's clock.
 */
const char *heal_ends_well(struct heal_kit *x, struct kit *at, bool scan);
/** heal_no_faults() - the seam without faults; syncs ask nothing of the disk. */
void heal_no_faults(struct fs_fault *f);

#endif
