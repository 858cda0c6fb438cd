/* SPDX-License-Identifier: MIT */
/*
 * `ayni diff`: two trees side by side, or the packages in them. A tree is a directory, a release in the store, or a manifest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "manifest/release.h"
#include "node/cmd.h"
#include "node/diff_trees.h"
#include "node/packages.h"
#include "node/paths.h"
#include "node/use.h"
#include "store/scan.h"

struct diff_args {
	const char *store;
	int json, packages, ignore_mtime, owner_root;
};

/* One of the two. */
struct diff_side {
	const char *name;
	int dir;         /* a directory, or a release's tree; -1: a manifest only */
	int manifest_fd; /* of a release, or a file; -1: a directory, to be scanned */
	struct ay_store *store;
	struct ay_use use;
	struct ay_buf manifest;
	struct ay_packages packages;
};

static void side_close(struct diff_side *s)
{
	if (s->store)
		ay_use_release(&s->use);
	else if (s->dir >= 0)
		close(s->dir);
	if (s->manifest_fd >= 0)
		close(s->manifest_fd);
	ay_store_close(s->store);
	ay_buf_release(&s->manifest);
	ay_packages_release(&s->packages);
}

static int open_release(const struct diff_args *a, struct diff_side *s, struct ay_err *err)
{
	AY_FREE char *branch = strdup(s->name);
	uint32_t serial = 0;
	int r = branch ? ay_use_parse(branch, &serial, err) : ay_err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return ay_err_set(err, r, "%s: neither a file or directory nor BRANCH[@SERIAL]", s->name);
	r = ay_use_open(a->store, branch, serial, &s->store, &s->use, err);
	if (r < 0) {
		s->store = NULL;
		return ay_err_wrap(err, r, "%s is neither a file nor a directory, and as a release", s->name);
	}
	s->dir = s->use.root;
	s->manifest_fd = openat(s->use.tree, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return s->manifest_fd < 0 ? ay_err_errno(err, errno, "%s: its manifest", s->name) : 0;
}

/* What is there under that name is meant; else it is a release. */
static int open_side(const struct diff_args *a, const char *name, struct diff_side *s, struct ay_err *err)
{
	struct stat st;

	s->name = name;
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return open_release(a, s, err);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", name);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		s->dir = fd;
		return 0;
	}
	s->manifest_fd = fd;
	return S_ISREG(st.st_mode)
		       ? 0
		       : ay_err_set(err, AY_EUSAGE, "%s is neither a directory nor a manifest", name);
}

static int read_manifest(struct diff_side *s, bool owner_root, struct ay_err *err)
{
	struct stat st;

	ay_buf_init(&s->manifest, (size_t)AY_MANIFEST_SIZE_MAX);
	if (s->manifest_fd < 0) {
		const struct ay_scan_options options = {.owner_root = owner_root};
		return ay_scan(s->dir, s->name, &options, ay_write_to_buf, &s->manifest, NULL, err);
	}
	if (fstat(s->manifest_fd, &st) < 0)
		return ay_err_errno(err, errno, "%s", s->name);
	uint8_t *room = (uint64_t)st.st_size < AY_MANIFEST_SIZE_MAX
				? ay_buf_reserve(&s->manifest, (size_t)st.st_size + 1)
				: NULL;
	if (!room)
		return ay_err_set(err, AY_ELIMIT, "%s is too large for a manifest", s->name);
	while (s->manifest.len < (size_t)st.st_size) {
		ssize_t n = pread(s->manifest_fd, room + s->manifest.len,
				  (size_t)st.st_size - s->manifest.len, (off_t)s->manifest.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ay_err_errno(err, n < 0 ? errno : EIO, "cannot read %s", s->name);
		s->manifest.len += (size_t)n;
	}
	return 0;
}

/* ---- trees ---- */

static int diff_trees(const struct diff_args *a, struct diff_side *old, struct diff_side *new_,
		      struct ay_err *err)
{
	const struct ay_tree_diff_options options = {.json = a->json, .ignore_mtime = a->ignore_mtime};
	struct ay_tree_difference d;
	int r = read_manifest(old, a->owner_root, err);

	if (r == 0)
		r = read_manifest(new_, a->owner_root, err);
	if (r == 0)
		r = ay_tree_diff((struct ay_slice){old->manifest.data, old->manifest.len},
				 (struct ay_slice){new_->manifest.data, new_->manifest.len}, &options, &d,
				 err);
	else
		return r;
	if (r < 0) {
		json_decref(d.json);
		return ay_err_wrap(err, r, "%s or %s", old->name, new_->name);
	}
	bool any = d.added || d.removed || d.changed || d.renamed;
	if (a->json) {
		r = ay_print_json(json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "old", old->name,
					    "new", new_->name, "paths", d.json, "added", (json_int_t)d.added,
					    "removed", (json_int_t)d.removed, "changed",
					    (json_int_t)d.changed, "renamed", (json_int_t)d.renamed, "same",
					    (json_int_t)d.same),
				  err);
	} else if (any) {
		printf("%" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed, %" PRIu64
		       " renamed, %" PRIu64 " the same\n",
		       d.added, d.removed, d.changed, d.renamed, d.same);
	}
	return r < 0 || any ? r
			    : ay_err_set(err, AY_ENOTHING, "%s and %s are the same", old->name, new_->name);
}

