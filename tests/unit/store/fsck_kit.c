/* SPDX-License-Identifier: MIT */
/* See fsck_kit.h. */
#include "tests/unit/store/fsck_kit.h"

int fsck_setup(void **arg)
{
	struct fsck_kit *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	kit_two_trees(&t->k);
	kit_publish(&t->k, "v1", B, 1, &t->v1);
	kit_publish(&t->k, "v2", B, 2, &t->v2);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0 ||
	    kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0 ||
	    ay_store_switch(t->s, B, 1, false, &t->err) < 0 ||
	    kit_import(&t->k, t->s, B, &t->v2, &t->err) < 0 ||
	    ay_store_switch(t->s, B, 2, false, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	t->repo = kit_repo(&t->k);
	kit_repo_all(&t->k, t->repo, NULL, &t->v1);
	kit_repo_all(&t->k, t->repo, &t->v1, &t->v2);
	*arg = t;
	return 0;
}

int fsck_teardown(void **arg)
{
	struct fsck_kit *t = *arg;

	ay_repo_close(t->repo);
	ay_store_close(t->s);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

static void remember(void *ctx, const struct ay_fsck_finding *f)
{
	struct fsck_kit *t = ctx;

	assert_true(t->n < FOUND_MAX);
	struct fsck_told *x = &t->told[t->n++];
	*x = (struct fsck_told){.what = f->what, .outcome = f->outcome, .serial = f->serial};
	snprintf(x->path, sizeof(x->path), "%s", f->path ? f->path : "");
	snprintf(x->object, sizeof(x->object), "%s", f->object ? f->object : "");
	snprintf(x->why, sizeof(x->why), "%s", f->why);
	assert_true(f->why[0] != '\0');
}

int fsck_run(struct fsck_kit *t, bool heal, bool repo)
{
	const struct ay_fsck f = {
		.heal = heal, .repos = &t->repo, .n_repos = repo, .threads = 2, .found = remember, .ctx = t};
	t->n = 0;
	t->err = (struct ay_err){0};
	return ay_store_fsck(t->s, &f, &t->res, &t->err);
}

static void print_told(const struct fsck_kit *t)
{
	for (size_t i = 0; i < t->n; i++)
		fprintf(stderr, "  %s %s %u %s %.20s: %s\n", ay_fsck_what_name(t->told[i].what),
			ay_fsck_outcome_name(t->told[i].outcome), t->told[i].serial, t->told[i].path,
			t->told[i].object, t->told[i].why);
}

void fsck_expect(struct fsck_kit *t, int got, int want)
{
	if (got != want) {
		print_told(t);
		fail_msg("got %s (%s), wanted %s", ay_error_name(got), t->err.msg, ay_error_name(want));
	}
}

const struct fsck_told *find_told(const struct fsck_kit *t, enum ay_fsck_what what, uint32_t serial,
				  const char *path)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->told[i].what == what && t->told[i].serial == serial &&
		    strcmp(t->told[i].path, path) == 0)
			return &t->told[i];
	}
	return NULL;
}

const struct fsck_told *expect_told(struct fsck_kit *t, enum ay_fsck_what what, uint32_t serial,
				    const char *path, enum ay_fsck_outcome outcome)
{
	const struct fsck_told *x = find_told(t, what, serial, path);

	if (!x || x->outcome != outcome) {
		print_told(t);
		fail_msg("not told: %s %s %u %s", ay_fsck_what_name(what), ay_fsck_outcome_name(outcome),
			 serial, path);
	}
	return x;
}

void expect_clean(struct fsck_kit *t)
{
	fsck_expect(t, fsck_run(t, false, false), 0);
	if (t->res.damaged > 0) {
		print_told(t);
		fail_msg("%d are damaged still", (int)t->res.damaged);
	}
	assert_true(kit_tree_is(&t->k, B, 1, &t->v1));
	assert_true(kit_tree_is(&t->k, B, 2, &t->v2));
	uint32_t now;
	fsck_expect(t, ay_store_current(t->s, B, &now, &t->err), 0);
	assert_int_equal(now, 2);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
}

void expect_healed(struct fsck_kit *t, bool repo)
{
	fsck_expect(t, fsck_run(t, true, repo), 0);
	if (t->res.left > 0 || t->res.healed == 0) {
		print_told(t);
		fail_msg("%d left, %d healed", (int)t->res.left, (int)t->res.healed);
	}
	expect_clean(t);
}

char *in_tree(char out[300], unsigned serial, const char *path)
{
	snprintf(out, 300, B_DIR "/%u/root/%s", serial, path);
	return out;
}

void object_of(struct fsck_kit *t, const char *path, char out[200])
{
	assert_true(kit_object_of(t->s, &t->v2, path, out) && kit_exists(&t->k, out));
}

ino_t inode_of(struct fsck_kit *t, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(t->k.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

void rot(struct fsck_kit *t, const char *path)
{
	struct stat st;
	char c;
	AY_CLOSE int fd = openat(t->k.fd, path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c = (char)(c ^ 1);
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	const struct timespec ts[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(futimens(fd, ts), 0);
}
