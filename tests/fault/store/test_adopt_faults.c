/* SPDX-License-Identifier: MIT */
/*
 * Adopting, while each change of the disk goes wrong in turn: once, for good, or by kill -9 before or after it. The three ways:
 * signed by copying, signed by linking, matched with a part fetched from a repository.
 *
 * After each: the store opens, has the tree whole or not at all, no object that nobody links (be it that the source
 * does), nothing in tmp/; the source is as it was; and the same work done again finishes.
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
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/adopt.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_fsck.h"
#include "tests/support/kit_repo.h"

#define B "b"

/* Sanitizers make forks many times dearer; the plain build of the same run leaves nothing out. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 3u
#else
#define STEP 1u
#endif

enum way { COPY, LINK, MATCH, WAYS };

struct fixture {
	struct kit k;
	struct kit_tree v1, v2;
	struct ay_repo *repo;
	enum way way;
	unsigned calls;
};

static void make_tree(struct kit *k, const char *v, bool second)
{
	char p[64];
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_mkdir(k, v, 0755);
	kit_text(k, AT("a"), "always the same", 0644);
	kit_text(k, AT("b"), "always the same", 0644);
	kit_text(k, AT("mode"), "only my mode changes", second ? 0600 : 0644);
	kit_mkdir(k, AT("d"), 0755);
	kit_noise(k, AT("d/changes"), 9000, second ? 3001 : 3000, 0644);
	kit_text(k, second ? AT("d/renamed") : AT("d/name"), "same text, other name", 0644);
	kit_symlink(k, AT("link"), "a");
	if (second)
		kit_text(k, AT("new"), "only in the release", 0644);
#undef AT
}

static int sign(void *ctx, uint64_t entries, uint64_t bytes, const struct ay_digest *manifest,
		uint64_t manifest_size, struct ay_buf *envelope, struct ay_err *err)
{
	const struct fixture *x = ctx;

	(void)entries, (void)bytes, (void)manifest, (void)manifest_size, (void)err;
	/* A plain user's store has no owners: there the manifest is another than the kit's. */
	ay_put_bytes(envelope, x->v1.release.data, x->v1.release.len);
	return ay_buf_status(envelope);
}

static int adopt(struct fixture *x, struct ay_store *s, struct ay_err *err)
{
	struct ay_adopted out;
	AY_CLOSE int dirfd = openat(x->k.fd, "v1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int manifest = openat(x->k.fd, "manifest", O_RDONLY | O_CLOEXEC);
	const struct ay_adopt a = {.branch = B,
				   .dirfd = dirfd,
				   .dir = "v1",
				   .read_only_source = x->way == LINK,
				   .threads = 1,
				   .repo = x->way == MATCH ? x->repo : NULL};

	if (x->way == MATCH)
		return ay_store_adopt_match(s, &a, x->v2.release.data, x->v2.release.len, manifest, &out,
					    err);
	return ay_store_adopt_new(s, &a, sign, x, &out, err);
}

static struct fs_fault no_faults(void)
{
	struct fs_fault f;

	fs_fault_init(&f);
	f.syncs_off = true;
	return f;
}

static int open_and_work(struct fixture *x, struct fs_fault *f)
{
	struct ay_err err = {0};
	struct ay_store *s;

	f->fs.ctx = f; /* it was copied */
	int r = kit_store(&x->k, &f->fs, &s, &err);
	if (r < 0)
		return r;
	r = adopt(x, s, &err);
	if (r < 0 && !err.msg[0])
		fail_msg("%d without a sentence", r);
	ay_store_close(s);
	return r;
}

static void fresh_store(struct fixture *x)
{
	struct fs_fault f = no_faults();
	struct ay_err err = {0};
	struct ay_store *s;

	kit_rm(&x->k, "store");
	f.fs.ctx = &f;
	if (kit_store(&x->k, &f.fs, &s, &err) < 0)
		fail_msg("%s", err.msg);
	ay_store_close(s);
}

static int setup_way(void **arg, enum way way)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->way = way;
	kit_init(&x->k);
	make_tree(&x->k, "v1", false);
	make_tree(&x->k, "v2", true);
	kit_publish(&x->k, "v1", B, 1, &x->v1);
	kit_publish(&x->k, "v2", B, 1, &x->v2);
	kit_write(&x->k, "manifest", x->v2.manifest.data, x->v2.manifest.len, 0644, 1);
	x->repo = kit_repo(&x->k);
	kit_repo_all(&x->k, x->repo, NULL, &x->v2);
	fresh_store(x);
	struct fs_fault f = no_faults();
	assert_int_equal(open_and_work(x, &f), 0);
	x->calls = f.calls;
	assert_true(x->calls > 20);
	*arg = x;
	return 0;
}

static int teardown(void **arg)
{
	struct fixture *x = *arg;

	ay_repo_close(x->repo);
	kit_tree_release(&x->v1);
	kit_tree_release(&x->v2);
	kit_release(&x->k);
	free(x);
	return 0;
}

/* ---- what must hold ---- */

