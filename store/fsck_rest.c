/* SPDX-License-Identifier: MIT */
/*
 * What is not content: roots, states, documents, bundles, what was left behind.
 *
 * Each kind of damage has one outcome. A document or bundle that is not what its name says counts as not
 * there for everybody who reads it, so healing takes it away; it is heard or fetched again. A branch's state is made
 * anew with the highest floor that the trees here prove. A root is taken from a repository
 * only if the chain of roots that we trust verifies it; the first one is for a person to give again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/bundles.h"
#include "store/fsck_internal.h"
#include "store/state_internal.h"

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static DIR *list(int dir, const char *sub)
{
	int fd = ay__open_beneath(dir, sub, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	else if (!d)
		errno = -fd;
	return d;
}

static void tell(struct ay__fsck *k, enum ay_fsck_what what, const char *path, bool done, const char *why)
{
	ay__fsck_tell(k,
		      &(struct ay_fsck_finding){.what = what,
						.outcome = done         ? AY_FSCK_HEALED
							   : k->f->heal ? AY_FSCK_LEFT
									: AY_FSCK_DAMAGED,
						.path = path},
		      "%s", why);
}

/* ---- roots ---- */

/* The newest root that verifies from the start of the chain on; the next one, which does not, from a repository. */
static int heal_root(struct ay__fsck *k, uint32_t version, struct ay_err *err)
{
	for (size_t i = 0; i < k->f->n_repos; i++) {
		AY_FREE uint8_t *data = NULL;
		struct ay_root *next = NULL;
		char name[16];
		size_t len = 0;
		if (ay_repo_get_root(k->f->repos[i], version, NULL, &data, &len, NULL) < 0 ||
		    ay_trust_next_root(k->s->root, data, len, &next, NULL) < 0)
			continue;
		snprintf(name, sizeof(name), "%" PRIu32, version);
		ay_root_free(next);
		int r = ay__store_replace_file(k->s->fs, k->s->roots, name, data, len, err);
		return r < 0 ? r : 1;
	}
	return 0;
}

int ay__fsck_roots(struct ay__fsck *k, struct ay_err *err)
{
	struct ay_err why = {0};

	for (;;) {
		int r = ay_state_root(k->s, &k->root, &why);
		if (r == 0)
			return 0;
		k->root = NULL;
		if (r == -ENOENT)
			return 0; /* a store that trusts nobody yet */
		if (r != AY_ESTORE)
			return ay_err_set(err, r, "%s", why.msg);
		/* What was verified so far stands in s->root; NULL: the very first one is damaged. */
		uint32_t version = k->s->root ? k->s->root->version + 1 : 0;
		char path[32];
		snprintf(path, sizeof(path), "roots/%" PRIu32, version);
		int q = k->f->heal && version ? heal_root(k, version, err) : 0;
		if (q < 0)
			return q;
		tell(k, AY_FSCK_STATE, version ? path : "roots", q > 0,
		     q > 0 ? "did not verify; a repository had it"
		     : version
			     ? "does not verify, and no repository has one that does: name one (--repo)"
			     : "the first root does not verify: give it again (`ayni init --root FILE` in a new store)");
		if (q == 0) {
			k->root =
				k->s->root; /* what it does not know is not believed; the rest is looked at */
			return 0;
		}
	}
}

/* ---- states ---- */

/* The highest serial whose tree is here: it was installed, so nothing below is to come in its place. */
static uint32_t proven_floor(struct ay__fsck *k, const char *branch, uint32_t *current)
{
	*current = 0;
	AY_CLOSE int dir = ay__branch_open(k->s, branch, false, NULL);
	AY_CLOSEDIR DIR *d = dir < 0 ? NULL : list(dir, ".");
	struct dirent *e;
	uint32_t serial, best = 0;

	if (dir >= 0 && ay__branch_current_or_0(k->s, dir, branch, current, NULL) < 0)
		*current = 0;
	while (d && (e = readdir(d))) {
		if (ay__serial_parse(e->d_name, &serial) && serial > best)
			best = serial;
	}
	return best;
}

static int check_state(struct ay__fsck *k, const char *file, struct ay_err *err)
{
	struct ay_branch_state state;
	struct ay_buf name;
	char path[320];
	int r = 0;

	ay_buf_init(&name, 1024);
	int q = ay_percent_unname(&name, file);
	const char *branch = q == 0 ? ay_buf_cstr(&name) : NULL;
	snprintf(path, sizeof(path), "state/branches/%s", file);
	if (ay__fsck_lack(k, q)) {
		r = q;
	} else if (!branch || ay_branch_check(branch, strlen(branch)) < 0) {
		if (file[0] != '.')
			ay__fsck_tell(k,
				      &(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER,
								.outcome = AY_FSCK_NOTED,
								.path = path},
				      "not a branch's name: left alone");
	} else if ((r = ay_state_branch(k->s, branch, &state, NULL)) < 0 && !ay__fsck_lack(k, r)) {
		uint32_t current, floor = proven_floor(k, branch, &current);
		r = 0;
		if (k->f->heal)
			r = ay__state_rebuild(k->s, branch, floor, current, err);
		if (r == 0)
			tell(k, AY_FSCK_STATE, path, k->f->heal,
			     k->f->heal
				     ? "was damaged; made anew: followed, nothing below the trees that are here"
				     : "is damaged");
	}
	ay_buf_release(&name);
	return k->failed ? ay_err_errno(err, -k->failed, "%s/%s", k->s->path, path) : r;
}

