/* SPDX-License-Identifier: MIT */
/*
 * ayni mount, ayni umount: a tree, read-only, for everybody to see.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/mount.h"
#include "node/paths.h"
#include "node/use.h"

struct mount_args {
	const char *store;
	int json;
	char *branch;
	uint32_t serial;
	const char *dir;
};

static int mount_each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct mount_args *a = ctx;

	(void)val;
	(void)err;
	a->store = arg;
	return 0;
}

static int mount_parse(struct mount_args *a, int argc, char **argv, int operands, const char *usage,
		       struct ay_err *err)
{
	*a = (struct mount_args){.store = AY_STORE_PATH};
	const struct option longs[] = {
		{"store", required_argument, NULL, 's'}, {"json", no_argument, &a->json, 1}, {0}};
	int first = 0;
	int r = ay_options(argc, argv, longs, mount_each, a, &first, err);
	if (r < 0)
		return r;
	if (argc - first != operands)
		return ay_usage(err, argv[0], usage);
	a->dir = argv[argc - 1];
	a->branch = argv[first];
	return operands > 1 ? ay_use_parse(a->branch, &a->serial, err) : 0;
}

/* From here on the mount is there: what fails takes it away again. */
static int keep(const struct mount_args *a, const struct ay_use *use, int mnt, struct ay_err *err)
{
	char path[PATH_MAX];
	unsigned long long id = ay_mount_id(mnt);
	int pid = 0;
	int r = id ? ay_mount_hold(id, use->ref, a->store, &pid, err)
		   : ay_err_set(err, AY_EUNSUPPORTED,
				"this kernel does not number its mounts: it needs Linux 5.12");

	if (r == 0 && (r = ay_fd_path(mnt, path)) < 0)
		ay_err_errno(err, -r, "%s", a->dir);
	if (r < 0)
		return r;
	if (a->json)
		return ay_print_json(json_pack("{s:s, s:I, s:s, s:i}", "branch", a->branch, "serial",
					       (json_int_t)use->serial, "at", path, "holder", pid),
				     err);
	printf("%s %u is shown read-only at %s until `ayni umount`\n", a->branch, use->serial, path);
	return 0;
}

/* The directory to mount over: one that `ayni umount` can name too, and never the root of all. */
static int open_place(const char *dir, struct ay_err *err)
{
	char name[NAME_MAX + 1];
	struct stat here, root;
	AY_CLOSE int parent = ay_parent_open(dir, name, err);
	AY_CLOSE int at = parent < 0 ? parent : ay_dir_open(dir, err);

	if (at < 0)
		return at;
	if (fstat(at, &here) < 0 || stat("/", &root) < 0)
		return ay_err_errno(err, errno, "%s", dir);
	if (here.st_dev == root.st_dev && here.st_ino == root.st_ino)
		return ay_err_set(err, AY_EUSAGE,
				  "%s is the root directory: what is mounted over it hides the whole system",
				  dir);
	return ay_steal_fd(&at);
}

static int mount_tree(const struct mount_args *a, const struct ay_use *use, struct ay_err *err)
{
	AY_CLOSE int at = open_place(a->dir, err);
	AY_CLOSE int mnt = at < 0 ? at : ay_mount_clone(use->root, err);

	if (mnt < 0)
		return mnt;
	int r = ay_mount_attach(mnt, at, a->dir, err);
	if (r == 0 && (r = keep(a, use, mnt, err)) < 0) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", mnt);
		umount2(path, MNT_DETACH);
	}
	return r;
}

static int run_mount(int argc, char **argv, struct ay_err *err)
{
	struct ay_use use = AY_USE_NONE;
	struct ay_store *s = NULL;
	struct mount_args a;
	int r = mount_parse(&a, argc, argv, 2, "say which branch, and the directory to show it at", err);

	if (r < 0 || (r = ay_use_open(a.store, a.branch, a.serial, &s, &use, err)) < 0)
		return r;
	r = mount_tree(&a, &use, err);
	ay_use_release(&use);
	ay_store_close(s);
	return r;
}

/* Is the mount whose root is @dir one of a store's trees? Not every mount is ours to take away. */
static int check_ours(int dir, int parent, const char *name, struct ay_err *err)
{
	struct ay_mount_line line;
	unsigned long long id = ay_mount_id(dir);

	if (id == ay_mount_id(parent) || ay_mount_find(id, &line) != 1)
		return ay_err_set(err, AY_ENOTHING, "%s: nothing is mounted there", name);
	const char *end = strrchr(line.root, '/');
	bool tree = end && strncmp(end, "/root", 5) == 0 &&
		    (strstr(line.root, "/branches/") || strstr(line.root, "/tmp/staging-"));
	if (line.overlay ? strncmp(line.source, "ayni:", 5) != 0 : !tree)
		return ay_err_set(err, AY_ESTATE,
				  "%s: what is mounted there is no tree of ayni's; use umount(8)", name);
	return 0;
}

/* In the directory that holds it, by its last name alone: there is no path that somebody could turn. */
static int unmount(const char *dir, struct ay_err *err)
{
	char name[NAME_MAX + 1];
	AY_CLOSE int parent = ay_parent_open(dir, name, err);

	if (parent < 0)
		return parent;
	int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", dir);
	int r = check_ours(fd, parent, dir, err);
	close(fd); /* it would keep the mount busy */
	if (r < 0)
		return r;
	if (fchdir(parent) < 0 || umount2(name, UMOUNT_NOFOLLOW) < 0)
		return ay_err_errno(err, errno, "cannot unmount %s%s", dir,
				    errno == EBUSY ? ", somebody works in there" : "");
	return 0;
}

static int run_umount(int argc, char **argv, struct ay_err *err)
{
	struct mount_args a;
	int r = mount_parse(&a, argc, argv, 1, "say which directory", err);

	if (r < 0 || (r = unmount(a.dir, err)) < 0)
		return r;
	if (a.json)
		return ay_print_json(json_pack("{s:s}", "at", a.dir), err);
	return 0;
}

const struct ay_cmd ay_cmd_mount = {
	"mount",
	"show a tree, read-only, at a directory",
	"Usage: ayni mount BRANCH[@SERIAL] DIR [--store DIR] [--json]\n"
	"\n"
	"Mounts the current tree, or SERIAL's, read-only on the directory DIR, for everybody. It stays that tree when another\n"
	"becomes current, and whole even if it is removed meanwhile, until it is unmounted (`ayni umount`, umount(8)). A small\n"
	"process stays behind that holds the tree; the mount itself protects the tree even if that is killed. Only root can.\n"
	"DIR may have no symbolic link in it.\n"
	"\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"      --json           print JSON\n",
	run_mount,
};

const struct ay_cmd ay_cmd_umount = {
	"umount",
	"take away what mount or checkout --overlay put there",
	"Usage: ayni umount DIR [--json]\n"
	"\n"
	"Unmounts DIR if a tree is shown there. What was written into an overlay stays beside it. If the tree was removed\n"
	"meanwhile, it is deleted now. Exit code 3: nothing is mounted there.\n"
	"\n"
	"      --json           print JSON\n",
	run_umount,
};
