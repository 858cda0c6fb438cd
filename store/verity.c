/* SPDX-License-Identifier: MIT */
/*
 * fs-verity on objects. Its place in the commit is after the last change of content and metadata and before the first
 * syncfs, so that a name never leads to a file that the kernel does not guard yet.
 *
 * The option `auto` is tried with the first file that comes: where the file system
 * does not know it, none is tried any more. `yes` insists.
 */
#include "store/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/file.h"

int ay__verity_measure(int fd, struct ay_digest *out)
{
	union {
		struct fsverity_digest d;
		uint8_t room[sizeof(struct fsverity_digest) + 64];
	} m = {.d = {.digest_size = 64}};

	if (ioctl(fd, FS_IOC_MEASURE_VERITY, &m.d) < 0)
		return errno == ENODATA || errno == ENOTTY || errno == EOPNOTSUPP ? 0 : -errno;
	if (m.d.digest_algorithm != FS_VERITY_HASH_ALG_SHA256 || m.d.digest_size != AY_DIGEST_LEN)
		return 0; /* somebody else's, of another kind */
	memcpy(out->b, m.d.digest, AY_DIGEST_LEN);
	return 1;
}

/* Not this file, but the file system or its kernel cannot. EINVAL: its blocks are not as large as ours. */
static bool knows_it_not(int r)
{
	return r == -ENOTTY || r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL;
}

/* A plain user must be allowed to write into the file, as which nobody opens it. */
static int enable_as_writer(struct ay_store *s, int fd, const struct stat *was)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	int r = ops->chmod(s->fs, fd, (was->st_mode & 07777) | 0200);

	if (r == 0) {
		r = ops->verity(s->fs, fd);
		int back = ops->chmod(s->fs, fd, was->st_mode & 07777);
		r = r < 0 ? r : back;
	}
	return r;
}

/* ext4 moves the mtime: the tree of hashes lies behind the file's end, and what is left over there is truncated. */
static int enable(struct ay_store *s, int fd)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	struct stat was, now;
	int r = fstat(fd, &was) < 0 ? -errno : ops->verity(s->fs, fd);

	if (r == -EEXIST)
		return 0;
	if (r == -EACCES)
		r = enable_as_writer(s, fd, &was);
	if (r < 0)
		return r;
	if (fstat(fd, &now) < 0)
		return -errno;
	if (now.st_mtim.tv_sec == was.st_mtim.tv_sec && now.st_mtim.tv_nsec == was.st_mtim.tv_nsec)
		return 0;
	return ops->utimens(s->fs, fd, "", &was.st_mtim);
}

static int insist(const struct ay_store *s, const char *name, int r, struct ay_err *err)
{
	return ay_err_set(
		err, AY_EUNSUPPORTED,
		"%s: cannot be put under fs-verity (%s), and the store %s insists: use a file system that has "
		"it (ext4 made with -O verity, btrfs), or `ayni init --verity=auto`",
		name, ay_strerror(r), s->path);
}

int ay__verity_guard(struct ay_store *s, int dirfd, const char *name, const struct ay_digest *digest,
		     struct ay_err *err)
{
	struct ay_digest found;

	if (s->verity == AY_VERITY_NO || s->verity_missing)
		return 0;
	AY_CLOSE int fd = ay__open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK);
	int r = fd < 0 ? fd : enable(s, fd);
	/* EACCES: its owner may not even read it; ETXTBSY: a file taken in by a link, which somebody writes. */
	if (r < 0 && (knows_it_not(r) || r == -EACCES || r == -ETXTBSY)) {
		s->verity_missing = knows_it_not(r) && s->verity == AY_VERITY_AUTO;
		return s->verity == AY_VERITY_YES ? insist(s, name, r, err) : 0;
	}
	if (r < 0)
		return ay_err_errno(err, -r, "cannot put %s under fs-verity", name);
	r = ay__verity_measure(fd, &found);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot measure %s", name);
	if (r == 0 || !ay_digest_eq(&found, digest))
		return ay_err_set(err, AY_EDIGEST, "%s: the kernel finds another content than its name says",
				  name);
	return 0;
}

/* A digest of 64 hex digits. */
static bool parse_name(const char *prefix, const char *name, struct ay_digest *out)
{
	char hex[AY_DIGEST_HEX + 1];
	int n = snprintf(hex, sizeof(hex), "%s%s", prefix, name);

	return n > AY_DIGEST_HEX && ay_digest_parse(out, hex, AY_DIGEST_HEX) == 0;
}

int ay__verity_guard_all(struct ay_store *s, int dirfd, const char *prefix, struct ay_err *err)
{
	int fd = ay__open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct ay_digest digest;
	struct dirent *e;
	int r = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, fd < 0 ? -fd : errno, "cannot list staged objects");
	}
	while (r == 0 && (errno = 0, e = readdir(d))) {
		if (s->verity == AY_VERITY_NO || s->verity_missing)
			return 0;
		if (parse_name(prefix, e->d_name, &digest))
			r = ay__verity_guard(s, dirfd, e->d_name, &digest, err);
	}
	return r == 0 && errno ? ay_err_errno(err, errno, "cannot list staged objects") : r;
}

/* Can it be done here? On a file of its own. */
static int probe(struct ay_store *s, struct ay_err *err)
{
	static const char text[] = "fs-verity?\n";
	struct ay_fs *fs = s->fs;
	struct ay_digest d;
	char name[32] = AY__TMP_PREFIX;

	ay__random_name(name + strlen(name));
	ay_digest_mem(text, strlen(text), &d);
	int fd = fs->ops->open(fs, s->tmp, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot make a file in %s/tmp", s->path);
	int r = ay__write_all(fs, fd, text, strlen(text), 0);
	close(fd);
	r = r < 0 ? ay_err_errno(err, -r, "cannot write in %s/tmp", s->path)
		  : ay__verity_guard(s, s->tmp, name, &d, err);
	fs->ops->unlink(fs, s->tmp, name, 0);
	return r;
}

int ay_store_set_verity(struct ay_store *s, enum ay_verity verity, struct ay_err *err)
{
	const enum ay_verity was = s->verity;
	int r = ay__store_writable(s, err);

	if (r < 0)
		return r;
	s->verity = verity;
	s->verity_missing = false;
	if (verity == AY_VERITY_YES)
		r = probe(s, err);
	if (r == 0)
		r = ay__store_version_write(s, err);
	if (r < 0)
		s->verity = was;
	return r;
}
