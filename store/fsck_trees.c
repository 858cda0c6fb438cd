/* SPDX-License-Identifier: MIT */
/*
 * Branches, their trees as wholes, and `current`.
 *
 * A tree is what its release says, and a release is believed by a root, today's or one that was trusted before. Of the pair
 * release and manifest one may be lost: the release names the manifest by digest, and a manifest that is whole tells
 * which release is the right one. With both lost nobody can say what the tree was (a publisher may have signed two
 * releases of one serial): it is taken away, unless it is current, which is for a person to decide.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/fsck_internal.h"
#include "store/state.h"

static DIR *list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static int cmp_branches(const void *a, const void *b)
{
	return strcmp(((const struct ay__fsck_branch *)a)->name, ((const struct ay__fsck_branch *)b)->name);
}

static int add_branch(struct ay__fsck *k, const char *name)
{
	struct ay__fsck_branch *grown = reallocarray(k->branches, k->n_branches + 1, sizeof(*grown));
	const struct ay_branch_rule *rule = k->root ? ay_root_branch_rule(k->root, name) : NULL;

	if (!grown)
		return -ENOMEM;
	k->branches = grown;
	struct ay__fsck_branch *b = &grown[k->n_branches++];
	*b = (struct ay__fsck_branch){.shares = rule && rule->share};
	snprintf(b->name, sizeof(b->name), "%s", name);
	return 0;
}

int ay__fsck_branches(struct ay__fsck *k, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = list(k->s->branches);
	struct dirent *e;
	int r = 0;

	if (!d)
		return ay_err_errno(err, errno, "cannot list the branches of %s", k->s->path);
	while (r == 0 && (e = readdir(d))) {
		struct ay_buf name;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		ay_buf_init(&name, 1024);
		int q = ay_percent_unname(&name, e->d_name);
		const char *text = q == 0 ? ay_buf_cstr(&name) : NULL;
		if (ay__fsck_lack(k, q)) {
			r = q;
		} else if (text && ay_branch_check(text, strlen(text)) == 0) {
			r = add_branch(k, text);
		} else {
			char path[300];
			snprintf(path, sizeof(path), "branches/%s", e->d_name);
			ay__fsck_tell(k,
				      &(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER,
								.outcome = AY_FSCK_NOTED,
								.path = path},
				      "not a branch's name: left alone");
		}
		ay_buf_release(&name);
	}
	if (r < 0)
		return ay_err_errno(err, -r, "fsck");
	if (k->n_branches > 1)
		qsort(k->branches, k->n_branches, sizeof(*k->branches), cmp_branches);
	return 0;
}

/* ---- release and manifest ---- */

static void tell_tree(struct ay__fsck_tree *t, const char *what, bool done, const char *why)
{
	ay__fsck_tell(t->k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_TREE,
						.outcome = done            ? AY_FSCK_HEALED
							   : t->k->f->heal ? AY_FSCK_LEFT
									   : AY_FSCK_DAMAGED,
						.branch = t->k->branches[t->branch].name,
						.serial = t->serial,
						.path = what},
		      "%s", why);
}

/* Is it this tree's release, signed for one of the roots that we trusted? */
static bool believe(struct ay__fsck_tree *t, const uint8_t *data, size_t len, struct ay_release *out)
{
	struct ay__fsck *k = t->k;
	const char *branch = k->branches[t->branch].name;

	for (uint32_t v = k->root ? k->root->version : 0; v > 0; v--) {
		AY_FREE uint8_t *envelope = NULL;
		struct ay_envelope env;
		struct ay_root *old = NULL;
		size_t n = 0;
		int r;
		if (v == k->root->version) {
			r = ay_trust_release(k->root, branch, data, len, out, NULL);
		} else {
			if ((r = ay_state_root_envelope(k->s, v, &envelope, &n, NULL)) < 0 ||
			    (r = ay_envelope_parse(envelope, n, &env, NULL)) < 0 ||
			    (r = ay_root_parse(env.text.data, env.text.len, &old, NULL)) < 0) {
				ay__fsck_lack(k, r);
				return false; /* below the first root that was trusted */
			}
			r = ay_trust_release(old, branch, data, len, out, NULL);
			ay_root_free(old);
		}
		ay__fsck_lack(k, r);
		if (r == 0)
			return out->serial == t->serial;
		if (r != AY_EROLE && r != AY_ESIG)
			return false;
	}
	return false;
}

