/* SPDX-License-Identifier: MIT */
/* The disk's process: libfuse's low-level interface, two files, no cache of any kind in between. */
#define FUSE_USE_VERSION 31
#include "tests/powercut/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INO_DISK  2
#define INO_MARKS 3
#define FOREVER   1e9

static struct blk_log *log_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static bool attributes(struct blk_log *log, fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;
	st->st_blksize = BLOCK;
	st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
	st->st_size = ino == INO_DISK ? (off_t)log->disk_size : 0;
	return ino == FUSE_ROOT_ID || ino == INO_DISK || ino == INO_MARKS;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.attr_timeout = FOREVER, .entry_timeout = FOREVER};

	e.ino = strcmp(name, "disk") == 0 ? INO_DISK : strcmp(name, "marks") == 0 ? INO_MARKS : 0;
	if (parent != FUSE_ROOT_ID || !e.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	attributes(log_of(req), e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attributes(log_of(req), ino, &st))
		fuse_reply_attr(req, &st, FOREVER);
	else
		fuse_reply_err(req, ENOENT);
}

/* Times and owners do not matter here; the size stays. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	(void)attr, (void)to_set;
	on_getattr(req, ino, fi);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != INO_DISK && ino != INO_MARKS) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	fi->direct_io = 1; /* each write comes here as it is made */
	fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct blk_log *log = log_of(req);
	uint64_t at = (uint64_t)off;

	(void)fi;
	if (ino != INO_DISK || at >= log->disk_size)
		size = 0;
	else if (size > log->disk_size - at)
		size = log->disk_size - at;
	fuse_reply_buf(req, size ? (const char *)log->disk + at : NULL, size);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)fi;
	blk_log_add(log_of(req), ino == INO_DISK ? BLK_WRITE : BLK_MARK, ino == INO_DISK ? (uint64_t)off : 0,
		    buf, (uint32_t)size);
	if (log_of(req)->full)
		fuse_reply_err(req, ENOSPC);
	else
		fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync, (void)fi;
	if (ino == INO_DISK)
		blk_log_add(log_of(req), BLK_FLUSH, 0, NULL, 0);
	fuse_reply_err(req, 0);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	(void)fi;
	if (ino != INO_DISK || !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) || len > UINT32_MAX) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	blk_log_add(log_of(req), BLK_TRIM, (uint64_t)off, NULL, (uint32_t)len);
	fuse_reply_err(req, log_of(req)->full ? ENOSPC : 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.fallocate = on_fallocate,
};

static int serve(struct blk_log *log, const char *dir, int ready)
{
	char *argv[] = {(char[]){"powercut"}, (char[]){"-osubtype=ayni-powercut"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), log);

	if (!se || fuse_session_mount(se, dir) != 0)
		return 1;
	if (write(ready, "", 1) != 1)
		return 1;
	close(ready);
	int r = fuse_session_loop(se);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	return r != 0;
}

pid_t disk_start(struct blk_log *log, const char *dir)
{
	int ready[2];
	char one;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		close(ready[0]);
		/* Who started us may be killed; then nobody needs the disk, and the kernel must not wait for it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		if (getppid() != parent)
			_exit(1);
		_exit(serve(log, dir, ready[1]));
	}
	close(ready[1]);
	ssize_t n = pid < 0 ? 0 : read(ready[0], &one, 1);
	close(ready[0]);
	if (n == 1)
		return pid;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return -EIO;
}

void disk_stop(pid_t pid, const char *dir)
{
	umount2(dir, MNT_DETACH);
	kill(pid, SIGKILL); /* its own mount of it goes with it */
	waitpid(pid, NULL, 0);
}
