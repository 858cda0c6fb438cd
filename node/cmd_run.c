/* SPDX-License-Identifier: MIT */
/*
 * ayni run BRANCH[@SERIAL] -- COMMAND...: the command sees the tree, read-only, at a
 * place that only it and its children see.
 *
 * This process becomes the command: signals, terminal and exit code are its own. The
 * tree's lock is an open file that it inherits, and its children from it; a daemon among
 * them that closes all files still lives in the mount namespace, which counts too (store/in_use.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/mount.h"
#include "node/paths.h"
#include "node/use.h"

#define PLACE "/run/ayni-tree" /* where the tree is shown if nobody says otherwise */

/* The lock gets a number that no shell uses by itself: they have 0 to 9 for scripts, and 10 or 255 for themselves. */
#define REF_FD_MIN 100

struct run_args {
	const char *store, *at;
	int chroot;
	char *branch;
	uint32_t serial;
	char **command;
};

static int run_each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct run_args *a = ctx;

	(void)err;
	*(val == 's' ? &a->store : &a->at) = arg;
	return 0;
}

static int run_parse(struct run_args *a, int argc, char **argv, struct ay_err *err)
{
	*a = (struct run_args){.store = AY_STORE_PATH};
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"at", required_argument, NULL, 'a'},
				       {"chroot", no_argument, &a->chroot, 1},
				       {0}};
	int first = 0;
	int r = ay_options(argc, argv, longs, run_each, a, &first, err);
	if (r < 0)
		return r;
	if (argc - first < 2)
		return ay_usage(err, argv[0], "say which branch, and after -- what to run");
	if (a->at && a->chroot)
		return ay_usage(err, argv[0], "--at and --chroot exclude each other");
	a->branch = argv[first];
	a->command = argv + first + 1;
	return ay_use_parse(a->branch, &a->serial, err);
}

/* A directory to mount on that hides nothing: ours in /run, else the user's own, else /mnt, which is for such things. */
static int open_place(const char *at, struct ay_err *err)
{
	char path[PATH_MAX];
	const char *own = getenv("XDG_RUNTIME_DIR");

	if (at)
		return ay_dir_open(at, err);
	if (mkdir(PLACE, 0755) == 0 || errno == EEXIST) {
		int fd = ay_dir_open(PLACE, NULL);
		if (fd >= 0)
			return fd;
	}
	if (own && own[0] == '/' && snprintf(path, sizeof(path), "%s/ayni-tree", own) < (int)sizeof(path) &&
	    (mkdir(path, 0700) == 0 || errno == EEXIST)) {
		int fd = ay_dir_open(path, NULL);
		if (fd >= 0)
			return fd;
	}
	int fd = ay_dir_open("/mnt", NULL);
	return fd >= 0 ? fd : ay_err_set(err, -ENOENT, "no place to show the tree at: name one with --at");
}