/* The digest of the manifest that lies there; 0 if there is one. */
static bool manifest_digest(const struct ay__fsck_tree *t, struct ay_digest *d)
{
	AY_CLOSE int fd = ay__open_beneath(t->dir, "manifest", O_RDONLY | O_NONBLOCK);
	int r = fd < 0 ? fd : ay_digest_fd(fd, d, NULL);

	ay__fsck_lack(t->k, r);
	return r == 0;
}

/* A document of the tree anew, whatever stands in its place. */
static int put_document(struct ay__fsck_tree *t, const char *name, const void *data, size_t len,
			struct ay_err *err)
{
	struct ay_fs *fs = t->k->s->fs;
	struct stat st;

	if (fstatat(t->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		int r = ay__remove_tree(fs, t->dir, name);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot remove the directory %s", name);
	}
	return ay__store_replace_file(fs, t->dir, name, data, len, err);
}

struct search {
	struct ay__fsck_tree *t;
	struct ay_digest manifest;
	uint8_t *data; /* found; owned */
	size_t len;
};

static int is_lost_release(void *ctx, const uint8_t *data, size_t len)
{
	struct search *x = ctx;
	AY_FREE struct ay_release *rel = malloc(sizeof(*rel));

	if (!rel)
		return -ENOMEM;
	if (!believe(x->t, data, len, rel) || !ay_digest_eq(&rel->manifest, &x->manifest))
		return 0;
	x->data = malloc(len);
	if (!x->data)
		return -ENOMEM;
	memcpy(x->data, data, len);
	x->len = len;
	return 1;
}

static int is_lost_doc(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	(void)d;
	return is_lost_release(ctx, data, len);
}

/* 1: written; 0: not found. */
static int heal_release(struct ay__fsck_tree *t, struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	struct search x = {.t = t};
	int r = 0;

	if (!k->f->heal || !manifest_digest(t, &x.manifest))
		return 0;
	r = ay_state_each_doc(k->s, AY_DOC_RELEASE, is_lost_doc, &x, NULL);
	for (size_t i = 0; i < k->f->n_repos && !x.data; i++)
		r = ay_repo_each_release(k->f->repos[i], is_lost_release, &x, NULL);
	if (!x.data)
		return r == -ENOMEM ? ay_err_errno(err, ENOMEM, "fsck") : 0;
	r = put_document(t, "release", x.data, x.len, err);
	free(x.data);
	return r < 0 ? r : 1;
}

/* A manifest's bytes of the right digest into the tree. 1: written; 0: it is not these. */
static int take_manifest(struct ay__fsck_tree *t, const uint8_t *data, size_t len, struct ay_err *err)
{
	struct ay_digest d;

	ay_digest_mem(data, len, &d);
	if (!ay_digest_eq(&d, &t->release.manifest))
		return 0;
	int r = put_document(t, "manifest", data, len, err);
	return r < 0 ? r : 1;
}

static int heal_manifest(struct ay__fsck_tree *t, struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	int r = 0;

	for (size_t i = 0; k->f->heal && i < k->f->n_repos && r == 0; i++) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		if (ay_repo_get(k->f->repos[i], AY_REPO_MANIFEST, &t->release.manifest,
				(size_t)t->release.manifest_size, &data, &len, NULL) == 0)
			r = take_manifest(t, data, len, err);
	}
	return r;
}

