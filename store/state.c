/* SPDX-License-Identifier: MIT */
/*
 * What must survive, as small files (docs/formats.md, "Store layout").
 *
 * Roots are kept one file per version and believed anew at every start, from the
 * first along the chain, so that nothing depends on a note saying "this was
 * checked". A branch's facts are one file of fixed lines (store/branch_state.c). Documents: store/state_docs.c.
 *
 * Writers hold flock() on state/.lock while they read, decide and replace; readers
 * need no lock, because a file is replaced in one rename. It is a file of its own,
 * mode 0600: whoever can open what is locked could stop all writers for good.
 */
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/state_internal.h"

#define STATE_LOCK       ".lock"    /* in state/ */
#define BRANCH_DIR       "branches" /* in state/ */
#define INSTALL_ID       "install-id"
#define INSTALL_ID_BYTES 16
#define BRANCHES_MAX     4096

/* Writable, and no other process changes state/ until *@locked is closed. */
static int begin_change(struct ay_store *s, int *locked, struct ay_err *err)
{
	int rc = ay__store_writable(s, err);
	if (rc < 0)
		return rc;
	AY_CLOSE int fd = s->fs->ops->open(s->fs, s->state, STATE_LOCK, O_RDWR | O_CREAT, 0600);
	rc = fd < 0 ? fd : ay__lock(fd, LOCK_EX);
	if (rc < 0)
		return ay_err_errno(err, -rc, "lock %s/state/" STATE_LOCK, s->path);
	*locked = ay_steal_fd(&fd);
	return 0;
}

/*
 * What is to be promised was found to be there already: durably? Whoever wrote it may have been killed before he
 * synced the directory @dirfd.
 */
int ay__state_sync_found(const struct ay_store *s, int dirfd, const char *name, struct ay_err *err)
{
	int rc = s->readonly ? 0 : s->fs->ops->fsync(s->fs, dirfd);
	return rc < 0 ? ay_err_errno(err, -rc, "sync %s/%s", s->path, name) : 0;
}

/* ay__read_file(), but that a file is not there leaves no sentence behind in @err: it is no failure here. */
static int read_if_there(int dirfd, const char *path, size_t max, uint8_t **data, size_t *len,
			 struct ay_err *err)
{
	struct ay_err why = {0};
	int rc = ay__read_file(dirfd, path, max, data, len, &why);
	if (rc < 0 && rc != -ENOENT && err)
		*err = why;
	return rc;
}

/* ---- roots ---- */

/* The lowest version in roots/, 0 when there is none. */
static int first_version(const struct ay_store *s, uint32_t *version, struct ay_err *err)
{
	int fd = openat(s->roots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	*version = 0;
	if (!dir) {
		int code = errno;
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, code, "%s/roots", s->path);
	}
	for (;;) {
		uint32_t v;
		errno = 0;
		struct dirent *e = readdir(dir);
		if (!e && errno)
			return ay_err_errno(err, errno, "%s/roots", s->path);
		if (!e)
			return 0;
		if (ay__u32_get(e->d_name, strlen(e->d_name), &v) && v > 0 && (*version == 0 || v < *version))
			*version = v;
	}
}

static int read_root(const struct ay_store *s, uint32_t version, uint8_t **data, size_t *len,
		     struct ay_err *err)
{
	char name[16];
	snprintf(name, sizeof(name), "%" PRIu32, version);
	return read_if_there(s->roots, name, AY_ENVELOPE_MAX, data, len, err);
}

/* A kept root that does not verify is a damaged store, whatever its code would mean from a stranger. */
static int bad_root(const struct ay_store *s, uint32_t version, int rc, const struct ay_err *why,
		    struct ay_err *err)
{
	if (rc < -5000 && rc != AY_EVERSION)
		rc = AY_ESTORE;
	return ay_err_set(err, rc, "%s/roots/%" PRIu32 ": %s", s->path, version, why->msg);
}

/* The first root that was ever trusted, into s->root; leaves NULL when there is none. */
static int load_first_root(struct ay_store *s, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_root *root = NULL;
	struct ay_err why = {0};
	uint32_t version;
	size_t len;

	int rc = first_version(s, &version, err);
	if (rc < 0 || version == 0)
		return rc;
	rc = read_root(s, version, &data, &len, &why);
	if (rc == -ENOENT)
		return ay_err_set(err, AY_EBUSY, "%s/roots changes while it is read; try again", s->path);
	if (rc == 0)
		rc = ay_trust_first_root(data, len, &root, &why);
	if (rc == 0 && root->version != version) {
		rc = ay_err_set(&why, AY_ESTORE, "it holds version %" PRIu32, root->version);
		ay_root_free(root);
	}
	if (rc < 0)
		return bad_root(s, version, rc, &why, err);
	s->root = root;
	return 0;
}

