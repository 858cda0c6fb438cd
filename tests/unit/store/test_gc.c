/* SPDX-License-Identifier: MIT */
/* Collecting: what stays, what goes, what is in use, what an interrupted collection leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/bundles.h"
#include "store/in_use.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "store/use.h"
#include "tests/support/set_branch.h"
#include "tests/support/store_kit.h"

#define TREES 6

struct state {
	struct kit k;
	struct ay_store *s;
	struct kit_tree t[TREES]; /* serials 1..6 of branch "b" */
	struct ay_err err;
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_mkdir(&t->k, "v", 0755);
	kit_text(&t->k, "v/always", "the same in all", 0644);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	for (uint32_t i = 0; i < TREES; i++) {
		char text[32];
		snprintf(text, sizeof(text), "only in release %u", i + 1);
		kit_text(&t->k, "v/own", text, 0644);
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

/* The trees that are here, as "1 3 6". */
static const char *trees_here(struct state *t, char out[64])
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n, at = 0;

	assert_int_equal(ay_store_trees(t->s, "b", &trees, &n, &t->err), 0);
	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, 64 - at, "%s%u", i ? " " : "", trees[i].serial);
	return out;
}

static void assert_trees(struct state *t, const char *expected)
{
	char have[64];

	assert_string_equal(trees_here(t, have), expected);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
}

static void nothing_current_keeps_the_newest(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result res;

	assert_int_equal(ay_store_gc(t->s, 2, &res, &t->err), 0);
	assert_int_equal(res.trees, 4);
	assert_int_equal(res.objects, 4);
	assert_true(res.bytes >= 4);
	assert_trees(t, "5 6");
	assert_int_equal(ay_store_gc(t->s, 0, &res, &t->err), 0);
	assert_trees(t, "6");
	assert_int_equal(kit_count(&t->k, "store/objects"), 2);
	assert_true(kit_tree_is(&t->k, "b", 6, &t->t[5]));
}

static void the_current_tree_and_the_one_before_stay(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result res;

	assert_int_equal(ay_store_switch(t->s, "b", 3, false, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.trees, 3);
	assert_trees(t, "2 3 6");
	assert_int_equal(ay_store_gc(t->s, 0, &res, &t->err), 0);
	assert_trees(t, "2 3");
	assert_true(kit_tree_is(&t->k, "b", 2, &t->t[1]));
	assert_true(kit_tree_is(&t->k, "b", 3, &t->t[2]));
	assert_int_equal(ay_store_gc(t->s, 0, &res, &t->err), 0);
	assert_int_equal(res.trees + res.objects, 0);
}

/* The two files of the tree that was moved aside, as its user sees them. */
static void assert_still_whole(int root, const char *own)
{
	char text[32] = "";
	AY_CLOSE int fd = openat(root, "own", O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, own);
	assert_int_equal(faccessat(root, "always", R_OK, 0), 0);
}

static void a_tree_in_use_goes_aside_until_it_is_left(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result res;
	struct ay_use use, again;
	char have[64];

	assert_int_equal(ay_store_use(t->s, "b", 4, &use, &t->err), 0);
	assert_int_equal(ay_store_switch(t->s, "b", 6, false, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.trees, 4);
	assert_int_equal(res.in_use, 1);
	assert_string_equal(trees_here(t, have), "5 6");
	assert_int_equal(ay_store_use(t->s, "b", 4, &again, &t->err), -ENOENT);
	assert_still_whole(use.root, "only in release 4");
	/* Nor by the next collection, or by whoever opens the store. */
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.trees, 0);
	assert_int_equal(res.in_use, 1);
	ay_store_close(t->s);
	assert_int_equal(kit_store(&t->k, ay_fs_real(), &t->s, &t->err), 0);
	assert_still_whole(use.root, "only in release 4");
	/* A child that inherited the lock keeps it. */
	int kept = dup(use.ref);
	ay_use_release(&use);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.in_use, 1);
	close(kept);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.in_use, 0);
	assert_int_equal(res.objects, 1);
	assert_trees(t, "5 6");
}