/* 1: it can be walked; 0: it cannot; negative: the disk failed. */
static int open_documents(struct ay__fsck_tree *t, bool tell, bool *lost, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_digest d;
	size_t len = 0;
	int q = ay__read_file(t->dir, "release", AY_ENVELOPE_MAX, &data, &len, NULL);
	bool good = !ay__fsck_lack(t->k, q) && q == 0 && believe(t, data, len, &t->release);
	if (t->k->failed)
		return ay_err_errno(err, -t->k->failed, "release");
	if (!good) {
		int r = tell ? heal_release(t, err) : 0;
		if (r < 0)
			return r;
		if (r > 0) {
			free(ay_steal_ptr(&data));
			good = ay__read_file(t->dir, "release", AY_ENVELOPE_MAX, &data, &len, NULL) == 0 &&
			       believe(t, data, len, &t->release);
		}
		if (t->k->failed) /* then it is not known to be lost */
			return ay_err_errno(err, -t->k->failed, "release");
		*lost = !good;
		if (tell && (good || !t->k->f->heal))
			tell_tree(t, "release", good, "is missing, damaged, or signed by nobody who may");
		if (!good)
			return 0;
	}
	good = manifest_digest(t, &d) && ay_digest_eq(&d, &t->release.manifest);
	if (t->k->failed)
		return ay_err_errno(err, -t->k->failed, "manifest");
	if (!good) {
		int r = tell ? heal_manifest(t, err) : 0;
		if (r < 0)
			return r;
		good = r > 0;
		if (tell)
			tell_tree(
				t, "manifest", good,
				good || !t->k->f->heal
					? "is missing, or not the one that the release names"
					: "is missing, or not the one that the release names; no repository has it: name one (--repo)");
		if (!good)
			return 0;
	}
	t->manifest = ay__open_beneath(t->dir, "manifest", O_RDONLY);
	return t->manifest < 0 ? ay_err_errno(err, -t->manifest, "manifest") : 1;
}

/* Is there a manifest, well-formed to its end? Then it may yet be known which release it was. */
static bool manifest_is_whole(const struct ay__fsck_tree *t)
{
	AY_CLOSE int fd = ay__open_beneath(t->dir, "manifest", O_RDONLY | O_NONBLOCK);
	struct ay__fd_reader in = {.fd = fd};
	struct ay_manifest_reader *m = fd < 0 ? NULL : ay_manifest_reader_new(ay__fd_read, &in);
	struct ay_entry e;
	int r = m ? 1 : -ENOENT;

	while (r > 0)
		r = ay_manifest_next(m, &e, NULL);
	ay_manifest_reader_free(m);
	return r == 0 || ay__fsck_lack(t->k, fd < 0 ? fd : !m ? -ENOMEM : r);
}

/* The release cannot be had. Does nothing else tell what the tree was, it goes. */
static int drop_tree(struct ay__fsck_tree *t, int branch_dir, int ref, struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	struct ay__staging st = AY__STAGING_NONE;
	char name[AY__SERIAL_NAME_MAX];
	uint32_t current = 0;
	int r = 0;

	bool is_current =
		ay__branch_current_or_0(k->s, branch_dir, k->branches[t->branch].name, &current, NULL) == 0 &&
		current == t->serial;
	bool whole = k->root_lost || manifest_is_whole(t);
	bool used = !whole && ref >= 0 && ay__lock(ref, LOCK_EX | LOCK_NB) < 0;
	if (whole || is_current || used) {
		tell_tree(
			t, "release", false,
			whole ? "is missing, damaged, or signed by nobody who may; no repository has it: name "
				"one (--repo)"
			: is_current
				? "is missing or damaged, and the tree is the current one: update to a newer "
				  "release, or roll back, then heal again"
				: "is missing or damaged, and somebody uses the tree: it is removed later");
		return 0;
	}
	ay__serial_name(t->serial, name);
	if ((r = ay__staging_begin(k->s, &st, err)) < 0)
		return r;
	r = k->s->fs->ops->rename(k->s->fs, branch_dir, name, st.dir, "tree", true);
	if (r == 0)
		r = k->s->fs->ops->fsync(k->s->fs, branch_dir);
	if (r == 0)
		tell_tree(t, "release", true,
			  "is missing or damaged, and so nobody can say what the tree was: it was removed");
	else
		ay_err_errno(err, -r, "cannot move tree %s aside", name);
	ay__staging_end(&st, NULL);
	return r;
}

