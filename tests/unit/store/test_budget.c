/* SPDX-License-Identifier: MIT */
/* Collecting within budgets: what is shed, in which order, and what never is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "store/budget.h"
#include "store/bundles.h"
#include "store/store_internal.h"
#include "store/turn.h"
#include "tests/support/set_branch.h"
#include "tests/support/store_kit.h"

#define TREES 5
#define BIG   (512 << 10) /* of each tree's own file */

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree t[TREES]; /* serials 1..5 of branch "b" */
	struct ay_err err;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_mkdir(&t->k, "v", 0755);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	for (uint32_t i = 0; i < TREES; i++) {
		kit_noise(&t->k, "v/own", BIG, 1000 * (i + 1), 0644);
		kit_publish(&t->k, "v", "b", i + 1, &t->t[i]);
		if (kit_import(&t->k, t->s, "b", &t->t[i], &t->err) < 0)
			fail_msg("%s", t->err.msg);
	}
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	for (int i = 0; i < TREES; i++)
		kit_tree_release(&t->t[i]);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void assert_trees(struct state *t, const char *expected)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	char out[64] = "";
	size_t n, at = 0;

	assert_int_equal(ay_store_trees(t->s, "b", &trees, &n, &t->err), 0);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%u", i ? " " : "", trees[i].serial);
	assert_string_equal(out, expected);
}

static struct ay_gc_result collect(struct state *t, unsigned keep, uint64_t max_size, uint64_t need)
{
	const struct ay_budget b = {.keep = keep, .max_size = max_size};
	struct ay_gc_result res;