/* What a remover does with tree @name, and undoes: aside; if then nobody holds it, it may come to pieces. */
static bool as_if_removed(int branch, const char *name)
{
	char aside[32];
	bool free_ = false;

	snprintf(aside, sizeof(aside), ".aside-%s", name);
	assert_int_equal(renameat(branch, name, branch, aside), 0);
	AY_CLOSE int tree = openat(branch, aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ref = -1;
	if (ay__tree_in_use(tree, "no such staging", &ref) == 0) {
		free_ = true;
		assert_int_equal(renameat(tree, "root/own", tree, "own"), 0);
		usleep(300);
		assert_int_equal(renameat(tree, "own", tree, "root/own"), 0);
	}
	close(ref);
	assert_int_equal(renameat(branch, aside, branch, name), 0);
	return free_;
}

/* A /proc with @n processes, each in a mount namespace of its own, where nothing is mounted. */
static bool mounted_among(struct state *t, unsigned n)
{
	char path[64], name[64];

	kit_rm(&t->k, "proc");
	kit_rm(&t->k, "aside");
	kit_mkdir(&t->k, "proc", 0755);
	for (unsigned i = 1; i <= n; i++) {
		snprintf(path, sizeof(path), "proc/%u", i);
		assert_int_equal(mkdirat(t->k.fd, path, 0755), 0);
		snprintf(path, sizeof(path), "proc/%u/ns", i);
		assert_int_equal(mkdirat(t->k.fd, path, 0755), 0);
		snprintf(path, sizeof(path), "proc/%u/ns/mnt", i);
		snprintf(name, sizeof(name), "mnt:[%u]", i);
		assert_int_equal(symlinkat(name, t->k.fd, path), 0);
	}
	kit_mkdir(&t->k, "aside", 0755);
	kit_mkdir(&t->k, "aside/root", 0755);
	AY_CLOSE int tree = openat(t->k.fd, "aside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int proc = openat(t->k.fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree >= 0 && proc >= 0);
	return ay__tree_mounted(proc, tree, "staging-x");
}

static void what_cannot_all_be_looked_at_is_in_use(void **arg)
{
	struct state *t = *arg;

	assert_false(mounted_among(t, 3));
	assert_true(mounted_among(t, AY__SPACES_MAX + 1));
}

/* Uses the current tree over and over; exit status 1: it was not to be had, 2: it was not whole. */
static void use_until_stopped(struct state *t)
{
	for (int i = 0; i % 50 != 0 || !kit_exists(&t->k, "stop"); i++) {
		struct ay_use use;
		if (ay_store_use(t->s, "b", 0, &use, &t->err) < 0)
			_exit(1);
		if (faccessat(use.root, "own", R_OK, 0) < 0 || faccessat(use.root, "always", R_OK, 0) < 0)
			_exit(2);
		ay_use_release(&use);
	}
	_exit(0);
}

/* Whoever asks for the current tree gets one that stays, however fast it changes and goes. */
static void the_current_tree_is_used_while_others_switch_and_remove(void **arg)
{
	struct state *t = *arg;
	AY_CLOSE int branch = openat(t->k.fd, "store/branches/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned taken = 0;
	int status = -1;

	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	pid_t user = fork();
	if (user == 0)
		use_until_stopped(t);
	for (int round = 0; round < 300; round++) {
		uint32_t to = round % 2 ? 5 : 6;
		assert_int_equal(ay_store_switch(t->s, "b", to, true, &t->err), 0);
		taken += as_if_removed(branch, to == 5 ? "6" : "5");
	}
	kit_text(&t->k, "stop", "", 0644);
	assert_int_equal(waitpid(user, &status, 0), user);
	assert_int_equal(status, 0);
	assert_true(taken > 0);
}

/* A process killed in the middle holds nothing; what was mounted in its own namespace counts all the same. */
static void who_died_uses_nothing(void **arg)
{
	struct state *t = *arg;
	struct ay_use use;
	struct ay_gc_result res;
	pid_t user;

	assert_int_equal(ay_store_use(t->s, "b", 1, &use, &t->err), 0);
	user = fork();
	if (user == 0) {
		pause();
		_exit(0);
	}
	ay_use_release(&use);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.in_use, 1);
	kill(user, SIGKILL);
	waitpid(user, NULL, 0);
	assert_int_equal(ay_store_gc(t->s, 1, &res, &t->err), 0);
	assert_int_equal(res.in_use, 0);
	assert_trees(t, "6");
}

static void a_branch_in_which_a_tree_is_made_is_left_alone(void **arg)
{
	struct state *t = *arg;
	AY_CLOSE int dir = openat(t->k.fd, "store/branches/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = ay__branch_lock(t->s, dir, ".apply", LOCK_EX, &t->err);

	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_trees(t, "1 2 3 4 5 6");
	close(lock);
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_trees(t, "6");
}

static void objects_shared_with_another_branch_stay(void **arg)
{
	struct state *t = *arg;
	struct kit_tree other;

	kit_publish(&t->k, "v", "other", 1, &other); /* what release 6 of "b" is */
	assert_int_equal(kit_import(&t->k, t->s, "other", &other, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 7);
	kit_rm(&t->k, "store/branches/b/6/root");
	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	assert_int_equal(ay_store_gc(t->s, 0, NULL, &t->err), 0);
	assert_true(kit_tree_is(&t->k, "other", 1, &other));
	assert_trees(t, "4 5");
	kit_tree_release(&other);
}

/* A program that runs from the tree keeps its files; and an object that somebody linked elsewhere is not garbage. */
static void a_file_linked_elsewhere_keeps_its_object(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(linkat(t->k.fd, "store/branches/b/1/root/own", t->k.fd, "mine", 0), 0);
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/objects"), 3);
	struct stat st;
	assert_int_equal(fstatat(t->k.fd, "mine", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2);
}

static void one_tree_can_be_removed(void **arg)
{
	struct state *t = *arg;
	AY_CLOSE int ref = openat(t->k.fd, "store/branches/b/4/.ref", O_RDONLY | O_CLOEXEC);

	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	assert_int_equal(ay_store_remove_tree(t->s, "b", 6, &t->err), 0);
	assert_int_equal(ay_store_remove_tree(t->s, "b", 6, &t->err), AY_ENOTHING);
	assert_int_equal(ay_store_remove_tree(t->s, "none", 6, &t->err), AY_ENOTHING);
	assert_int_equal(ay_store_remove_tree(t->s, "b", 5, &t->err), AY_EBUSY);
	assert_int_equal(flock(ref, LOCK_SH), 0);
	assert_int_equal(ay_store_remove_tree(t->s, "b", 4, &t->err), 0);
	assert_int_equal(kit_objects_unlinked(&t->k), 0); /* it is aside, whole */
	assert_int_equal(flock(ref, LOCK_UN), 0);
	assert_int_equal(ay_store_gc(t->s, 9, NULL, &t->err), 0);
	assert_trees(t, "1 2 3 5");
}

static void an_interrupted_collection_is_finished_by_the_next_open(void **arg)
{
	struct state *t = *arg;
	struct ay__staging st;

	/* As if killed after the tree was moved aside and half of its root was gone. */
	assert_int_equal(ay__staging_begin(t->s, &st, &t->err), 0);
	AY_CLOSE int branch = openat(t->k.fd, "store/branches/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(renameat(branch, "1", st.dir, "tree"), 0);
	assert_int_equal(unlinkat(st.dir, "tree/root/own", 0), 0);
	close(st.dir);
	ay_store_close(t->s);
	assert_int_equal(kit_objects_unlinked(&t->k), 1);
	assert_int_equal(kit_store(&t->k, ay_fs_real(), &t->s, &t->err), 0);
	assert_trees(t, "2 3 4 5 6");
	assert_int_equal(kit_count(&t->k, "store/objects"), 6);
}

static void a_broken_manifest_in_staging_stops_nothing(void **arg)
{
	struct state *t = *arg;
	struct ay__staging st;

	assert_int_equal(ay__staging_begin(t->s, &st, &t->err), 0);
	assert_int_equal(mkdirat(st.dir, "tree", 0755), 0);
	AY_CLOSE int fd = openat(st.dir, "tree/manifest", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, t->t[5].manifest.data, 200), 200);
	ay__staging_end(&st, NULL);
	assert_trees(t, "1 2 3 4 5 6");
}

/* ---- bundles ---- */

static struct ay_digest put_bundle(struct state *t, const char *text, time_t age_s)
{
	struct ay_digest d;
	char hex[65], path[128];
	struct timespec ts[2];

	ay_digest_mem(text, strlen(text), &d);
	snprintf(path, sizeof(path), "store/bundles/%s", ay_digest_hex(&d, hex));
	kit_text(&t->k, path, text, 0644);
	clock_gettime(CLOCK_REALTIME, &ts[0]);
	ts[0].tv_sec -= age_s;
	ts[1] = ts[0];
	assert_int_equal(utimensat(t->k.fd, path, ts, 0), 0);
	return d;
}

static void put_offer(struct state *t, const struct ay_digest *from, const struct ay_digest *to,
		      const struct ay_digest *bundle)
{
	struct ay_offer o = {.branch = "b", .from = *from, .to = *to, .bundle = *bundle, .bundle_size = 100};
	struct ay_buf text = {0}, env = {0};
	const struct ay_secret_key *keys[1] = {&t->k.key};

	assert_int_equal(ay_offer_write(&o, &text, &t->err), 0);
	assert_int_equal(ay_envelope_write(text.data, text.len, keys, 1, "test", &env, &t->err), 0);
	assert_int_equal(ay_state_put_doc(t->s, AY_DOC_OFFER, env.data, env.len, &t->err), 0);
	ay_buf_release(&text);
	ay_buf_release(&env);
}

static bool bundle_here(struct state *t, const struct ay_digest *d)
{
	char hex[65], path[128];

	snprintf(path, sizeof(path), "store/bundles/%s", ay_digest_hex(d, hex));
	return kit_exists(&t->k, path);
}

/* The branch's head leads to tree 6, which then is taken away: it was only heard of. */
static void hear_of_6(struct state *t)
{
	struct ay_branch_state b;
	struct ay_head h = {.root_epoch = 1, .serial = 6, .release_size = (uint32_t)t->t[5].release.len};

	ay_branch_id("test", "b", &h.branch);
	ay_digest_mem(t->t[5].release.data, t->t[5].release.len, &h.release);
	assert_int_equal(
		ay_state_put_doc(t->s, AY_DOC_RELEASE, t->t[5].release.data, t->t[5].release.len, &t->err),
		0);
	assert_int_equal(ay_state_branch(t->s, "b", &b, &t->err), 0);
	b.has_head = true;
	assert_int_equal(ay_head_sign(&h, &t->k.key, b.head), 0);
	assert_int_equal(set_branch(t->s, &b, &t->err), 0);
	kit_rm(&t->k, "store/branches/b/6");
}

static void bundles_that_lead_nowhere_go(void **arg)
{
	struct state *t = *arg;
	const struct ay_digest none = {{0}};
	struct ay_digest gone, elsewhere;

	hear_of_6(t);
	ay_digest_mem("gone", 4, &gone);
	ay_digest_mem("elsewhere", 9, &elsewhere);
	struct ay_digest here = put_bundle(t, "to a tree that is here", 0);
	struct ay_digest newest = put_bundle(t, "from an unknown tree to the newest", 0);
	struct ay_digest step = put_bundle(t, "to where that one starts", 0);
	struct ay_digest nowhere = put_bundle(t, "to nobody knows where", 0);
	struct ay_digest first = put_bundle(t, "to a collected tree", 0);
	struct ay_digest young = put_bundle(t, "no offer, young", 0);
	struct ay_digest old = put_bundle(t, "no offer, old", 2 * 86400);
	put_offer(t, &none, &t->t[4].totals.manifest, &here);
	put_offer(t, &elsewhere, &t->t[5].totals.manifest, &newest);
	put_offer(t, &gone, &elsewhere, &step);
	put_offer(t, &none, &gone, &nowhere);
	put_offer(t, &none, &t->t[0].totals.manifest, &first);
	assert_int_equal(ay_store_switch(t->s, "b", 5, false, &t->err), 0);
	struct ay_gc_result res;
	if (ay_store_gc(t->s, 0, &res, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(bundle_here(t, &here));
	assert_true(bundle_here(t, &newest));
	assert_true(bundle_here(t, &step));
	assert_true(bundle_here(t, &young));
	assert_false(bundle_here(t, &nowhere));
	assert_false(bundle_here(t, &first));
	assert_false(bundle_here(t, &old));
	assert_int_equal(kit_count(&t->k, "store/offers"), 3);
}

/* A node collects a bundle that leads nowhere (any more): it and its offer stay until the node has left it. */
static void a_bundle_in_collection_stays_with_its_offer(void **arg)
{
	struct state *t = *arg;
	const struct ay_digest none = {{0}};
	struct ay_digest gone, bundle;
	struct ay_bundle_file *f = NULL;
	struct ay_store *node = NULL;
	char hex[65], path[128];

	ay_digest_mem("gone", 4, &gone);
	ay_digest_mem("in collection", 13, &bundle);
	put_offer(t, &none, &gone, &bundle);
	assert_int_equal(kit_store(&t->k, ay_fs_real(), &node, &t->err), 0);
	assert_int_equal(ay_bundle_file_open(node, &bundle, 100, true, &f, &t->err), 0);
	snprintf(path, sizeof(path), "store/bundles/partial/%s", ay_digest_hex(&bundle, hex));
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_true(kit_exists(&t->k, path));
	assert_int_equal(kit_count(&t->k, "store/offers"), 1);
	ay_bundle_file_close(f);
	ay_store_close(node);
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_false(kit_exists(&t->k, path));
	assert_int_equal(kit_count(&t->k, "store/offers"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_current_keeps_the_newest),
		TEST(the_current_tree_and_the_one_before_stay),
		TEST(a_tree_in_use_goes_aside_until_it_is_left),
		TEST(what_cannot_all_be_looked_at_is_in_use),
		TEST(the_current_tree_is_used_while_others_switch_and_remove),
		TEST(who_died_uses_nothing),
		TEST(a_branch_in_which_a_tree_is_made_is_left_alone),
		TEST(objects_shared_with_another_branch_stay),
		TEST(a_file_linked_elsewhere_keeps_its_object),
		TEST(one_tree_can_be_removed),
		TEST(an_interrupted_collection_is_finished_by_the_next_open),
		TEST(a_broken_manifest_in_staging_stops_nothing),
		TEST(bundles_that_lead_nowhere_go),
		TEST(a_bundle_in_collection_stays_with_its_offer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