static int check_states(struct ay__fsck *k, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = list(k->s->state, "branches");
	struct dirent *e;
	uint8_t id[16];
	struct stat st;
	int r = 0;

	if (!d)
		ay__fsck_lack(k, -errno);

	while (r == 0 && d && (e = readdir(d))) {
		if (!is_dot(e->d_name))
			r = check_state(k, e->d_name, err);
	}
	if (r == 0 && fstatat(k->s->state, "install-id", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ay_state_install_id(k->s, id, NULL) == AY_ESTORE) {
		bool done = k->f->heal && ay__remove_tree(k->s->fs, k->s->state, "install-id") == 0 &&
			    ay_state_install_id(k->s, id, err) == 0;
		tell(k, AY_FSCK_STATE, "state/install-id", done,
		     done ? "was damaged; made anew" : "is damaged");
	}
	return r;
}

/* ---- what is named by its digest ---- */

static void note(struct ay__fsck *k, const char *path, const char *why)
{
	ay__fsck_tell(
		k,
		&(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER, .outcome = AY_FSCK_NOTED, .path = path},
		"%s", why);
}

/* A file whose name is its digest. Not what it says: taken away. */
static int check_named(struct ay__fsck *k, int dir, const char *folder, const char *file,
		       enum ay_fsck_what what, struct ay_err *err)
{
	struct ay_digest want, found;
	char path[340];
	uint64_t size = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	if (ay_digest_parse(&want, file, strlen(file)) < 0) {
		if (file[0] != '.' && strcmp(file, "partial") != 0)
			note(k, path, "not the name of a digest: left alone");
		return 0;
	}
	AY_CLOSE int fd = ay__open_beneath(dir, file, O_RDONLY | O_NONBLOCK);
	if (fd == -ENOENT)
		return 0;
	int q = fd < 0 ? fd : ay_digest_fd(fd, &found, &size);
	if (ay__fsck_lack(k, q))
		return ay_err_errno(err, -q, "%s/%s", k->s->path, path);
	bool good = q == 0 && ay_digest_eq(&found, &want);
	if (what == AY_FSCK_BUNDLE) {
		k->res->bundles++;
		k->res->bytes += size;
	}
	if (good)
		return 0;
	bool done = false;
	if (k->f->heal) {
		int r = ay__remove_tree(k->s->fs, dir, file); /* whatever has the name */
		if (r < 0)
			return ay_err_errno(err, -r, "cannot remove %s/%s", k->s->path, path);
		done = true;
	}
	tell(k, what, path, done,
	     done ? "was not what its name says, and counted for nothing; it was removed"
		  : "is not what its name says, and counts for nothing");
	return 0;
}

static int check_folder(struct ay__fsck *k, int dir, const char *folder, enum ay_fsck_what what,
			struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = list(dir, ".");
	struct dirent *e;
	int r = 0;

	if (!d)
		ay__fsck_lack(k, -errno);

	while (r == 0 && d && (e = readdir(d))) {
		if (!is_dot(e->d_name))
			r = check_named(k, dir, folder, e->d_name, what, err);
	}
	return r;
}

/* ---- what was left behind ---- */

/* Staging of dead processes and temporary files. Who opens the store for writing sweeps them, so a reader only sees. */
static void note_leftovers(struct ay__fsck *k)
{
	const int dirs[] = {k->s->dir, k->s->state, k->s->releases, k->s->offers, k->s->roots};
	static const char *const names[] = {"", "state/", "releases/", "offers/", "roots/"};
	struct dirent *e;
	char path[300];

	{
		AY_CLOSEDIR DIR *d = k->s->tmp < 0 ? NULL : list(k->s->tmp, ".");
		while (d && (e = readdir(d))) {
			if (is_dot(e->d_name))
				continue;
			AY_CLOSE int fd = ay__open_beneath(k->s->tmp, e->d_name, O_RDONLY | O_NONBLOCK);
			if (fd >= 0 && ay__lock(fd, LOCK_EX | LOCK_NB) < 0)
				continue; /* somebody is at work */
			snprintf(path, sizeof(path), "tmp/%s", e->d_name);
			note(k, path,
			     "left by a process that died: goes when the store is next opened for writing");
		}
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		AY_CLOSEDIR DIR *d = dirs[i] < 0 ? NULL : list(dirs[i], ".");
		while (d && (e = readdir(d))) {
			if (strncmp(e->d_name, AY__TMP_PREFIX, sizeof(AY__TMP_PREFIX) - 1) != 0)
				continue;
			AY_CLOSE int fd = ay__open_beneath(dirs[i], e->d_name, O_RDONLY | O_NONBLOCK);
			if (fd >= 0 && ay__lock(fd, LOCK_EX | LOCK_NB) < 0)
				continue;
			snprintf(path, sizeof(path), "%s%s", names[i], e->d_name);
			note(k, path,
			     "left by a process that died: goes when the store is next opened for writing");
		}
	}
}

int ay__fsck_rest(struct ay__fsck *k, struct ay_err *err)
{
	int r = check_states(k, err);

	if (r == 0)
		r = check_folder(k, k->s->releases, "releases", AY_FSCK_DOCUMENT, err);
	if (r == 0)
		r = check_folder(k, k->s->offers, "offers", AY_FSCK_DOCUMENT, err);
	if (r == 0)
		r = check_folder(k, k->s->bundles, "bundles", AY_FSCK_BUNDLE, err);
	note_leftovers(k);
	return r;
}
