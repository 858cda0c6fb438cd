/* SPDX-License-Identifier: MIT */
/* The real file system but for one kind of sync, and with somebody else on it. */
#include "tests/powercut/seam.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"

/* Parts that a random number, a digest or a boot made become a star: "objects/ab", ".tmp-0123...", "staging-...". */
static void generalise(const char *path, char *out, size_t len)
{
	size_t at = 0;

	for (const char *p = path; *p && at + 2 < len;) {
		size_t n = strcspn(p, "/"), digits = 0;
		const char *dash = memchr(p, '-', n);
		while (digits < n && isxdigit((unsigned char)p[digits]))
			digits++;
		if (digits >= 2 && digits == n && (n == 2 || n >= 16))
			out[at++] = '*';
		else if (digits >= 16 && p[digits] == '.')
			at += (size_t)snprintf(out + at, len - at, "*%.*s", (int)(n - digits), p + digits);
		else if (dash && (size_t)(dash - p) + 9 < n)
			at += (size_t)snprintf(out + at, len - at, "%.*s-*", (int)(dash - p), p);
		else
			at += (size_t)snprintf(out + at, len - at, "%.*s", (int)n, p);
		p += n;
		if (*p == '/' && at + 1 < len) {
			out[at++] = '/';
			p++;
		}
	}
	out[at] = '\0';
}