/* Bring s->root up to the newest root on disk, each verified by the one before it. */
static int load_roots(struct ay_store *s, struct ay_err *err)
{
	int rc = s->root ? 0 : load_first_root(s, err);

	while (rc == 0 && s->root && s->root->version < UINT32_MAX) {
		AY_FREE uint8_t *data = NULL;
		struct ay_root *next = NULL;
		struct ay_err why = {0};
		size_t len;

		rc = read_root(s, s->root->version + 1, &data, &len, &why);
		if (rc == -ENOENT)
			return 0;
		if (rc == 0)
			rc = ay_trust_next_root(s->root, data, len, &next, &why);
		if (rc < 0)
			return bad_root(s, s->root->version + 1, rc, &why, err);
		ay_root_free(s->root);
		s->root = next;
	}
	return rc;
}

int ay_state_root(struct ay_store *s, const struct ay_root **root, struct ay_err *err)
{
	if (!s->root) {
		int rc = load_roots(s, err);
		/* All that this process will promise rests on it. */
		if (rc == 0 && s->root)
			rc = ay__state_sync_found(s, s->roots, "roots", err);
		if (rc < 0) {
			ay_root_free(s->root);
			s->root = NULL;
			return rc;
		}
	}
	if (!s->root)
		return ay_err_set(err, -ENOENT, "%s trusts no root yet; give it the fleet's root first",
				  s->path);
	*root = s->root;
	return 0;
}

int ay_state_root_envelope(struct ay_store *s, uint32_t version, uint8_t **data, size_t *len,
			   struct ay_err *err)
{
	const struct ay_root *root = NULL;
	int rc = ay_state_root(s, &root, err);
	if (rc < 0)
		return rc;
	if (version == 0)
		version = root->version;
	rc = read_root(s, version, data, len, err);
	return rc == -ENOENT ? ay_err_set(err, rc, "%s has no root version %" PRIu32, s->path, version) : rc;
}

int ay_state_add_root(struct ay_store *s, const void *envelope, size_t len, struct ay_err *err)
{
	struct ay_root *root = NULL;
	char name[16];

	AY_CLOSE int locked = -1;
	int rc = begin_change(s, &locked, err);
	if (rc == 0)
		rc = load_roots(s, err); /* another process may have added some */
	if (rc < 0)
		return rc;
	rc = s->root ? ay_trust_next_root(s->root, envelope, len, &root, err)
		     : ay_trust_first_root(envelope, len, &root, err);
	if (rc == AY_ENOTHING && ay__state_sync_found(s, s->roots, "roots", err) < 0)
		return err ? err->code : -EIO;
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%" PRIu32, root->version);
	rc = ay__store_replace_file(s->fs, s->roots, name, envelope, len, err);
	if (rc < 0) {
		ay_root_free(root);
		return ay_err_wrap(err, rc, "%s/roots", s->path);
	}
	ay_root_free(s->root);
	s->root = root;
	return 0;
}

/* ---- branches ---- */

static int branch_file(const struct ay_store *s, const char *branch, char name[NAME_MAX + 1],
		       struct ay_err *err)
{
	struct ay_buf b = {0};

	if (ay_branch_check(branch, strlen(branch)) < 0)
		return ay_err_set(err, AY_EUSAGE, "%s: \"%s\" is not a branch name", s->path, branch);
	ay_buf_init(&b, NAME_MAX + 1);
	int rc = ay_percent_name(&b, branch);
	if (rc == 0)
		snprintf(name, NAME_MAX + 1, "%s", ay_buf_cstr(&b));
	ay_buf_release(&b);
	return rc < 0 ? ay_err_set(err, rc, "%s: branch %s: name too long", s->path, branch) : 0;
}

/* 0; -ENOENT nothing is remembered; AY_ESTORE. */
static int branch_read(const struct ay_store *s, const char *name, const char *branch,
		       struct ay_branch_state *out, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	char path[sizeof(BRANCH_DIR) + NAME_MAX + 1];
	size_t len;

	snprintf(path, sizeof(path), BRANCH_DIR "/%s", name);
	int rc = read_if_there(s->state, path, AY__BRANCH_STATE_MAX, &data, &len, err);
	if (rc == -ENOENT)
		return rc;
	if (rc == 0 &&
	    (!ay__branch_state_parse((const char *)data, len, out) || strcmp(out->branch, branch) != 0))
		rc = AY_ESTORE;
	if (rc == AY_ESTORE || rc == AY_ELIMIT)
		return ay_err_set(err, AY_ESTORE,
				  "%s/state/%s is damaged: what the branch must not go below is unknown; "
				  "restore it, or delete it and begin the branch anew",
				  s->path, path);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/state", s->path) : 0;
}