static int one_tree(struct ay__fsck *k, size_t b, int branch_dir, uint32_t serial, bool tell,
		    int (*each)(struct ay__fsck_tree *t, struct ay_err *err), struct ay_err *err)
{
	AY_FREE struct ay__fsck_tree *t = calloc(1, sizeof(*t));
	char name[AY__SERIAL_NAME_MAX];
	bool lost = false;

	if (!t)
		return ay_err_errno(err, ENOMEM, "fsck");
	ay__serial_name(serial, name);
	AY_CLOSE int dir = ay__open_beneath(branch_dir, name, O_RDONLY | O_DIRECTORY);
	if (dir == -ENOENT)
		return 0; /* the collector was faster */
	if (ay__fsck_lack(k, dir))
		return ay_err_errno(err, -dir, "tree %s", name);
	*t = (struct ay__fsck_tree){.k = k, .branch = b, .serial = serial, .dir = dir, .manifest = -1};
	if (dir < 0) {
		if (tell)
			tell_tree(t, "", false, "cannot be opened, or is not a directory");
		return 0;
	}
	/* While we hold it nobody takes the tree away. */
	AY_CLOSE int ref = ay__open_beneath(dir, ".ref", O_RDONLY | O_NONBLOCK);
	if (ref >= 0)
		ay__lock(ref, LOCK_SH | LOCK_NB);
	if (ay__fsck_lack(k, ref))
		return ay_err_errno(err, -ref, "tree %s", name);
	if (ref < 0 && tell) {
		if (k->f->heal)
			ay__remove_tree(k->s->fs, dir, ".ref"); /* no file, or one that cannot be opened */
		int r = k->f->heal ? ay__write_file(k->s->fs, dir, ".ref", "", 0) : 0;
		if (r < 0)
			return ay_err_errno(err, -r, "cannot make .ref of tree %s", name);
		tell_tree(t, ".ref", k->f->heal, "is missing: the tree could not be held while it is used");
	}
	int r = open_documents(t, tell, &lost, err);
	if (r > 0)
		r = each ? each(t, err) : 0;
	else if (r == 0 && lost && tell && k->f->heal)
		r = drop_tree(t, branch_dir, ref, err);
	if (t->manifest >= 0)
		close(t->manifest);
	return r;
}

