/* SPDX-License-Identifier: MIT */
/*
 * Paths as weapons. Outside the store lies a directory whose every byte and name must stay what it is, whatever stands in the
 * store's way, and however it changes while we look.
 *
 *     what stands where                                      outcome
 *     -----------------------------------------------------  ------------------------------------------------
 *     link for objects/, branches/, tmp/, state/ ...         the store does not open
 *     link for objects/ab                                    the store does not open
 *     link, fifo, directory for an object                    never linked or read through; healed
 *     link for a branch                                      that branch is refused; told, left
 *     link for a tree, or for its root/                      refused; root/ is healed
 *     link for a directory in a tree                         healed, what it pointed to untouched
 *     link for a file in a tree, to a file outside           healed, what it pointed to untouched
 *     link, fifo for manifest, release, .ref                 not followed, does not hang; healed
 *     current to the outside                                 not followed; healed
 *     link, fifo for a state, a document, a bundle           not followed, does not hang; healed
 *     staging of another boot with links in it               taken apart, nothing outside removed
 *     a directory of an imported or adopted source, or of    right bytes or an error, nothing else taken in
 *       a tree being healed, that becomes a link and back      and nothing outside changed
 *       a thousand times a second
 *     a repository's files that become links and fifos       right bytes or an error; never hangs
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/adopt.h"
#include "store/fsck.h"
#include "store/retrieve.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "tests/support/kit_repo.h"

#define B      "b"
#define B_DIR  "store/branches/" B
#define ROUNDS 60

struct state {
	struct kit k;
	struct ay_store *s;
	struct ay_repo *repo;
	struct kit_tree v1, v2;
	struct ay_buf outside; /* its manifest */
	struct ay_err err;
};