	if (ay_store_collect(t->s, &b, need, &res, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	return res;
}

/* A whole bundle of @len bytes and its offer. */
static struct ay_digest put_bundle(struct state *t, const struct ay_digest *from, const struct ay_digest *to,
				   size_t len, uint8_t fill)
{
	struct ay_offer o = {
		.from = *from, .to = *to, .bundle_size = len, .unpacked_size = len, .memory = 1 << 20};
	const struct ay_secret_key *keys[] = {&t->k.key};
	struct ay_buf text = {0}, env = {0};
	AY_FREE uint8_t *data = malloc(len);
	char hex[AY_DIGEST_HEX + 1], path[128];

	memset(data, fill, len);
	ay_digest_mem(data, len, &o.bundle);
	snprintf(path, sizeof(path), "store/bundles/%s", ay_digest_hex(&o.bundle, hex));
	kit_write(&t->k, path, data, len, 0644, 1700000000);
	snprintf(o.branch, sizeof(o.branch), "b");

	assert_int_equal(ay_offer_write(&o, &text, &t->err), 0);
	assert_int_equal(ay_envelope_write(text.data, text.len, keys, 1, "test", &env, &t->err), 0);
	assert_int_equal(ay_state_put_doc(t->s, AY_DOC_OFFER, env.data, env.len, &t->err), 0);
	ay_buf_release(&text);
	ay_buf_release(&env);
	return o.bundle;
}

static bool bundle_here(struct state *t, const struct ay_digest *d)
{
	char hex[65], path[128];

	snprintf(path, sizeof(path), "store/bundles/%s", ay_digest_hex(d, hex));
	return kit_exists(&t->k, path);
}

static void old_trees_go_by_number(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, "b", 4, false, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	struct ay_gc_result res = collect(t, 3, 0, 0);
	assert_int_equal(res.trees, 2);
	assert_trees(t, "3 4 5");
	assert_true(res.bytes >= 2 * BIG);
	assert_int_equal(collect(t, 3, 0, 0).trees, 0);
}

/* Trees go beyond `keep` when the store is too large, the oldest first and no more than must; needed ones never. */
static void a_size_limit_takes_as_many_trees_as_it_must(void **arg)
{
	struct state *t = *arg;
	uint64_t size;

	assert_int_equal(ay_store_switch(t->s, "b", 4, false, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	assert_int_equal(ay_store_size(t->s, &size, &t->err), 0);
	assert_true(size >= TREES * BIG);
	assert_int_equal(collect(t, TREES, size, 0).trees, 0);
	assert_int_equal(collect(t, TREES, size - BIG / 2, 0).trees, 1);
	assert_trees(t, "2 3 4 5");
	assert_int_equal(ay_turn_pin(t->s, "b", 2, true, &t->err), 0);
	collect(t, TREES, 1, 0);
	assert_trees(t, "2 5");
	assert_int_equal(ay_store_size(t->s, &size, &t->err), 0);
	assert_in_range(size, 2 * BIG, 3 * BIG);
}

/* What is needed is not there, whatever goes; a reserve counts like a need. */
static void lack_of_room_takes_all_but_what_is_needed(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, "b", 1, false, &t->err), 0);
	assert_int_equal(ay_turn_trial(t->s, "b", 3, 2, &t->err), 0); /* 1 is where it goes back to */
	assert_int_equal(ay_turn_ready(t->s, "b", 4, &t->err), 0);
	collect(t, TREES, 0, 1); /* a byte is free */
	assert_trees(t, "1 2 3 4 5");
	ay_store_set_reserve(t->s, UINT64_MAX / 2);
	collect(t, TREES, 0, 0);
	assert_trees(t, "1 3 4");
	assert_int_equal(collect(t, 1, 0, UINT64_MAX).trees, 0);
}

/* What the reserve keeps free, no update gets. */
static void a_reserve_is_never_eaten(void **arg)
{
	struct state *t = *arg;
	struct statvfs v;

	assert_int_equal(statvfs(t->k.dir, &v), 0);
	uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
	assert_int_equal(ay__store_reserve(t->s, room / 4, 1, &t->err), 0);
	ay_store_set_reserve(t->s, room);
	assert_int_equal(ay__store_reserve(t->s, room / 4, 1, &t->err), -ENOSPC);
	assert_non_null(strstr(t->err.msg, "with the reserve"));
	ay_store_set_reserve(t->s, UINT64_MAX);
	assert_true(ay__store_reserve(t->s, 1, 1, &t->err) < 0);
}

/* 1.3 % of a tree of 512 KiB is less than a bundle: the newest one stays, and that is all. */
static void bundles_stay_within_their_share(void **arg)
{
	struct state *t = *arg;
	const struct ay_digest none = {{0}};

	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	struct ay_digest full = put_bundle(t, &none, &t->t[4].totals.manifest, 60000, 1);
	struct ay_digest step = put_bundle(t, &t->t[3].totals.manifest, &t->t[4].totals.manifest, 5000, 2);
	struct ay_digest old = put_bundle(t, &t->t[2].totals.manifest, &t->t[3].totals.manifest, 1000, 3);
	struct ay_digest older = put_bundle(t, &t->t[1].totals.manifest, &t->t[2].totals.manifest, 2000, 4);
	assert_int_equal(collect(t, TREES, 0, 0).bundles, 2);
	assert_false(bundle_here(t, &full)); /* an empty laptop gets it from the school */
	assert_false(bundle_here(t, &older));
	assert_true(bundle_here(t, &old)); /* 6000 of 6656 bytes */
	assert_true(bundle_here(t, &step));
	/* Short of room: they all go, before any tree does. */
	uint64_t size;
	assert_int_equal(ay_store_size(t->s, &size, &t->err), 0);
	struct ay_gc_result res = collect(t, TREES, size - 8000, 0);
	assert_int_equal(res.bundles, 2);
	assert_false(bundle_here(t, &step));
}

static void an_only_bundle_stays_however_large(void **arg)
{
	struct state *t = *arg;
	const struct ay_digest none = {{0}};

	assert_int_equal(ay_store_switch(t->s, "b", 1, false, &t->err), 0);
	struct ay_digest full = put_bundle(t, &none, &t->t[4].totals.manifest, 300000, 1);
	assert_int_equal(collect(t, TREES, 0, 0).bundles, 0);
	assert_true(bundle_here(t, &full));
}

/* It leads to a release that is not here yet: what we are about to apply is no cache. */
static void a_bundle_that_leads_forward_is_never_shed(void **arg)
{
	struct state *t = *arg;
	struct ay_branch_state b;
	struct ay_head h = {.root_epoch = 1, .serial = 5, .release_size = (uint32_t)t->t[4].release.len};

	assert_int_equal(ay_store_switch(t->s, "b", 4, false, &t->err), 0);
	ay_branch_id("test", "b", &h.branch);
	ay_digest_mem(t->t[4].release.data, t->t[4].release.len, &h.release);
	assert_int_equal(
		ay_state_put_doc(t->s, AY_DOC_RELEASE, t->t[4].release.data, t->t[4].release.len, &t->err),
		0);
	assert_int_equal(ay_state_branch(t->s, "b", &b, &t->err), 0);
	b.has_head = true;
	assert_int_equal(ay_head_sign(&h, &t->k.key, b.head), 0);
	assert_int_equal(set_branch(t->s, &b, &t->err), 0);
	kit_rm(&t->k, "store/branches/b/5");
	struct ay_digest next = put_bundle(t, &t->t[3].totals.manifest, &t->t[4].totals.manifest, 50000, 1);
	collect(t, 1, 1, UINT64_MAX);
	assert_true(bundle_here(t, &next));
	assert_trees(t, "4");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(old_trees_go_by_number),
		TEST(a_size_limit_takes_as_many_trees_as_it_must),
		TEST(lack_of_room_takes_all_but_what_is_needed),
		TEST(a_reserve_is_never_eaten),
		TEST(bundles_stay_within_their_share),
		TEST(an_only_bundle_stays_however_large),
		TEST(a_bundle_that_leads_forward_is_never_shed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