/* Is @name one of those to leave out? */
static bool is_skipped(const char *skip, const char *name)
{
	for (const char *p = skip; *p;) {
		size_t n = strcspn(p, "|");
		bool group = n > 3 && strncmp(p + n - 3, "...", 3) == 0;
		if (group ? strncmp(p, name, n - 3) == 0 : strlen(name) == n && strncmp(p, name, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static void name_sync(struct seam *m, const char *call, int fd, unsigned nth, char name[SYNC_NAME])
{
	char link[64], path[512] = "?", what[256];
	size_t root = strlen(m->root);

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	if (strncmp(path, m->root, root) != 0)
		snprintf(what, sizeof(what), "parent");
	else if (!path[root])
		snprintf(what, sizeof(what), ".");
	else
		generalise(path + root + 1, what, sizeof(what));
	int len = snprintf(name, SYNC_NAME, "%s:%s:%.80s", m->phase, call, what);
	if (nth)
		snprintf(name + len, SYNC_NAME - (size_t)len, "#%u", nth);
}

/* Is this the one to leave out? Remembers its name. */
static bool left_out(struct seam *m, const char *call, int fd, unsigned nth)
{
	char name[SYNC_NAME], mark[SYNC_NAME + 16];
	bool known = false;

	name_sync(m, call, fd, nth, name);
	if (strcmp(name, m->kill) == 0)
		_exit(KILLED);
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n && !known; i++)
		known = strcmp(m->names[i], name) == 0;
	if (!known && m->n < SYNCS_MAX)
		memcpy(m->names[m->n++], name, sizeof(name));
	bool out = is_skipped(m->skip, name);
	if (out) {
		m->skipped++;
		m->missing = true;
		int n = snprintf(mark, sizeof(mark), "# left out %s\n", name);
		AY_ASSERT(m->marks < 0 || write(m->marks, mark, (size_t)n) == n);
	}
	pthread_mutex_unlock(&m->lock);
	return out;
}

static int seam_fsync(struct ay_fs *fs, int fd)
{
	return left_out(fs->ctx, "fsync", fd, 0) ? 0 : ay_fs_real()->ops->fsync(ay_fs_real(), fd);
}

static int seam_fdatasync(struct ay_fs *fs, int fd)
{
	return left_out(fs->ctx, "fdatasync", fd, 0) ? 0 : ay_fs_real()->ops->fdatasync(ay_fs_real(), fd);
}

static int seam_syncfs(struct ay_fs *fs, int fd)
{
	struct seam *m = fs->ctx;
	return left_out(m, "syncfs", fd, ++m->syncfs) ? 0 : ay_fs_real()->ops->syncfs(ay_fs_real(), fd);
}

/*
 * On ext4 and xfs any fsync commits the journal. btrfs keeps a log for each file; what it does of its own every half
 * minute, a commit of all metadata whatever data is still to be written, has to be asked for.
 */
static int changed(struct ay_fs *fs, int r)
{
	struct seam *m = fs->ctx;
	uint64_t transid = 0;
	off_t at = 0;

	pthread_mutex_lock(&m->lock);
	unsigned odds = m->missing && m->aim ? m->aim : m->odds;
	bool now = odds > 0 && ay_prng_below(&m->r, odds) == 0;
	if (now)
		at = (off_t)ay_prng_below(&m->r, 8000);
	pthread_mutex_unlock(&m->lock);
	if (!now)
		return r;
	if (pwrite(m->other, &r, sizeof(r), at) > 0)
		fsync(m->other);
	if (ioctl(m->other, BTRFS_IOC_START_SYNC, &transid) == 0)
		ioctl(m->other, BTRFS_IOC_WAIT_SYNC, &transid);
	return r;
}

#define REAL ay_fs_real()

static int seam_open(struct ay_fs *fs, int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = REAL->ops->open(REAL, dirfd, path, flags, mode);
	return flags & O_CREAT ? changed(fs, fd) : fd;
}

static int seam_mkdir(struct ay_fs *fs, int dirfd, const char *name, mode_t mode)
{
	return changed(fs, REAL->ops->mkdir(REAL, dirfd, name, mode));
}

static int seam_link(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return changed(fs, REAL->ops->link(REAL, from_dirfd, from, to_dirfd, to));
}

static int seam_symlink(struct ay_fs *fs, const char *target, int dirfd, const char *name)
{
	return changed(fs, REAL->ops->symlink(REAL, target, dirfd, name));
}

static int seam_rename(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
		       bool noreplace)
{
	return changed(fs, REAL->ops->rename(REAL, from_dirfd, from, to_dirfd, to, noreplace));
}

static int seam_unlink(struct ay_fs *fs, int dirfd, const char *name, int flags)
{
	return changed(fs, REAL->ops->unlink(REAL, dirfd, name, flags));
}

static ssize_t seam_pwrite(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n = REAL->ops->pwrite(REAL, fd, buf, len, offset);
	changed(fs, 0);
	return n;
}

static int seam_truncate(struct ay_fs *fs, int fd, off_t size)
{
	return changed(fs, REAL->ops->truncate(REAL, fd, size));
}

void seam_init(struct seam *m, const char *root, const char *skip)
{
	memset(m, 0, sizeof(*m));
	m->ops = *ay_fs_real()->ops;
	m->ops.fsync = seam_fsync;
	m->ops.fdatasync = seam_fdatasync;
	m->ops.syncfs = seam_syncfs;
	m->ops.open = seam_open;
	m->ops.mkdir = seam_mkdir;
	m->ops.link = seam_link;
	m->ops.symlink = seam_symlink;
	m->ops.rename = seam_rename;
	m->ops.unlink = seam_unlink;
	m->ops.pwrite = seam_pwrite;
	m->ops.truncate = seam_truncate;
	m->other = m->marks = -1;
	pthread_mutex_init(&m->lock, NULL);
	m->fs = (struct ay_fs){.ops = &m->ops, .ctx = m};
	snprintf(m->root, sizeof(m->root), "%s", root);
	snprintf(m->skip, sizeof(m->skip), "%s", skip ? skip : "");
	snprintf(m->phase, sizeof(m->phase), "start");
}

void seam_disturb(struct seam *m, int other, unsigned odds, unsigned aim, uint64_t seed)
{
	m->aim = aim;
	m->other = other;
	m->odds = odds;
	ay_prng_init(&m->r, seed ^ 0x6f74686572);
}

void seam_phase(struct seam *m, const char *phase)
{
	snprintf(m->phase, sizeof(m->phase), "%s", phase);
	m->syncfs = 0;
	m->missing = false;
}