int ay_state_branch(struct ay_store *s, const char *branch, struct ay_branch_state *out, struct ay_err *err)
{
	char name[NAME_MAX + 1];
	int rc = branch_file(s, branch, name, err);
	if (rc == 0)
		rc = branch_read(s, name, branch, out, err);
	if (rc == -ENOENT) {
		*out = (struct ay_branch_state){0};
		memcpy(out->branch, branch, strlen(branch));
		rc = 0;
	}
	return rc;
}

/* Keep the newer of two heads: who writes floor or follow may not know the newest. */
static void keep_newer_head(struct ay_branch_state *b, const struct ay_branch_state *kept)
{
	struct ay_head mine, other;

	if (!kept->has_head)
		return;
	if (b->has_head && (ay_head_parse(b->head, sizeof(b->head), &mine, NULL) < 0 ||
			    ay_head_parse(kept->head, sizeof(kept->head), &other, NULL) < 0 ||
			    ay_head_cmp(&mine, &other) >= 0))
		return;
	b->has_head = true;
	memcpy(b->head, kept->head, sizeof(b->head));
}

/* Write @now in the place of @kept; the lock is held. */
static int branch_replace(struct ay_store *s, const char *name, struct ay_branch_state *now,
			  const struct ay_branch_state *kept, struct ay_err *err)
{
	bool made;
	int rc = 0;

	AY_CLOSE int dir = ay__make_dir(s->fs, s->state, BRANCH_DIR, 0755, &made);
	if (dir < 0)
		return ay_err_errno(err, -dir, "%s/state/" BRANCH_DIR, s->path);
	if (made)
		rc = s->fs->ops->fsync(s->fs, s->state);
	if (rc < 0)
		return ay_err_errno(err, -rc, "sync %s/state", s->path);
	if (now->floor < kept->floor)
		return ay_err_set(err, AY_EROLLBACK,
				  "branch %s: its floor is %" PRIu32 " and cannot go down to %" PRIu32,
				  now->branch, kept->floor, now->floor);
	keep_newer_head(now, kept);
	struct ay_buf text = {0};
	ay__branch_state_write(now, &text);
	rc = ay_buf_status(&text);
	if (rc == 0)
		rc = ay__store_replace_file(s->fs, dir, name, text.data, text.len, err);
	ay_buf_release(&text);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/state/" BRANCH_DIR, s->path) : 0;
}

int ay_state_change_branch(struct ay_store *s, const char *branch,
			   int (*change)(void *ctx, struct ay_branch_state *b, struct ay_err *err), void *ctx,
			   struct ay_err *err)
{
	struct ay_branch_state kept, now;
	char name[NAME_MAX + 1];

	AY_CLOSE int locked = -1;
	int rc = branch_file(s, branch, name, err);
	if (rc == 0)
		rc = begin_change(s, &locked, err);
	if (rc == 0)
		rc = ay_state_branch(s, branch, &kept, err);
	if (rc < 0)
		return rc;
	now = kept;
	rc = change(ctx, &now, err);
	if (rc == 0)
		return branch_replace(s, name, &now, &kept, err);
	if (rc > 0 || rc == AY_ENOTHING) { /* it is so already */
		AY_CLOSE int dir = ay__open_beneath(s->state, BRANCH_DIR, O_RDONLY | O_DIRECTORY);
		int synced = dir < 0 ? 0 : ay__state_sync_found(s, dir, "state/" BRANCH_DIR, err);
		if (synced < 0)
			return synced;
	}
	return rc < 0 ? rc : 0;
}

int ay__state_rebuild(struct ay_store *s, const char *branch, uint32_t floor, uint32_t current,
		      struct ay_err *err)
{
	struct ay_branch_state now = {.follow = true, .floor = floor, .pending = current, .good = current},
			       kept;
	char name[NAME_MAX + 1];

	AY_CLOSE int locked = -1;
	int rc = branch_file(s, branch, name, err);
	if (rc == 0)
		rc = begin_change(s, &locked, err);
	if (rc < 0)
		return rc;
	if (ay_state_branch(s, branch, &kept, NULL) == 0)
		return 0; /* another process was faster */
	snprintf(now.branch, sizeof(now.branch), "%s", branch);
	kept = (struct ay_branch_state){0};
	AY_CLOSE int dir = ay__open_beneath(s->state, BRANCH_DIR, O_RDONLY | O_DIRECTORY);
	AY_CLOSE int odd = dir < 0 ? -1 : ay__open_beneath(dir, name, O_RDONLY | O_DIRECTORY);
	if (odd >= 0) /* a directory would not be replaced */
		ay__remove_tree(s->fs, dir, name);
	return branch_replace(s, name, &now, &kept, err);
}

