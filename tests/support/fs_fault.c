/* SPDX-License-Identifier: MIT */
/*
 * Faults on demand around the real file system. Every operation asks one function
 * whether its turn has come; what it says holds for all of them.
 */
#include "tests/support/fs_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OP_OPEN,
	OP_MKDIR,
	OP_LINK,
	OP_SYMLINK,
	OP_MKNOD,
	OP_RENAME,
	OP_UNLINK,
	OP_PWRITE,
	OP_TRUNCATE,
	OP_ALLOCATE,
	OP_REFLINK,
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIMENS,
	OP_SETXATTR,
	OP_VERITY,
	OP_FSYNC,
	OP_FDATASYNC,
	OP_SYNCFS,
	OP_DEDUPE,
	OP_EXCHANGE
};

static const char *const names[] = {"open",   "mkdir",   "link",     "symlink",  "mknod",   "rename",
				    "unlink", "pwrite",  "truncate", "allocate", "reflink", "chmod",
				    "chown",  "utimens", "setxattr", "verity",   "fsync",   "fdatasync",
				    "syncfs", "dedupe",  "exchange"};

const struct fs_fault_case fs_fault_cases[] = {
	{"EIO once", AY_FAULT_ONCE, EIO},
	{"EIO for good", AY_FAULT_FOREVER, EIO},
	{"ENOSPC once", AY_FAULT_ONCE, ENOSPC},
	{"ENOSPC for good", AY_FAULT_FOREVER, ENOSPC},
	{"EDQUOT once", AY_FAULT_ONCE, EDQUOT},
	{"EDQUOT for good", AY_FAULT_FOREVER, EDQUOT},
	{"EMFILE once", AY_FAULT_ONCE, EMFILE},
	{"EMFILE for good", AY_FAULT_FOREVER, EMFILE},
	{"EINTR once", AY_FAULT_ONCE, EINTR},
	{"EINTR for good", AY_FAULT_FOREVER, EINTR},
	{"a short write", AY_FAULT_SHORT, 0},
	{"short writes for good", AY_FAULT_SHORT_FOREVER, 0},
	{NULL, AY_FAULT_NONE, 0},
};

#define BIT(op) (1u << (op))

static const unsigned frees_room = BIT(OP_UNLINK) | BIT(OP_RENAME) | BIT(OP_TRUNCATE) | BIT(OP_FSYNC) |
				   BIT(OP_FDATASYNC) | BIT(OP_SYNCFS) | BIT(OP_CHMOD) | BIT(OP_EXCHANGE);
static const unsigned takes_room = BIT(OP_OPEN) | BIT(OP_MKDIR) | BIT(OP_SYMLINK) | BIT(OP_MKNOD) |
				   BIT(OP_PWRITE) | BIT(OP_ALLOCATE) | BIT(OP_REFLINK) | BIT(OP_SETXATTR) |
				   BIT(OP_LINK) | BIT(OP_RENAME);
static const unsigned waits = BIT(OP_OPEN) | BIT(OP_PWRITE) | BIT(OP_TRUNCATE) | BIT(OP_ALLOCATE) |
			      BIT(OP_REFLINK) | BIT(OP_FSYNC) | BIT(OP_FDATASYNC) | BIT(OP_SYNCFS) |
			      BIT(OP_DEDUPE) | BIT(OP_VERITY);

/* Which calls may go wrong in this way? */
static unsigned may_fail(const struct fs_fault *f)
{
	switch (f->kind) {
	case AY_FAULT_SHORT:
	case AY_FAULT_SHORT_FOREVER:
		return BIT(OP_PWRITE);
	case AY_FAULT_ONCE:
	case AY_FAULT_FOREVER:
		if (f->error == EDQUOT)
			return f->kind == AY_FAULT_ONCE ? takes_room : takes_room & ~frees_room;
		if (f->error == ENOSPC && f->kind == AY_FAULT_FOREVER)
			return ~frees_room;
		return f->error == EMFILE ? BIT(OP_OPEN) : f->error == EINTR ? waits : ~0u;
	default:
		return ~0u;
	}
}

static bool is_now(const struct fs_fault *f)
{
	bool for_good = f->kind == AY_FAULT_FOREVER || f->kind == AY_FAULT_SHORT_FOREVER;
	return for_good ? f->met >= f->at : f->met == f->at;
}

/* 0: go on; negative: fail with that. */
static int turn(struct fs_fault *f, int op)
{
	f->calls++;
	f->of[op]++;
	f->due = false;
	if (!(may_fail(f) & BIT(op)))
		return 0;
	f->met++;
	if (f->kind == AY_FAULT_NONE || !is_now(f))
		return 0;
	f->due = true; /* for what is to be done with the call, or behind it */
	if (f->kind == AY_FAULT_KILL)
		kill(getpid(), SIGKILL);
	if (f->kind != AY_FAULT_KILL_AFTER && !f->failed)
		f->failed = names[op];
	return f->kind == AY_FAULT_ONCE || f->kind == AY_FAULT_FOREVER ? -f->error : 0;
}

