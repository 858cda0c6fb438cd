/* SPDX-License-Identifier: MIT */
/* What a store does, each from a store that is ready for it: for tests in which something below fails. */
#ifndef AYNI_TESTS_FAULT_STORE_WORKS_H
#define AYNI_TESTS_FAULT_STORE_WORKS_H

#include "store/adopt.h"
#include "tests/fault/store/three_trees.h"

#define WORKS_BRANCH "b"

struct works {
	struct three_trees t;
	struct ay_repo *repo;
	/* What the last work told. */
	struct ay_adopted adopted;
	uint64_t not_equal; /* files that dedupe left apart for their metadata, or as changed */
};

typedef int work_fn(struct works *x, struct ay_store *s, struct ay_err *err);

/* Each may be done again wherever it was cut off. work_collect() with tree 1 in the way; work_look() finds nothing damaged, or fails. */
work_fn work_apply, work_import, work_turn, work_collect, work_adopt, work_heal, work_look, work_dedupe;

/** works_setup(), works_teardown() - cmocka's; *@arg is a struct works. Its kit has the stores "empty", "two", "three", "damaged". */
int works_setup(void **arg);
int works_teardown(void **arg);
/** works_run() - open kit.dir/store and do it. */
int works_run(struct works *x, work_fn *work, struct ay_err *err);
/** works_done() - did it do what was to be done, or was it done before? */
bool works_done(int r);

#endif