static void assert_source_untouched(struct fixture *x, unsigned at)
{
	struct ay_buf now = {0};
	struct ay_err err = {0};
	const struct ay_scan_options opts = {.threads = 1};
	AY_CLOSE int fd = openat(x->k.fd, "v1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(ay_scan(fd, "v1", &opts, ay_write_to_buf, &now, NULL, &err), 0);
	if (now.len != x->v1.manifest.len || memcmp(now.data, x->v1.manifest.data, now.len) != 0)
		fail_msg("change %u: the source is another", at);
	ay_buf_release(&now);
}

static void assert_old_or_new(struct fixture *x, const char *kind, unsigned at, const char *call)
{
	const struct kit_tree *tree = x->way == MATCH ? &x->v2 : &x->v1;
	struct fs_fault f = no_faults();
	struct ay_err err = {0};
	struct ay_store *s;

	f.fs.ctx = &f;
	if (kit_store(&x->k, &f.fs, &s, &err) < 0)
		fail_msg("%s at change %u (%s): the store does not open: %s", kind, at, call, err.msg);
	bool there = kit_exists(&x->k, "store/branches/" B "/1");
	if (there && !kit_tree_is(&x->k, B, 1, tree))
		fail_msg("%s at change %u (%s): half a tree", kind, at, call);
	if (!there && kit_count(&x->k, "store/objects") != 0)
		fail_msg("%s at change %u (%s): %u objects are left", kind, at, call,
			 kit_count(&x->k, "store/objects"));
	if (kit_count(&x->k, "store/tmp") != 0 || kit_objects_unlinked(&x->k) != 0)
		fail_msg("%s at change %u (%s): garbage is left", kind, at, call);
	ay_store_close(s);
	assert_source_untouched(x, at);
}

static void assert_finishes(struct fixture *x, const char *kind, unsigned at, const char *call)
{
	struct fs_fault f = no_faults();
	int r = open_and_work(x, &f);

	if (r != 0 && r != AY_ENOTHING)
		fail_msg("%s at change %u (%s): it does not work the second time: %d", kind, at, call, r);
	assert_old_or_new(x, kind, at, call);
	assert_true(kit_exists(&x->k, "store/branches/" B "/1"));
	char path[300], why[1024];
	snprintf(path, sizeof(path), "%s/store", x->k.dir);
	if (kit_fsck(path, why, sizeof(why)))
		fail_msg("%s at change %u (%s): %s", kind, at, call, why);
}

static void each_change_fails(struct fixture *x, const struct fs_fault_case *c)
{
	unsigned failed = 0, n = 0;

	for (unsigned at = 1;; at += c->kind == AY_FAULT_FOREVER ? 2 * STEP : STEP, n++) {
		struct fs_fault f = no_faults();
		fs_fault_set(&f, c, at);
		fresh_store(x);
		int r = open_and_work(x, &f);
		if (!f.failed)
			break;
		failed += r < 0;
		if (c->error == 0 && r < 0)
			fail_msg("%s at change %u: %d", c->name, at, r);
		/* While the disk works otherwise, a failure is cleaned up at once. */
		if (c->kind == AY_FAULT_ONCE && r < 0 &&
		    (kit_count(&x->k, "store/tmp") || kit_count(&x->k, "store/objects")))
			fail_msg("%s at change %u (%s): garbage after a failure", c->name, at, f.failed);
		assert_old_or_new(x, c->name, at, f.failed);
		assert_finishes(x, c->name, at, f.failed);
	}
	assert_true(n > 0 && (fs_fault_may_succeed(c) || failed * 2 > n));
}

static void each_change_goes_wrong(void **arg)
{
	for (const struct fs_fault_case *c = fs_fault_cases; c->name; c++)
		each_change_fails(*arg, c);
}

static void killed_at(struct fixture *x, enum fs_fault_kind kind, unsigned at)
{
	const char *name = kind == AY_FAULT_KILL ? "killed before" : "killed after";

	fresh_store(x);
	pid_t pid = fork();
	if (pid == 0) {
		struct fs_fault f = no_faults();
		f.kind = kind;
		f.at = at;
		_exit(open_and_work(x, &f) == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(fs_fault_was_killed(status));
	assert_old_or_new(x, name, at, "-");
	assert_finishes(x, name, at, "-");
}

static void killed(void **arg)
{
	struct fixture *x = *arg;

	for (unsigned at = 1; at <= x->calls; at += STEP) {
		killed_at(x, AY_FAULT_KILL, at);
		killed_at(x, AY_FAULT_KILL_AFTER, at);
	}
	killed_at(x, AY_FAULT_KILL_AFTER, x->calls);
}

static int setup_copy(void **arg)
{
	return setup_way(arg, COPY);
}

static int setup_link(void **arg)
{
	return setup_way(arg, LINK);
}

static int setup_match(void **arg)
{
	return setup_way(arg, MATCH);
}

#define THREE(f)                                                                                             \
	{#f ", copied", f, setup_copy, teardown, NULL}, {#f ", linked", f, setup_link, teardown, NULL},      \
	{                                                                                                    \
#f ", matched", f, setup_match, teardown, NULL                                               \
	}

int main(void)
{
	/* The kit's manifest names owners, which a plain user's store does not sign. */
	if (geteuid() != 0) {
		const struct CMUnitTest tests[] = {
			{"each_change_goes_wrong, matched", each_change_goes_wrong, setup_match, teardown,
			 NULL},
			{"killed, matched", killed, setup_match, teardown, NULL},
		};
		return cmocka_run_group_tests(tests, NULL, NULL);
	}
	const struct CMUnitTest tests[] = {
		THREE(each_change_goes_wrong),
		THREE(killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