/* ---- packages ---- */

static void warn(const char *sentence)
{
	ay_complain("diff", sentence);
}

static int read_packages(struct diff_side *s, struct ay_err *err)
{
	if (s->dir < 0)
		return ay_err_set(
			err, AY_EUSAGE,
			"%s is a manifest, which says nothing of packages: give the directory or the release",
			s->name);
	return ay_packages_read(&s->packages, s->dir, s->name, warn, err);
}

static json_t *dbs_json(const struct ay_packages *list)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < AY_PACKAGE_DBS; i++) {
		if (list->dbs >> i & 1)
			json_array_append_new(all, json_string(ay_package_db_name(i)));
	}
	return all;
}

static int diff_packages(const struct diff_args *a, struct diff_side *old, struct diff_side *new_,
			 struct ay_err *err)
{
	struct ay_packages_difference d;
	int r = read_packages(old, err);

	if (r == 0)
		r = read_packages(new_, err);
	if (r == 0 && !old->packages.dbs && !new_->packages.dbs)
		r = ay_err_set(err, -ENOENT,
			       "neither %s nor %s has a database of dpkg, apk, opkg or rpm (sqlite)",
			       old->name, new_->name);
	if (r < 0)
		return r;
	r = ay_packages_compare(&old->packages, &new_->packages, a->json, &d, err);
	if (r < 0) {
		json_decref(d.json);
		return r;
	}
	bool any = d.added || d.removed || d.changed;
	if (a->json) {
		json_object_set_new(d.json, "old", json_string(old->name));
		json_object_set_new(d.json, "new", json_string(new_->name));
		json_object_set_new(d.json, "old_databases", dbs_json(&old->packages));
		json_object_set_new(d.json, "new_databases", dbs_json(&new_->packages));
		json_object_set_new(d.json, "same", json_integer((json_int_t)d.same));
		r = ay_print_json(d.json, err);
	} else if (any) {
		printf("%" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed, %" PRIu64 " the same\n",
		       d.added, d.removed, d.changed, d.same);
	}
	return r < 0 || any ? r
			    : ay_err_set(err, AY_ENOTHING, "%s and %s have the same packages", old->name,
					 new_->name);
}

/* ---- both ---- */

static int diff_each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct diff_args *a = ctx;

	(void)val;
	(void)err;
	a->store = arg;
	return 0;
}

static int run_diff(int argc, char **argv, struct ay_err *err)
{
	struct diff_args a = {.store = AY_STORE_PATH};
	AY_CLEANUP(side_close) struct diff_side old = {.dir = -1, .manifest_fd = -1, .use = AY_USE_NONE};
	AY_CLEANUP(side_close) struct diff_side new_ = {.dir = -1, .manifest_fd = -1, .use = AY_USE_NONE};
	int first = 0;
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"packages", no_argument, &a.packages, 1},
				       {"ignore-mtime", no_argument, &a.ignore_mtime, 1},
				       {"owner-root", no_argument, &a.owner_root, 1},
				       {"json", no_argument, &a.json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, diff_each, &a, &first, err);

	if (r < 0)
		return r;
	if (argc - first != 2)
		return ay_usage(err, "diff", "say which two");
	if (a.packages && (a.ignore_mtime || a.owner_root))
		return ay_usage(err, "diff", "--packages looks at nothing but packages");
	r = open_side(&a, argv[first], &old, err);
	if (r == 0)
		r = open_side(&a, argv[first + 1], &new_, err);
	if (r == 0)
		r = (a.packages ? diff_packages : diff_trees)(&a, &old, &new_, err);
	return r;
}

const struct ay_cmd ay_cmd_diff = {
	"diff",
	"tell what differs between two trees, or their packages",
	"Usage: ayni diff [--packages] [--ignore-mtime] [--owner-root] [--store DIR] [--json] A B\n"
	"\n"
	"A and B are directories, releases in the store (BRANCH@SERIAL, or BRANCH for the current one) or manifests; what is\n"
	"there as a file is not taken for a branch. A line for each path: + came, - went, > was renamed (the same content\n"
	"under another path), ~ changed, and in what: type, content, size, target, device, mode, owner, mtime, attributes.\n"
	"A release is compared by its manifest, a directory by what is in it now. Exit code 3 when there is no difference.\n"
	"\n"
	"      --packages       packages that came, went, or have another version, by the databases of dpkg, apk, opkg and\n"
	"                       rpm (sqlite) in the trees\n"
	"      --ignore-mtime   times do not count\n"
	"      --owner-root     directories: take every owner as 0:0\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"      --json           print JSON\n",
	run_diff,
};