static int cmp_serials(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The branch's trees, ascending; anything else there is noted. */
static int list_trees(struct ay__fsck *k, size_t b, int dir, bool tell, uint32_t **out, size_t *n)
{
	AY_CLOSEDIR DIR *d = list(dir);
	struct dirent *e;
	uint32_t serial;

	*out = NULL;
	*n = 0;
	if (!d && ay__fsck_lack(k, -errno))
		return k->failed;
	while (d && (e = readdir(d))) {
		const char *name = e->d_name;
		if (ay__serial_parse(name, &serial)) {
			uint32_t *grown = reallocarray(*out, *n + 1, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			*out = grown;
			grown[(*n)++] = serial;
			continue;
		}
		if (!tell || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    strcmp(name, ".apply") == 0 || strcmp(name, ".switch") == 0 ||
		    strcmp(name, "current") == 0 || name[0] == '.')
			continue;
		ay__fsck_tell(k,
			      &(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER,
							.outcome = AY_FSCK_NOTED,
							.branch = k->branches[b].name,
							.path = name},
			      "not a tree's name: left alone");
	}
	if (*n > 1)
		qsort(*out, *n, sizeof(**out), cmp_serials);
	return 0;
}

int ay__fsck_each_tree(struct ay__fsck *k, bool tell,
		       int (*each)(struct ay__fsck_tree *t, struct ay_err *err), struct ay_err *err)
{
	int r = 0;

	for (size_t b = 0; b < k->n_branches && r == 0; b++) {
		AY_FREE uint32_t *serials = NULL;
		size_t n = 0;
		AY_CLOSE int dir = ay__branch_open(k->s, k->branches[b].name, false, NULL);
		if (dir == -ENOENT)
			continue;
		if (ay__fsck_lack(k, dir))
			return ay_err_errno(err, -dir, "branch %s", k->branches[b].name);
		if (dir < 0) {
			if (tell)
				ay__fsck_tell(k,
					      &(struct ay_fsck_finding){
						      .what = AY_FSCK_TREE,
						      .outcome = k->f->heal ? AY_FSCK_LEFT : AY_FSCK_DAMAGED,
						      .branch = k->branches[b].name},
					      "the branch's directory cannot be opened: %s",
					      ay_strerror(dir));
			continue;
		}
		if ((r = list_trees(k, b, dir, tell, &serials, &n)) < 0)
			return ay_err_errno(err, -r, "branch %s", k->branches[b].name);
		for (size_t i = 0; i < n && r == 0; i++) {
			if (tell)
				k->res->trees++;
			r = one_tree(k, b, dir, serials[i], tell, each, err);
		}
	}
	return r;
}

/* ---- current ---- */

static bool has_root(int dir, uint32_t serial)
{
	char path[AY__SERIAL_NAME_MAX + 8];

	snprintf(path, sizeof(path), "%u/root", serial);
	AY_CLOSE int fd = serial ? ay__open_beneath(dir, path, O_PATH | O_DIRECTORY) : -1;
	return fd >= 0;
}

/*
 * Where a branch should stand whose `current` tells nothing: where the state says that it stood. A state that does not
 * say leaves the highest tree that was current before. 0: it has no good tree.
 */
static uint32_t choose(struct ay__fsck *k, size_t b, int dir, const struct ay_branch_state *state)
{
	AY_FREE uint32_t *serials = NULL;
	uint32_t best = 0;
	size_t n = 0;

	/* The last switch; what only waits to become current lies above the floor (store/turn.h). */
	if (state->pending <= state->floor && state->pending != state->bad_serial &&
	    has_root(dir, state->pending))
		return state->pending;
	if (has_root(dir, state->good))
		return state->good;
	if (list_trees(k, b, dir, false, &serials, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t s = serials[i];
		if (s == state->bad_serial || !has_root(dir, s))
			continue;
		if (state->bad_serial ? s < state->bad_serial : s <= state->floor)
			best = s;
		else if (best == 0)
			best = s;
	}
	return best;
}

static int check_current(struct ay__fsck *k, size_t b, struct ay_err *err)
{
	const char *branch = k->branches[b].name;
	struct ay_branch_state state = {0};
	char path[AY__SERIAL_NAME_MAX + 8];
	uint32_t serial = 0;
	const char *why;
	struct stat st;
	AY_CLOSE int dir = ay__branch_open(k->s, branch, false, NULL);

	if (ay__fsck_lack(k, dir))
		return ay_err_errno(err, -dir, "branch %s", branch);
	if (dir < 0)
		return 0;
	int r = ay__branch_current_or_0(k->s, dir, branch, &serial, NULL);
	snprintf(path, sizeof(path), "%u/root", serial);
	AY_CLOSE int root = serial ? ay__open_beneath(dir, path, O_PATH | O_DIRECTORY) : -1;
	if (r == 0 && root >= 0)
		return 0;
	int q = ay_state_branch(k->s, branch, &state, NULL);
	if (ay__fsck_lack(k, q) || (root < 0 && ay__fsck_lack(k, root)) || ay__fsck_lack(k, r))
		return ay_err_errno(err, -k->failed, "current of %s", branch);
	bool known = q == 0;
	if (!known)
		state = (struct ay_branch_state){.floor = AY_SERIAL_MAX}; /* it had one; which is not known */
	uint32_t to = choose(k, b, dir, &state);
	/* A branch without a tree, with one that was never current, or that was being left, need not have it. */
	if (r == 0 && ((serial == 0 && (state.floor == 0 || to == 0)) || (to == 0 && known && !state.follow)))
		return 0;
	why = r < 0 ? "does not name a tree" : serial ? "names a tree that is not here" : "is missing";
	bool done = false;
	if (k->f->heal && to) {
		if (fstatat(dir, "current", &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode)) {
			char aside[17];
			ay__random_name(aside);
			q = k->s->fs->ops->rename(k->s->fs, dir, "current", k->st.dir, aside, true);
			if (q < 0)
				return ay_err_errno(err, -q, "cannot move `current` of %s aside", branch);
		}
		if ((r = ay_store_switch(k->s, branch, to, true, err)) < 0)
			return r;
		done = true;
	}
	ay__fsck_tell(k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_CURRENT,
						.outcome = done         ? AY_FSCK_HEALED
							   : k->f->heal ? AY_FSCK_LEFT
									: AY_FSCK_DAMAGED,
						.branch = branch,
						.serial = done ? to : 0},
		      "%s%s", why,
		      done ? "; the tree that was current last is"
		      : to ? ""
			   : "; there is no tree to make current");
	return 0;
}

int ay__fsck_currents(struct ay__fsck *k, struct ay_err *err)
{
	int r = 0;

	for (size_t b = 0; b < k->n_branches && r == 0; b++)
		r = check_current(k, b, err);
	return r;
}
