/* SPDX-License-Identifier: MIT */
/* What else happens to a laptop's store: trees on trial, a system that was there before, damage, a branch that is left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/adopt.h"
#include "store/branch.h"
#include "store/budget.h"
#include "store/fsck.h"
#include "store/turn.h"
#include "tests/powercut/story_internal.h"

/* One change of whose turn it is; @r is what the call before gave. */
static int changed(struct teller *t, int r, struct ay_err *err)
{
	return r < 0 ? r : story_now(t, "b", err);
}

int story_on_trial(struct teller *t, uint32_t serial, bool fails, uint32_t back, struct ay_err *err)
{
	uint32_t number, from, to;

	story_phase(t, "pin");
	story_say(t, "may state:b *\n");
	int r = changed(t, ay_turn_pin(t->s, "b", 2, true, err), err);
	story_phase(t, "ready");
	story_say(t, "may state:b *\n");
	if (r == 0)
		r = changed(t, ay_turn_ready(t->s, "b", serial, err), err);
	story_phase(t, "trial");
	story_say(t, "may state:b *\nmay current:b %u\nmay floor:b %u\nmay bad:b -\n", serial, serial);
	if (r == 0)
		r = changed(t, ay_turn_trial(t->s, "b", serial, 2, err), err);
	story_phase(t, "try");
	story_say(t, "may state:b *\n");
	if (r == 0)
		r = changed(t, ay_turn_try(t->s, "b", &number, err), err);
	story_phase(t, fails ? "fail" : "confirm");
	story_say(t, "may state:b *\n");
	if (fails)
		story_say(t, "may current:b %u\nmay bad:b %u\n", back, serial);
	if (r == 0)
		r = changed(t,
			    fails ? ay_turn_fail(t->s, "b", &from, &to, err)
				  : ay_turn_confirm(t->s, "b", &number, err),
			    err);
	story_phase(t, "unpin");
	story_say(t, "may state:b *\n");
	if (r == 0)
		r = changed(t, ay_turn_unpin(t->s, "b", 2, err), err);
	AY_ASSERT(r < 0 || !fails || (from == serial && to == back));
	return r;
}

/* Nothing is synced: whoever installed it has only just been here. */
static int copy_tree(const char *from, const char *to)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/cp", "cp", "-a", "--sparse=auto", from, to, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return status == 0 ? 0 : -EIO;
}

int story_adopt(struct teller *t, struct ay_err *err)
{
	const struct kit_tree *d = &t->w->d;
	char from[300], to[300];
	struct ay_adopted out;

	snprintf(from, sizeof(from), "%s/%s", t->w->k.dir, d->dir);
	snprintf(to, sizeof(to), "%s/os", t->mounted);
	int r = copy_tree(from, to);
	if (r < 0)
		return ay_err_errno(err, -r, "cp -a to %s", to);
	AY_CLOSE int dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int manifest = memfd_create("manifest", MFD_CLOEXEC);
	if (dir < 0 || pwrite(manifest, d->manifest.data, d->manifest.len, 0) != (ssize_t)d->manifest.len)
		return ay_err_errno(err, errno, "%s", to);
	story_phase(t, "adopt");
	story_say(t, "may tree:d:1 there\n");
	const struct ay_adopt a = {.branch = "d",
				   .dirfd = dir,
				   .dir = to,
				   .read_only_source = ay_prng_below(&t->r, 2),
				   .threads = t->manner->threads};
	r = ay_store_adopt_match(t->s, &a, d->release.data, d->release.len, manifest, &out, err);
	if (r == 0)
		story_say(t, "must tree:d:1 there\n");
	return r;
}

/* A write that nobody should have made, and that hides itself. */
static int damage(struct teller *t, const char *file, struct ay_err *err)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/branches/b/3/root/%s", t->path, file);
	AY_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || pwrite(fd, "damage", 6, 8000) != 6 ||
	    futimens(fd, (struct timespec[]){st.st_mtim, st.st_mtim}) < 0 || fchmod(fd, st.st_mode) < 0 ||
	    fsync(fd) < 0) /* else a cut would undo the damage, and hide what the healing forgot */
		return ay_err_errno(err, errno, "%s", path);
	return 0;
}

int story_heal(struct teller *t, struct ay_err *err)
{
	const struct ay_fsck f = {
		.heal = true, .repos = &t->w->repo, .n_repos = 1, .threads = t->manner->threads};
	struct ay_fsck_result found;

	story_phase(t, "heal");
	story_say(t, "may damaged:b:2 *\nmay damaged:b:3 *\n");
	int r = damage(t, "bin/kept", err);
	if (r == 0)
		r = ay_store_fsck(t->s, &f, &found, err);
	if (r == 0 && found.left > 0)
		r = ay_err_set(err, AY_ESTORE, "%u findings are not healed", (unsigned)found.left);
	if (r == 0)
		story_say(t, "must damaged:b:2 -\nmust damaged:b:3 -\n");
	return r;
}

/* Which trees and bundles are needed still is the collector's to say; what he says has gone is gone. */
int story_make_room(struct teller *t, struct ay_err *err)
{
	const struct ay_budget nothing = {.keep = 1, .max_size = 1};
	struct ay_gc_result res;
	char path[400];

	story_phase(t, "budget");
	story_say(t, "may tree:b:2 -\n");
	for (unsigned i = 0; i < WORLD_BLOBS; i++)
		story_say(t, "may bundle:%s -\nmay offer:%s -\n", t->w->blobs[i].name, t->w->blobs[i].name);
	int r = ay_store_collect(t->s, &nothing, 0, &res, err);
	snprintf(path, sizeof(path), "%s/branches/b/2", t->path);
	if (r == 0 && access(path, F_OK) < 0)
		story_say(t, "must tree:b:2 -\n");
	return r;
}

int story_leave(struct teller *t, struct ay_err *err)
{
	struct ay_gc_result res;

	story_phase(t, "leave");
	story_say(t,
		  "may tree:c:1 -\nmay current:c -\nmay dangling:c there\nmay state:c *\nmay follow:c -\n");
	int r = ay_store_remove_branch(t->s, "c", false, &res, err);
	if (r == 0)
		story_say(t, "must tree:c:1 -\nmust current:c -\nmust dangling:c -\nmust follow:c -\n");
	return r == 0 ? story_now(t, "c", err) : r;
}