static void scan_outside(struct state *t, struct ay_buf *out)
{
	const struct ay_scan_options o = {.threads = 1};
	struct ay_scan_totals totals;
	AY_CLOSE int fd = openat(t->k.fd, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ay_buf_reset(out);
	if (ay_scan(fd, "outside", &o, ay_write_to_buf, out, &totals, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

static void open_it(struct state *t)
{
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
}

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	kit_mkdir(&t->k, "outside", 0755);
	kit_mkdir(&t->k, "outside/bin", 0755);
	kit_text(&t->k, "outside/bin/kept", "not what you think", 0755);
	kit_text(&t->k, "outside/bin/big", "nor this", 0755);
	kit_text(&t->k, "outside/file", "precious", 0644);
	kit_mkdir(&t->k, "outside/root", 0755);
	scan_outside(t, &t->outside);
	open_it(t);
	if (kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0 ||
	    ay_store_switch(t->s, B, 1, false, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	t->repo = kit_repo(&t->k);
	kit_repo_all(&t->k, t->repo, NULL, &t->v1);
	kit_repo_all(&t->k, t->repo, NULL, &t->v2);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	alarm(0);
	ay_repo_close(t->repo);
	ay_store_close(t->s);
	ay_buf_release(&t->outside);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void expect_outside_untouched(struct state *t, const char *after)
{
	struct ay_buf now = {0};

	scan_outside(t, &now);
	if (now.len != t->outside.len || memcmp(now.data, t->outside.data, now.len) != 0)
		fail_msg("%s: something outside the store was changed", after);
	ay_buf_release(&now);
}

static int heal(struct state *t, struct ay_fsck_result *res)
{
	const struct ay_fsck f = {.heal = true, .repos = &t->repo, .n_repos = 1, .threads = 2};
	return ay_store_fsck(t->s, &f, res, &t->err);
}

/* Everything that a store is asked to do. Any of it may be refused; none may hang, crash or reach outside. */
static void do_everything(struct state *t)
{
	struct ay_tree_info *trees;
	struct ay_gc_result gone;
	struct ay_branch_state b;
	struct ay_offer offer;
	struct ay_fsck_result res;
	const struct ay_fsck look = {.threads = 1};
	uint64_t bad;
	size_t n;
	int fd;

	if (ay_store_trees(t->s, B, &trees, &n, NULL) == 0)
		free(trees);
	ay_store_verify(t->s, B, 1, &bad, NULL);
	if (ay_store_open_tree(t->s, B, 1, &fd, NULL) == 0)
		close(fd);
	ay_state_branch(t->s, B, &b, NULL);
	ay_store_fsck(t->s, &look, &res, NULL);
	AY_CLOSE int bundle = kit_bundle(&t->k, &t->v1, &t->v2, &offer);
	kit_apply(t->s, B, &t->v2, bundle, &offer, NULL);
	ay_store_switch(t->s, B, 2, false, NULL);
	ay_store_rollback(t->s, B, 0, NULL, NULL);
	ay_store_gc(t->s, 1, &gone, NULL);
}

/* ---- what stands there and does not move ---- */

enum thing { LINK_DIR, LINK_FILE, FIFO, DIRECTORY };
static const char *const things[] = {"a link to a directory", "a link to a file", "a fifo", "a directory"};

static void put_thing(struct state *t, const char *path, enum thing thing)
{
	char target[300];

	kit_rm(&t->k, path);
	switch (thing) {
	case LINK_DIR:
	case LINK_FILE:
		snprintf(target, sizeof(target), "%s/outside%s", t->k.dir, thing == LINK_FILE ? "/file" : "");
		assert_int_equal(symlinkat(target, t->k.fd, path), 0);
		break;
	case FIFO:
		assert_int_equal(mkfifoat(t->k.fd, path, 0666), 0);
		break;
	default:
		kit_mkdir(&t->k, path, 0755);
	}
}

static void test_parts_of_the_store(void **arg)
{
	static const char *const parts[] = {"store/objects",        "store/branches", "store/tmp",
					    "store/state",          "store/roots",    "store/bundles",
					    "store/bundles/partial"};
	struct state *t = *arg;
	char object[200], store[300], aside[300];

	alarm(60);
	ay_store_close(t->s);
	snprintf(store, sizeof(store), "%s/store", t->k.dir);
	for (size_t i = 0; i <= sizeof(parts) / sizeof(parts[0]); i++) {
		const char *part = object;
		if (i < sizeof(parts) / sizeof(parts[0])) {
			part = parts[i];
		} else {
			struct ay_store fake = {.owner_me = geteuid() != 0};
			t->s = &fake;
			assert_true(kit_object_of(t->s, &t->v1, "/bin/kept", object));
			object[strlen("store/objects/ab")] = '\0';
		}
		snprintf(aside, sizeof(aside), "aside-%zu", i);
		assert_int_equal(renameat(t->k.fd, part, t->k.fd, aside), 0);
		put_thing(t, part, LINK_DIR);
		for (int flags = 0; flags <= AY_STORE_READONLY; flags += AY_STORE_READONLY) {
			if (ay_store_open(ay_fs_real(), store, flags, &t->s, &t->err) == 0) {
				/* Whoever has no business in a part may not look whether it is one. */
				fail_msg("%s is a link, and the store opens", part);
			}
		}
		expect_outside_untouched(t, part);
		assert_int_equal(unlinkat(t->k.fd, part, 0), 0);
		assert_int_equal(renameat(t->k.fd, aside, t->k.fd, part), 0);
	}
	open_it(t);
}

static void test_things_in_the_way(void **arg)
{
	struct state *t = *arg;
	char object[200];
	assert_true(kit_object_of(t->s, &t->v1, "/bin/kept", object));
	const struct {
		const char *path;
		bool heals;
	} places[] = {
		{object, true},
		{B_DIR, false},
		{B_DIR "/1", false},
		{B_DIR "/1/root", true},
		{B_DIR "/1/root/bin", true},
		{B_DIR "/1/root/bin/kept", true},
		{B_DIR "/1/root/link", true},
		{B_DIR "/1/manifest", true},
		{B_DIR "/1/release", true},
		{B_DIR "/1/.ref", true},
		{B_DIR "/current", true},
		{"store/state/branches/" B, true},
		{"store/state/install-id", true},
	};
	struct ay_fsck_result res;
	uint8_t id[16];

	alarm(120);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		for (int thing = LINK_DIR; thing <= DIRECTORY; thing++) {
			assert_int_equal(ay_state_install_id(t->s, id, NULL), 0);
			put_thing(t, places[i].path, (enum thing)thing);
			do_everything(t);
			expect_outside_untouched(t, things[thing]);
			int r = heal(t, &res);
			if (r < 0)
				fail_msg("%s is %s: %s", places[i].path, things[thing], t->err.msg);
			expect_outside_untouched(t, things[thing]);
			if (places[i].heals && res.left > 0)
				fail_msg("%s is %s: not healed", places[i].path, things[thing]);
			/* From the beginning: what was refused or applied differs. */
			ay_store_close(t->s);
			kit_rm(&t->k, "store");
			open_it(t);
			if (kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0 ||
			    ay_store_switch(t->s, B, 1, false, &t->err) < 0)
				fail_msg("%s", t->err.msg);
		}
	}
}

static void test_documents_in_the_way(void **arg)
{
	struct state *t = *arg;
	struct ay_fsck_result res;
	struct ay_digest d = {{7}};
	char hex[65], path[120];
	static const char *const folders[] = {"releases", "offers", "bundles"};

	alarm(60);
	ay_digest_hex(&d, hex);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		for (int thing = LINK_DIR; thing <= DIRECTORY; thing++) {
			snprintf(path, sizeof(path), "store/%s/%s", folders[i], hex);
			put_thing(t, path, (enum thing)thing);
			do_everything(t);
			if (heal(t, &res) < 0)
				fail_msg("%s: %s", path, t->err.msg);
			assert_int_equal(res.left, 0);
			assert_false(kit_exists(&t->k, path));
			expect_outside_untouched(t, path);
		}
	}
}

static void test_foreign_staging(void **arg)
{
	struct state *t = *arg;
	static const char dir[] = "store/tmp/staging-00000000000000000000000000000000-0123456789abcdef";
	char path[200];

	alarm(60);
	kit_mkdir(&t->k, dir, 0700);
	static const char *const names[] = {"raw", "new", "tree", "other"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		put_thing(t, path, LINK_DIR);
	}
	ay_store_close(t->s);
	open_it(t);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	expect_outside_untouched(t, "links in staging");
	kit_mkdir(&t->k, dir, 0700);
	snprintf(path, sizeof(path), "%s/tree", dir);
	kit_mkdir(&t->k, path, 0700);
	static const char *const inside[] = {"root", "manifest", "release", ".ref"};
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		snprintf(path, sizeof(path), "%s/tree/%s", dir, inside[i]);
		put_thing(t, path, i == 1 ? FIFO : LINK_DIR);
	}
	ay_store_close(t->s);
	open_it(t);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	expect_outside_untouched(t, "links in a staged tree");
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
}

/* ---- what moves while we look ---- */

struct racer {
	int dir;
	const char *a, *b; /* two names that are exchanged again and again */
	atomic_bool stop;
	atomic_uint turns;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	while (!r->stop) {
		if (renameat2(r->dir, r->a, r->dir, r->b, RENAME_EXCHANGE) == 0)
			r->turns++;
		/* Sometimes it stands still for a moment, so that either state is met as a whole too. */
		if (r->turns % 7 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return NULL;
}

static void begin_race(struct racer *r, int dir, const char *a, const char *b)
{
	*r = (struct racer){.dir = dir, .a = a, .b = b};
	assert_int_equal(pthread_create(&r->thread, NULL, race, r), 0);
}

static void end_race(struct racer *r)
{
	r->stop = true;
	pthread_join(r->thread, NULL);
	assert_true(r->turns > 10);
}

static int sign(void *ctx, uint64_t entries, uint64_t bytes, const struct ay_digest *manifest,
		uint64_t manifest_size, struct ay_buf *envelope, struct ay_err *err)
{
	struct state *t = ctx;
	const struct ay_secret_key *keys[1] = {&t->k.key};
	AY_FREE struct ay_release *rel = calloc(1, sizeof(*rel));
	struct ay_buf text = {0};

	*rel = (struct ay_release){.branch = "adopted",
				   .serial = 1,
				   .root_epoch = 1,
				   .manifest = *manifest,
				   .manifest_size = manifest_size,
				   .unpacked_size = bytes,
				   .entries = entries};
	int r = ay_release_write(rel, &text, err);
	if (r == 0)
		r = ay_envelope_write(text.data, text.len, keys, 1, "test", envelope, err);
	ay_buf_release(&text);
	return r;
}

/* A source whose directory turns into a link to a directory with the same names and other contents. */
static void test_racing_source(void **arg)
{
	struct state *t = *arg;
	struct racer r;
	char target[300];
	unsigned good = 0, refused = 0;

	alarm(120);
	snprintf(target, sizeof(target), "%s/outside/bin", t->k.dir);
	assert_int_equal(symlinkat(target, t->k.fd, "v2/evil"), 0);
	AY_CLOSE int v2 = openat(t->k.fd, "v2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	begin_race(&r, v2, "bin", "evil");
	for (int i = 0; i < ROUNDS; i++) {
		int q = kit_import(&t->k, t->s, B, &t->v2, &t->err);
		good += q == 0;
		refused += q < 0;
		if (q == 0) {
			assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
			assert_int_equal(ay_store_remove_tree(t->s, B, 2, &t->err), 0);
		} else {
			assert_false(kit_exists(&t->k, B_DIR "/2"));
		}
		struct ay_adopted done;
		const struct ay_adopt a = {.branch = "adopted",
					   .dirfd = v2,
					   .dir = "v2",
					   .threads = 2,
					   .read_only_source = i % 2};
		q = ay_store_adopt_new(t->s, &a, sign, t, &done, &t->err);
		if (q == 0) {
			/* Whatever was signed: no byte of outside is in it. */
			static const char *const names[] = {"bin/kept", "evil/kept"};
			for (int k = 0; k < 2; k++) {
				char path[100];
				struct stat st;
				snprintf(path, sizeof(path), "store/branches/adopted/1/root/%s", names[k]);
				int fd = openat(t->k.fd, "store/branches/adopted/1/root", O_PATH | O_CLOEXEC);
				int file = ay__open_beneath(fd, names[k], O_RDONLY);
				if (file >= 0) {
					assert_true(fstat(file, &st) == 0 && st.st_size == 50000);
					close(file);
				}
				close(fd);
			}
			assert_int_equal(ay_store_remove_tree(t->s, "adopted", 1, &t->err), 0);
		}
		assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	}
	end_race(&r);
	print_message("racing source: %u imported, %u refused, %u exchanges\n", good, refused, r.turns);
	expect_outside_untouched(t, "a racing source");
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
}

/* A tree in which a directory turns into a link, while it is healed, checked and collected. */
static void test_racing_tree(void **arg)
{
	struct state *t = *arg;
	struct ay_fsck_result res;
	const struct ay_fsck look = {.threads = 1};
	struct racer r;
	char target[300];
	unsigned ended = 0;

	alarm(120);
	snprintf(target, sizeof(target), "%s/outside/bin", t->k.dir);
	for (int i = 0; i < ROUNDS / 4; i++) {
		AY_CLOSE int root = openat(t->k.fd, B_DIR "/1/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		unlinkat(root, "evil", 0);
		assert_int_equal(symlinkat(target, root, "evil"), 0);
		kit_rm(&t->k, B_DIR "/1/root/lib");
		begin_race(&r, root, "bin", "evil");
		ended += heal(t, &res) == 0;
		ay_store_fsck(t->s, &look, &res, NULL);
		uint64_t bad;
		ay_store_verify(t->s, B, 1, &bad, NULL);
		r.stop = true;
		pthread_join(r.thread, NULL);
		expect_outside_untouched(t, "a racing tree");
		if (heal(t, &res) < 0)
			fail_msg("%s", t->err.msg);
		assert_int_equal(res.left, 0);
		assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	}
	print_message("racing tree: %u of %u healings came to their end\n", ended, ROUNDS / 4);
}

/* A repository whose bundle turns into a link to a file outside, or a fifo. */
static void test_racing_repository(void **arg)
{
	struct state *t = *arg;
	const struct ay_root *root;
	struct racer r;
	unsigned got = 0, refused = 0;

	alarm(120);
	assert_int_equal(ay_state_root(t->s, &root, &t->err), 0);
	AY_CLOSE int bundles = openat(t->k.fd, "repo/bundles", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ay_offer offer; /* a bundle is the same each time that it is made */
	char name[65];
	AY_CLOSE int made = kit_bundle(&t->k, NULL, &t->v2, &offer);
	ay_digest_hex(&offer.bundle, name);
	assert_true(made >= 0);
	for (int thing = LINK_FILE; thing <= DIRECTORY; thing++) {
		put_thing(t, "repo/bundles/evil", (enum thing)thing);
		begin_race(&r, bundles, name, "evil");
		for (int i = 0; i < ROUNDS / 3; i++) {
			struct ay_manifest_reader *m =
				ay_manifest_reader_new_mem(t->v2.manifest.data, t->v2.manifest.len);
			struct ay_wanted w = {.size = 0};
			struct ay_entry e;
			while (ay_manifest_next(m, &e, NULL) > 0) {
				if (strcmp(e.path, "/bin/big") == 0)
					w = (struct ay_wanted){.digest = e.digest, .size = e.size};
			}
			ay_manifest_reader_free(m);
			kit_rm(&t->k, "out");
			kit_mkdir(&t->k, "out", 0755);
			AY_CLOSE int out = openat(t->k.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			const struct ay_retrieve how = {.s = t->s,
							.repo = t->repo,
							.root = root,
							.branch = B,
							.manifest = t->v2.totals.manifest,
							.dirfd = out};
			int q = ay_retrieve(&how, &w, 1, NULL, &t->err);
			got += q == 0;
			refused += q < 0;
			assert_true(q == 0 || q == AY_ENOTHING);
			assert_int_equal(kit_count(&t->k, "out"), q == 0);
		}
		end_race(&r);
		if (r.turns % 2) /* the good one back under its name */
			assert_int_equal(renameat2(bundles, name, bundles, "evil", RENAME_EXCHANGE), 0);
	}
	print_message("racing repository: %u got, %u refused\n", got, refused);
	assert_true(refused > 0);
	expect_outside_untouched(t, "a racing repository");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_parts_of_the_store), T(test_things_in_the_way), T(test_documents_in_the_way),
		T(test_foreign_staging),    T(test_racing_source),     T(test_racing_tree),
		T(test_racing_repository),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