int ay__state_forget(struct ay_store *s, const char *branch, struct ay_err *err)
{
	char name[NAME_MAX + 1];

	AY_CLOSE int locked = -1;
	int rc = branch_file(s, branch, name, err);
	if (rc == 0)
		rc = begin_change(s, &locked, err);
	if (rc < 0)
		return rc;
	AY_CLOSE int dir = ay__open_beneath(s->state, BRANCH_DIR, O_RDONLY | O_DIRECTORY);
	if (dir == -ENOENT)
		return 0;
	rc = dir < 0 ? dir : s->fs->ops->unlink(s->fs, dir, name, 0);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = s->fs->ops->fsync(s->fs, dir);
	return rc < 0 ? ay_err_errno(err, -rc, "%s/state/" BRANCH_DIR "/%s", s->path, name) : 1;
}

static int cmp_branches(const void *a, const void *b)
{
	return strcmp(((const struct ay_branch_state *)a)->branch,
		      ((const struct ay_branch_state *)b)->branch);
}

int ay_state_branches(struct ay_store *s, struct ay_branch_state **out, size_t *n, struct ay_err *err)
{
	AY_FREE struct ay_branch_state *all = NULL;
	size_t count = 0, cap = 0;

	*out = NULL;
	*n = 0;
	int fd = ay__open_beneath(s->state, BRANCH_DIR, O_RDONLY | O_DIRECTORY);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s/state/" BRANCH_DIR, s->path);
	AY_CLOSEDIR DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return ay_err_set(err, -ENOMEM, "%s/state: out of memory", s->path);
	}
	for (struct dirent *e; (e = readdir(dir));) {
		struct ay_buf branch = {0};
		int rc = ay_percent_unname(&branch, e->d_name);
		if (rc == 0 && ay_branch_check((char *)branch.data, branch.len) == 0) {
			if (count == cap) {
				cap = cap ? 2 * cap : 16;
				void *grown =
					cap > BRANCHES_MAX ? NULL : reallocarray(all, cap, sizeof(*all));
				rc = grown ? 0 : -ENOMEM;
				all = grown ? grown : all;
			}
			if (rc == 0)
				rc = branch_read(s, e->d_name, (char *)branch.data, &all[count], err);
			else
				ay_err_set(err, rc, "%s/state: more than %d branches", s->path, BRANCHES_MAX);
			count += rc == 0;
			if (rc < 0 && rc != -ENOENT) {
				ay_buf_release(&branch);
				return rc;
			}
		}
		ay_buf_release(&branch);
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), cmp_branches);
	*out = ay_steal_ptr(&all);
	*n = count;
	return 0;
}

/* ---- install-id ---- */

static int install_id_read(const struct ay_store *s, uint8_t id[INSTALL_ID_BYTES], struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	size_t len;
	int rc = read_if_there(s->state, INSTALL_ID, 64, &data, &len, err);
	if (rc == -ENOENT)
		return rc;
	if (rc == 0 && (len != 2 * INSTALL_ID_BYTES + 1 || data[len - 1] != '\n' ||
			!ay__hex_get((char *)data, len - 1, id, INSTALL_ID_BYTES)))
		rc = ay_err_set(err, AY_ESTORE, "it is damaged; delete it, and a new one will be made");
	return rc < 0 ? ay_err_wrap(err, rc, "%s/state/" INSTALL_ID, s->path) : 0;
}

int ay_state_install_id(struct ay_store *s, uint8_t id[16], struct ay_err *err)
{
	int rc = install_id_read(s, id, err);
	if (rc == 0)
		return ay__state_sync_found(s, s->state, "state", err);
	if (rc != -ENOENT)
		return rc;
	AY_CLOSE int locked = -1;
	rc = begin_change(s, &locked, err);
	if (rc == 0)
		rc = install_id_read(s, id, err); /* another process may have made it meanwhile */
	if (rc != -ENOENT)
		return rc;
	for (size_t got = 0; got < INSTALL_ID_BYTES;) {
		ssize_t k = getrandom(id + got, INSTALL_ID_BYTES - got, 0);
		if (k < 0 && errno != EINTR)
			return ay_err_errno(err, errno, "random bytes for %s/state/" INSTALL_ID, s->path);
		got += k > 0 ? (size_t)k : 0;
	}
	struct ay_buf text = {0};
	ay__hex_put(&text, id, INSTALL_ID_BYTES);
	ay_put_str(&text, "\n");
	rc = ay_buf_status(&text);
	if (rc == 0)
		rc = ay__store_replace_file(s->fs, s->state, INSTALL_ID, text.data, text.len, err);
	ay_buf_release(&text);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/state", s->path) : 0;
}
