/* SPDX-License-Identifier: MIT */
/* State and repository on a disk that fails or is cut off at every change: the old or the new, never half. */
#include <sys/wait.h>

#include "store/state.h"
#include "store/store_internal.h"
#include "tests/fault/store/publish.h"
#include "tests/support/fs_fault.h"
#include "tests/support/place.h"
#include "tests/support/set_branch.h"

/* The serial that readers see, 0 for none; all that belongs to it is there. */
static uint32_t published(const char *path)
{
	struct ay_repo *r = NULL;
	struct ay_err err = {0};
	uint8_t bytes[AY_HEAD_SIZE], *data;
	struct ay_head h;
	struct ay_digest d;
	size_t len;
	int fd;

	int rc = ay_repo_open(ay_fs_real(), path, false, &r, &err);
	if (rc == AY_ESTATE)
		return 0;
	expect_code(rc, 0);
	rc = ay_repo_get_head(r, "xo/stable", bytes, &err);
	if (rc == -ENOENT) {
		ay_repo_close(r);
		return 0;
	}
	expect_code(rc, 0);
	expect_code(ay_head_parse(bytes, sizeof(bytes), &h, &err), 0);
	ay_digest_mem(&h.serial, sizeof(h.serial), &d);
	expect_code(ay_repo_get(r, AY_REPO_MANIFEST, &d, 4, &data, &len, &err), 0);
	free(data);
	expect_code(ay_repo_get(r, AY_REPO_RELEASE, &d, 4, &data, &len, &err), 0);
	free(data);
	expect_code(ay_repo_get(r, AY_REPO_BUNDLE, &d, 4, &data, &len, &err), 0);
	free(data);
	expect_code(ay_repo_get_root(r, 0, NULL, &data, &len, &err), 0);
	free(data);
	expect_code(ay_repo_bundle_open(r, &d, &fd, &err), 0);
	close(fd);
	ay_repo_close(r);
	return h.serial;
}

/* A disk without faults whose syncs cost nothing. */
static struct ay_fs *quiet(void)
{
	static struct fs_fault f;
	fs_fault_init(&f);
	f.syncs_off = true;
	return &f.fs;
}

#define N_WAYS 14

/* Killed, and every way to fail. */
static const struct fs_fault_case *way(int n)
{
	static const struct fs_fault_case kills[] = {{"kill before", AY_FAULT_KILL, 0},
						     {"kill after", AY_FAULT_KILL_AFTER, 0}};
	return n < 2 ? &kills[n] : &fs_fault_cases[n - 2];
}

static bool is_kill(const struct fs_fault_case *c)
{
	return c->kind == AY_FAULT_KILL || c->kind == AY_FAULT_KILL_AFTER;
}

/* In a child when the fault is the process' end. Returns what @work did, or -EINTR for "killed". */
static int with_fault(struct fs_fault *f,
		      int (*work)(struct ay_fs *fs, const char *path, uint32_t n, struct ay_err *err),
		      const char *path, uint32_t n)
{
	struct ay_err err = {0};
	int status;

	if (f->kind != AY_FAULT_KILL && f->kind != AY_FAULT_KILL_AFTER) {
		int rc = work(&f->fs, path, n, &err);
		if (rc < 0)
			assert_int_not_equal(err.msg[0], 0);
		else if (f->failed) /* a failed sync is never passed over */
			assert_null(strstr(f->failed, "sync"));
		return rc;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(work(&f->fs, path, n, &err) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(status == 0 || fs_fault_was_killed(status));
	return status == 0 ? 0 : -EINTR;
}

static void test_publishing(void **state)
{
	struct place *p = *state;

	for (int kind = 0; kind < N_WAYS; kind++) {
		const struct fs_fault_case *c = way(kind);
		uint32_t serial = 0;
		for (unsigned at = 1;; at++) {
			struct fs_fault f;
			char path[128];
			/* Odd faults hit the making of a new repository, even ones the next release of an old one. */
			snprintf(path, sizeof(path), "%s/repo-%d-%u", p->path, kind, at % 2 ? at : 0);
			uint32_t before = at % 2 ? 0 : serial;
			fs_fault_init(&f);
			f.syncs_off = true;
			fs_fault_set(&f, c, (at + 1) / 2);
			int rc = with_fault(&f, publish, path, before + 1);
			uint32_t seen = published(path);
			assert_true(seen == before + 1 || (rc < 0 && seen == before));
			bool reached = is_kill(c) ? rc == -EINTR : f.failed != NULL;
			if (seen == before) { /* whoever comes next goes on */
				struct ay_err err = {0};
				expect_code(publish(quiet(), path, before + 1, &err), 0);
				assert_int_equal(published(path), before + 1);
			}
			if (at % 2 == 0)
				serial++;
			else if (!reached)
				break;
		}
		assert_true(serial > (is_kill(c) ? 20 : 0));
	}
}

/* Raise the floor to @n, learn of head @n, keep an offer. */
static int remember(struct ay_fs *fs, const char *path, uint32_t n, struct ay_err *err)
{
	struct ay_store *s = NULL;
	struct ay_branch_state b;
	uint8_t id[16];

	int rc = ay_store_open(fs, path, 0, &s, err);
	if (rc == 0)
		rc = ay_state_branch(s, "a", &b, err);
	if (rc == 0) {
		b.floor = n;
		b.has_head = true;
		fleet_head("a", n, 1, b.head);
		rc = set_branch(s, &b, err);
	}
	if (rc == 0)
		rc = ay_state_put_doc(s, AY_DOC_OFFER, &n, sizeof(n), err);
	if (rc == 0)
		rc = ay_state_install_id(s, id, err);
	ay_store_close(s);
	return rc;
}

static int see(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	(void)d;
	(void)data;
	assert_int_equal(len, 4);
	++*(unsigned *)ctx;
	return 0;
}

static void test_remembering(void **state)
{
	struct place *p = *state;
	char path[128];
	uint32_t n = 0;
	unsigned most = 0;

	ay_store_close(open_store(p));
	snprintf(path, sizeof(path), "%s/store", p->path);
	for (int kind = 0; kind < N_WAYS; kind++) {
		const struct fs_fault_case *c = way(kind);
		bool reached = true;
		for (unsigned at = 1; reached; at++) {
			struct fs_fault f;
			struct ay_branch_state b;
			struct ay_head h;
			struct ay_err err = {0};
			unsigned docs = 0;

			fs_fault_init(&f);
			f.syncs_off = true;
			fs_fault_set(&f, c, at);
			unlinkat(p->dir, "store/state/install-id", 0);
			int rc = with_fault(&f, remember, path, n + 1);
			reached = is_kill(c) ? rc == -EINTR : f.failed != NULL;
			struct ay_store *s = open_store(p);
			expect_code(ay_state_branch(s, "a", &b, &err), 0);
			assert_true(b.floor == n + 1 || (rc < 0 && b.floor == n));
			assert_true(b.has_head || b.floor == 0);
			if (b.has_head) {
				expect_code(ay_head_parse(b.head, sizeof(b.head), &h, &err), 0);
				assert_int_equal(h.serial, b.floor);
			}
			expect_code(ay_state_each_doc(s, AY_DOC_OFFER, see, &docs, &err), 0);
			assert_true(docs == n || docs == n + 1);
			ay_store_close(s);
			expect_code(remember(quiet(), path, n + 1, &err), 0);
			n++;
			most = at > most ? at : most;
		}
	}
	assert_true(most > 8);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {T(test_publishing), T(test_remembering)};
	fleet_key(); /* before any fork, so that all sign with the same */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