/* Behind the call. */
static int64_t done(struct fs_fault *f, int64_t r)
{
	if (f->due && f->kind == AY_FAULT_KILL_AFTER)
		kill(getpid(), SIGKILL);
	return r;
}

/* How the store's lock is held, by anybody, at this moment. */
static const char *lock_state(const struct fs_fault *f)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/lock", f->trace_root);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *state = "";
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		state = flock(fd, LOCK_SH | LOCK_NB) < 0 ? " (exclusive)" : " (shared)";
	if (fd >= 0)
		close(fd);
	return state;
}

/* One line: "rename tmp/x/a -> objects/ab/c". What has no name in the call is the directory itself. */
static void trace(struct fs_fault *f, int op, int dirfd, const char *name, int to_dirfd, const char *to)
{
	const int fds[] = {dirfd, to_dirfd};
	const char *const parts[] = {name, to};

	if (!f->trace)
		return;
	fputs(names[op], f->trace);
	for (int i = 0; i < 2 && parts[i]; i++) {
		char link[64], path[1024] = "?";
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fds[i]);
		ssize_t n = fds[i] >= 0 ? readlink(link, path, sizeof(path) - 1) : 0;
		path[n > 0 ? n : 0] = '\0';
		size_t root = strlen(f->trace_root);
		bool below = strncmp(path, f->trace_root, root) == 0;
		fprintf(f->trace, "%s %s%s%s", i ? " ->" : "",
			below ? path + root + (path[root] == '/') : path,
			path[root] && parts[i][0] ? "/" : "", parts[i]);
	}
	fprintf(f->trace, "%s\n", lock_state(f));
}

/* Ask, then do. */
#define FAULT(op, call)                                                                                      \
	struct fs_fault *f = fs->ctx;                                                                        \
	struct ay_fs *real = ay_fs_real();                                                                   \
	int fault = turn(f, op);                                                                             \
	if (fault < 0)                                                                                       \
		return fault;                                                                                \
	return (__typeof__(real->ops->call))done(f, real->ops->call)

#define SYNC_FAULT(op, call)                                                                                 \
	trace(fs->ctx, op, fd, "", -1, NULL);                                                                \
	if (((struct fs_fault *)fs->ctx)->syncs_off)                                                         \
		return (int)done(fs->ctx, turn(fs->ctx, op));                                                \
	FAULT(op, call)

static int fault_open(struct ay_fs *fs, int dirfd, const char *path, int flags, mode_t mode)
{
	if (!(flags & (O_CREAT | O_TRUNC)))
		return ay_fs_real()->ops->open(ay_fs_real(), dirfd, path, flags, mode);
	trace(fs->ctx, OP_OPEN, dirfd, path, -1, NULL);
	FAULT(OP_OPEN, open(real, dirfd, path, flags, mode));
}

static int fault_mkdir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode)
{
	trace(fs->ctx, OP_MKDIR, dirfd, name, -1, NULL);
	FAULT(OP_MKDIR, mkdir(real, dirfd, name, mode));
}

static int fault_symlink(struct ay_fs *fs, const char *target, int dirfd, const char *name)
{
	trace(fs->ctx, OP_SYMLINK, -1, target, dirfd, name);
	FAULT(OP_SYMLINK, symlink(real, target, dirfd, name));
}

static int fault_mknod(struct ay_fs *fs, int dirfd, const char *name, mode_t mode, dev_t dev)
{
	FAULT(OP_MKNOD, mknod(real, dirfd, name, mode, dev));
}

static int fault_rename(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
			bool noreplace)
{
	trace(fs->ctx, OP_RENAME, from_dirfd, from, to_dirfd, to);
	FAULT(OP_RENAME, rename(real, from_dirfd, from, to_dirfd, to, noreplace));
}

static int fault_unlink(struct ay_fs *fs, int dirfd, const char *name, int flags)
{
	trace(fs->ctx, OP_UNLINK, dirfd, name, -1, NULL);
	FAULT(OP_UNLINK, unlink(real, dirfd, name, flags));
}

static ssize_t fault_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	struct fs_fault *o = fs->ctx;
	int r = turn(o, OP_PWRITE);

	if (r < 0)
		return r;
	if (o->due && len > 1 && o->kind != AY_FAULT_KILL_AFTER)
		len /= 2;
	return done(o, ay_fs_real()->ops->pwrite(ay_fs_real(), fd, buf, len, offset));
}

