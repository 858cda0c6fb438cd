/* SPDX-License-Identifier: MIT */
/* Who comes after somebody that did not come to his end: killed beside us, or cut off with the power. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/bundles.h"
#include "store/fsck.h"
#include "store/state.h"
#include "tests/powercut/story_internal.h"

/* ---- after one that was killed ---- */

static void be_killed(struct teller *t, const char *at, int (*step)(struct teller *t, struct ay_err *err))
{
	struct ay_err err = {0};

	t->as = "killed-";
	t->s = NULL;
	snprintf(t->m->kill, sizeof(t->m->kill), "%s", at);
	int r = story_open(t, 0, &err);
	if (r == 0)
		r = step(t, &err);
	fprintf(stderr, "powercut: nobody was killed at %s: %s\n", at,
		r < 0 ? err.msg : "it was not come by");
}

int story_step(struct teller *t, const char *killed_at, int (*step)(struct teller *t, struct ay_err *err),
	       struct ay_err *err)
{
	int status = 0;

	if (!t->manner->killed)
		return step(t, err);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		be_killed(t, killed_at, step);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return ay_err_errno(err, errno, "fork");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != KILLED)
		return ay_err_set(err, AY_ESTORE, "%s: the first process ended otherwise", killed_at);
	t->as = "again-";
	int r = step(t, err);
	t->as = NULL;
	return r;
}

/* ---- the second run ---- */

static int fetch_all(const struct world *w, struct ay_store *s, struct ay_err *err)
{
	const struct blob *b = &w->blobs[BLOB_3]; /* the one that is collected in parts */
	struct ay_bundle_file *f = NULL;
	int r = ay_bundle_file_open(s, &b->digest, b->size, true, &f, err);

	for (unsigned level = ay_merkle_levels(b->merkle); r == 0 && level-- > 0;)
		for (uint64_t i = 0; r == 0 && i < ay_merkle_width(b->merkle, level); i++)
			r = ay_bundle_file_add_hashes(f, level, i, ay_merkle_get(b->merkle, level, i), err);
	for (uint64_t i = 0; r == 0 && i < ay_blocks_of(b->size); i++)
		r = ay_bundle_file_write(f, i, b->data + i * AY_BLOCK_SIZE, ay_block_len(b->size, i), err);
	if (r == 0)
		r = ay_bundle_file_finish(f, err);
	ay_bundle_file_close(f);
	return r;
}

/* What it says it cannot heal is kept for the sentence. */
static void left(void *ctx, const struct ay_fsck_finding *f)
{
	struct ay_err *err = ctx;

	if (f->outcome == AY_FSCK_LEFT)
		ay_err_set(err, AY_ESTORE, "%s %s: %s", ay_fsck_what_name(f->what), f->path ? f->path : "-",
			   f->why);
}

int story_heal_all(const struct world *w, const char *mounted, struct ay_err *err)
{
	struct ay_fsck_result found;
	struct ay_store *s = NULL;
	struct ay_err why = {0};
	char path[300];
	const struct ay_fsck f = {
		.heal = true, .repos = &w->repo, .n_repos = 1, .threads = 1, .found = left, .ctx = &why};

	story_store_path(mounted, path, sizeof(path));
	int r = ay_store_open(ay_fs_real(), path, 0, &s, err);
	if (r < 0)
		return ay_err_wrap(err, r, "open");
	if ((r = ay_store_fsck(s, &f, &found, err)) == 0 && found.left > 0)
		r = ay_err_set(err, AY_ESTORE, "not healed: %s", why.msg);
	ay_store_close(s);
	return r < 0 ? ay_err_wrap(err, r, "the second run") : 0;
}

int story_go_on(const struct world *w, const char *mounted, struct ay_err *err)
{
	const struct blob *b = &w->blobs[BLOB_ALL];
	struct ay_store *s = NULL;
	const struct ay_root *root;
	struct ay_gc_result res;
	char path[300];

	story_store_path(mounted, path, sizeof(path));
	int r = ay_store_open(ay_fs_real(), path, AY_STORE_CREATE, &s, err);
	if (r < 0)
		return ay_err_wrap(err, r, "open");
	if (ay_state_root(s, &root, NULL) < 0)
		r = ay_state_add_root(s, w->k.root.data, w->k.root.len, err);
	if (r == 0)
		r = fetch_all(w, s, err);
	if (r == 0 && (r = kit_apply(s, "b", &w->b[2], b->fd, &b->offer, err)) == AY_ENOTHING)
		r = 0;
	if (r == 0)
		r = ay_store_switch(s, "b", 3, false, err);
	if (r == 0)
		r = ay_store_gc(s, 0, &res, err);
	ay_store_close(s);
	return r < 0 ? ay_err_wrap(err, r, "the second run") : 0;
}
