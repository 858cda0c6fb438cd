/* SPDX-License-Identifier: MIT */
/* A publisher's repository, in short: for the tests of its faults and of its power cuts. */
#ifndef AYNI_TESTS_FAULT_STORE_PUBLISH_H
#define AYNI_TESTS_FAULT_STORE_PUBLISH_H

#include "store/repo.h"

/** publish() - what a publisher does, once more for each serial of branch "xo/stable". May be done again. */
int publish(struct ay_fs *fs, const char *path, uint32_t serial, struct ay_err *err);

#endif