static int fault_truncate(struct ay_fs *fs, int fd, off_t size)
{
	FAULT(OP_TRUNCATE, truncate(real, fd, size));
}

static int fault_allocate(struct ay_fs *fs, int fd, off_t size)
{
	FAULT(OP_ALLOCATE, allocate(real, fd, size));
}

static int fault_chmod(struct ay_fs *fs, int fd, mode_t mode)
{
	FAULT(OP_CHMOD, chmod(real, fd, mode));
}

static int fault_chown(struct ay_fs *fs, int dirfd, const char *name, uid_t uid, gid_t gid)
{
	FAULT(OP_CHOWN, chown(real, dirfd, name, uid, gid));
}

static int fault_utimens(struct ay_fs *fs, int dirfd, const char *name, const struct timespec *mtime)
{
	FAULT(OP_UTIMENS, utimens(real, dirfd, name, mtime));
}

static int fault_setxattr(struct ay_fs *fs, int dirfd, const char *name, const char *attr, const void *value,
			  size_t len)
{
	FAULT(OP_SETXATTR, setxattr(real, dirfd, name, attr, value, len));
}

/* Where the kernel lacks it, it is no change of the disk, and not counted; tests of it set @verity. */
static int fault_verity(struct ay_fs *fs, int fd)
{
	struct fs_fault *o = fs->ctx;

	if (!o->verity)
		return ay_fs_real()->ops->verity(ay_fs_real(), fd);
	FAULT(OP_VERITY, verity(real, fd));
}

static int fault_fsync(struct ay_fs *fs, int fd)
{
	SYNC_FAULT(OP_FSYNC, fsync(real, fd));
}

static int fault_fdatasync(struct ay_fs *fs, int fd)
{
	SYNC_FAULT(OP_FDATASYNC, fdatasync(real, fd));
}

static int fault_syncfs(struct ay_fs *fs, int fd)
{
	SYNC_FAULT(OP_SYNCFS, syncfs(real, fd));
}

static int fault_link(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	const struct fs_fault *o = fs->ctx;
	struct stat st;

	if (o->links_max && fstatat(from_dirfd, from, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0 &&
	    st.st_nlink >= o->links_max)
		return -EMLINK;
	trace(fs->ctx, OP_LINK, from_dirfd, from, to_dirfd, to);
	FAULT(OP_LINK, link(real, from_dirfd, from, to_dirfd, to));
}

static int fault_reflink(struct ay_fs *fs, int to_fd, int from_fd)
{
	const struct fs_fault *o = fs->ctx;

	if (o->reflink_error)
		return -o->reflink_error;
	FAULT(OP_REFLINK, reflink(real, to_fd, from_fd));
}

static int64_t fault_dedupe(struct ay_fs *fs, int from_fd, int to_fd, uint64_t offset, uint64_t len)
{
	FAULT(OP_DEDUPE, dedupe(real, from_fd, to_fd, offset, len));
}

static int fault_exchange(struct ay_fs *fs, int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	FAULT(OP_EXCHANGE, exchange(real, a_dirfd, a, b_dirfd, b));
}

static const struct ay_fs_ops ops = {
	.open = fault_open,
	.mkdir = fault_mkdir,
	.link = fault_link,
	.symlink = fault_symlink,
	.mknod = fault_mknod,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.pwrite = fault_pwrite,
	.truncate = fault_truncate,
	.allocate = fault_allocate,
	.reflink = fault_reflink,
	.dedupe = fault_dedupe,
	.exchange = fault_exchange,
	.chmod = fault_chmod,
	.chown = fault_chown,
	.utimens = fault_utimens,
	.setxattr = fault_setxattr,
	.verity = fault_verity,
	.fsync = fault_fsync,
	.fdatasync = fault_fdatasync,
	.syncfs = fault_syncfs,
};

void fs_fault_set(struct fs_fault *f, const struct fs_fault_case *c, unsigned at)
{
	f->kind = c->kind;
	f->error = c->error;
	f->at = f->met + at;
}

bool fs_fault_may_succeed(const struct fs_fault_case *c)
{
	return c->error == EINTR || c->error == 0;
}

bool fs_fault_was_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

void fs_fault_few_fds(unsigned n)
{
	struct rlimit l;
	int top = dup(0);

	/* The lowest number that is free is the first that is taken. */
	if (top < 0 || getrlimit(RLIMIT_NOFILE, &l) < 0)
		abort();
	close(top);
	l.rlim_cur = (rlim_t)top + n;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		abort();
}

void fs_fault_init(struct fs_fault *f)
{
	*f = (struct fs_fault){.fs = {.ops = &ops, .ctx = f}};
}
