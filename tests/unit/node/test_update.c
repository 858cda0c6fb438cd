/* SPDX-License-Identifier: MIT */
/* When is an update over? Time and status come in as values, so every end can be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "node/update.h"

static struct ay_core_status status;
static struct ay_update update;
static struct ay_update_view view = {.core = &status, .apply_branch = ""};

static int start(enum ay_branch_phase phase)
{
	struct ay_err err = {0};
	memset(&status, 0, sizeof(status));
	status.n_branches = 2;
	status.branches[0].branch[0] = 'a';
	status.branches[1].branch[0] = 'b';
	status.branches[0].have_serial = status.branches[1].have_serial = 6;
	int r = ay_update_start(&update, "a", &status, 0, &err);
	status.branches[0].phase = phase;
	status.neighbours = 1;
	return r;
}

static enum ay_update_state judge(uint64_t now_ms)
{
	return ay_update_judge(&update, &view, now_ms);
}

static void test_done(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_COLLECTING), 0);
	assert_int_equal(judge(1000), AY_UPDATE_RUNNING);
	status.branches[0].phase = AY_PHASE_APPLYING;
	assert_int_equal(judge(2000), AY_UPDATE_RUNNING);
	status.branches[0].phase = AY_PHASE_IDLE;
	status.branches[0].have_serial = 7;
	assert_int_equal(judge(2500), AY_UPDATE_DONE);
	assert_string_equal(update.message, "a is now at serial 7");
}

static void test_nothing(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_IDLE), 0);
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS - 1), AY_UPDATE_RUNNING);
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_NOTHING);
	/* Another branch's work is not ours. */
	assert_int_equal(start(AY_PHASE_IDLE), 0);
	status.branches[1].phase = AY_PHASE_COLLECTING;
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_NOTHING);
}

static void test_alone(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_IDLE), 0);
	status.neighbours = 0;
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_RUNNING);
	assert_int_equal(judge(AY_UPDATE_ALONE_MS), AY_UPDATE_FAILED);
	assert_non_null(strstr(update.message, "nobody was heard"));
}

static void test_failures(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_IDLE), 0);
	ay_update_failed(&update, "b", AY_ESIG, "another branch");
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_NOTHING);
	ay_update_failed(&update, "a", AY_EBASE, "no base");
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_FAILED);
	assert_string_equal(update.message, "a: no base");
	ay_update_failed(&update, "a", AY_ESIG, "bad signature");
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_REFUSED);
	/* While another way is tried, it is not over. */
	assert_int_equal(start(AY_PHASE_COLLECTING), 0);
	ay_update_failed(&update, "a", AY_EBASE, "no base");
	assert_int_equal(judge(10000), AY_UPDATE_RUNNING);
	status.branches[0].phase = AY_PHASE_SEARCHING;
	assert_int_equal(judge(11000), AY_UPDATE_RUNNING);
	assert_int_equal(judge(11000 + AY_UPDATE_LISTEN_MS), AY_UPDATE_FAILED);
}

static void test_held(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_HELD), 0);
	status.branches[0].head_serial = 7;
	snprintf(status.branches[0].problem, sizeof(status.branches[0].problem), "rolled back from");
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_REFUSED);
	assert_string_equal(update.message, "a: serial 7 is known and not taken: rolled back from");
}

/* After a rollback the core has nothing newer to want; the owner is told why nothing happens. */
static void test_rolled_back(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_IDLE), 0);
	status.branches[0].head_serial = 7;
	assert_int_equal(judge(AY_UPDATE_LISTEN_MS), AY_UPDATE_REFUSED);
	assert_non_null(strstr(update.message, "--force"));
}

static void test_stalls(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_SEARCHING), 0);
	assert_int_equal(judge(100), AY_UPDATE_RUNNING);
	assert_int_equal(judge(99 + AY_UPDATE_SEARCH_MS), AY_UPDATE_RUNNING);
	assert_int_equal(judge(100 + AY_UPDATE_SEARCH_MS), AY_UPDATE_FAILED);
	assert_int_equal(start(AY_PHASE_COLLECTING), 0);
	uint64_t now = 0;
	for (int i = 0; i < 10; i++) {
		status.branches[0].blocks_had++; /* slow is not still */
		now += AY_UPDATE_STALL_MS - 1;
		assert_int_equal(judge(now), AY_UPDATE_RUNNING);
	}
	assert_int_equal(judge(now + AY_UPDATE_STALL_MS), AY_UPDATE_FAILED);
}

static void test_no_branch(void **state)
{
	(void)state;
	struct ay_err err = {0};
	start(AY_PHASE_IDLE);
	assert_int_equal(ay_update_start(&update, "c", &status, 0, &err), AY_ESTATE);
	status.n_branches = 0;
	assert_int_equal(ay_update_start(&update, "", &status, 0, &err), AY_ESTATE);
}

static void test_fetch(void **state)
{
	(void)state;
	assert_int_equal(start(AY_PHASE_SEARCHING), 0);
	ay_update_start_fetch(&update, 4, 0);
	status.branches[0].fetching = true;
	status.branches[0].fetched = 4;
	assert_int_equal(judge(1000), AY_UPDATE_RUNNING);
	assert_int_equal(judge(1000 + AY_UPDATE_FETCH_MS - 1), AY_UPDATE_RUNNING);
	assert_int_equal(judge(1000 + AY_UPDATE_FETCH_MS), AY_UPDATE_FAILED);
	assert_non_null(strstr(update.message, "nobody in reach has a further bundle"));
	/* Collecting has more patience; an update's end is none of its business. */
	assert_int_equal(start(AY_PHASE_COLLECTING), 0);
	ay_update_start_fetch(&update, 4, 0);
	status.branches[0].fetching = true;
	status.branches[0].fetched = 4;
	assert_int_equal(judge(1000), AY_UPDATE_RUNNING);
	status.branches[0].have_serial = 7;
	assert_int_equal(judge(AY_UPDATE_FETCH_MS * 2), AY_UPDATE_RUNNING);
	assert_int_equal(judge(AY_UPDATE_FETCH_MS * 2 + AY_UPDATE_STALL_MS), AY_UPDATE_FAILED);
	status.branches[0].fetched = 5;
	assert_int_equal(judge(AY_UPDATE_FETCH_MS * 3 + AY_UPDATE_STALL_MS), AY_UPDATE_DONE);
	/* Nobody at all, or the core has given up. */
	assert_int_equal(start(AY_PHASE_SEARCHING), 0);
	ay_update_start_fetch(&update, 0, 0);
	status.branches[0].fetching = true;
	status.neighbours = 0;
	assert_int_equal(judge(10), AY_UPDATE_RUNNING);
	assert_int_equal(judge(10 + AY_UPDATE_ALONE_MS), AY_UPDATE_FAILED);
	assert_non_null(strstr(update.message, "nobody was heard"));
	status.neighbours = 1;
	status.branches[0].fetching = false;
	assert_int_equal(judge(20 + AY_UPDATE_ALONE_MS), AY_UPDATE_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch),       cmocka_unit_test(test_done),
		cmocka_unit_test(test_nothing),     cmocka_unit_test(test_alone),
		cmocka_unit_test(test_failures),    cmocka_unit_test(test_held),
		cmocka_unit_test(test_stalls),      cmocka_unit_test(test_no_branch),
		cmocka_unit_test(test_rolled_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