/* What a system needs of the outside, where the tree has a place for it. */
static int furnish(int root, struct ay_err *err)
{
	static const char *const from_outside[] = {"proc", "sys", "dev"}, *const empty[] = {"tmp", "run"};

	for (size_t i = 0; i < 3; i++) {
		char path[8];
		AY_CLOSE int at =
			openat(root, from_outside[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (at < 0)
			continue;
		snprintf(path, sizeof(path), "/%s", from_outside[i]);
		AY_CLOSE int mnt =
			open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		int r = mnt < 0 ? ay_err_errno(err, errno, "cannot show %s in the tree", path)
				: ay_mount_attach(mnt, at, path, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < 2; i++) {
		AY_CLOSE int at = openat(root, empty[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
		if (at >= 0 && mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV,
				     i == 0 ? "mode=1777" : "mode=0755") < 0)
			return ay_err_errno(err, errno, "cannot put a tmpfs on /%s in the tree", empty[i]);
	}
	return 0;
}

static int into_tree(int root, struct ay_err *err)
{
	int r = furnish(root, err);

	if (r < 0)
		return r;
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return ay_err_errno(err, errno, "cannot make the tree the root directory");
	return 0;
}

/* Mounts the tree; @path: where it is now. */
static int show(const struct run_args *a, int tree, char path[PATH_MAX], struct ay_err *err)
{
	int r = ay_namespace_enter(err);

	if (r < 0)
		return r;
	AY_CLOSE int dir = ay_namespace_dir(tree, err);
	AY_CLOSE int mnt = dir < 0 ? dir : ay_mount_clone(dir, err);
	AY_CLOSE int at = mnt < 0 ? mnt : open_place(a->at, err);
	if (at < 0)
		return at;
	if ((r = ay_fd_path(at, path)) < 0)
		return ay_err_errno(err, -r, "cannot tell where the tree is to be shown");
	if ((r = ay_mount_attach(mnt, at, path, err)) < 0)
		return r;
	if (a->chroot) {
		memcpy(path, "/", 2);
		return into_tree(mnt, err);
	}
	return 0;
}

static int environment(const struct run_args *a, uint32_t serial, const char *path, int ref)
{
	char number[16], fd[16];

	snprintf(number, sizeof(number), "%u", serial);
	snprintf(fd, sizeof(fd), "%d", ref);
	return setenv("AYNI_TREE", path, 1) < 0 || setenv("AYNI_BRANCH", a->branch, 1) < 0 ||
	       setenv("AYNI_SERIAL", number, 1) < 0 || setenv("AYNI_REF_FD", fd, 1) < 0;
}

static int run_run(int argc, char **argv, struct ay_err *err)
{
	struct ay_use use = AY_USE_NONE;
	struct ay_store *s = NULL;
	struct run_args a;
	char path[PATH_MAX];
	int r = run_parse(&a, argc, argv, err);

	if (r < 0 || (r = ay_use_open(a.store, a.branch, a.serial, &s, &use, err)) < 0)
		return r;
	r = show(&a, use.root, path, err);
	int ref = r < 0 ? -1 : fcntl(use.ref, F_DUPFD, REF_FD_MIN); /* without O_CLOEXEC */
	if (r == 0 && (ref < 0 || environment(&a, use.serial, path, ref)))
		r = ay_err_errno(err, errno, "cannot hand the tree on");
	ay_store_close(s);
	if (r == 0) {
		fflush(NULL);
		execvp(a.command[0], a.command);
		int missing = errno == ENOENT;
		fprintf(stderr, "ayni run: cannot run %s: %s\n", a.command[0], strerror(errno));
		_exit(missing ? 127 : 126);
	}
	ay_use_release(&use);
	return r;
}

const struct ay_cmd ay_cmd_run = {
	"run",
	"run a command that sees a tree, read-only",
	"Usage: ayni run BRANCH[@SERIAL] [--at DIR | --chroot] [--store DIR] -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Shows the current tree, or SERIAL's, to COMMAND and all that it starts, at a place that nobody else sees, and read-\n"
	"only: whatever runs as root in there cannot write into the store's files. The tree stays whole as long as one of them\n"
	"lives, even if it is removed meanwhile. A plain user needs a kernel with unprivileged user namespaces.\n"
	"\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"  -a, --at DIR         show it on the directory DIR (" PLACE
	", else a place of the user's, else /mnt)\n"
	"      --chroot         make it COMMAND's root directory, with /proc, /sys and /dev of the outside and an empty /tmp\n"
	"                       and /run where it has such directories\n"
	"\n"
	"COMMAND finds in its environment AYNI_TREE (where the tree is), AYNI_BRANCH, AYNI_SERIAL, and AYNI_REF_FD (the open\n"
	"file that holds the tree: who closes it lets go).\n"
	"\n"
	"The exit code is COMMAND's; 126: it could not be run, 127: it was not found.\n",
	run_run,
};
