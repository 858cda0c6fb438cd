/* SPDX-License-Identifier: MIT */
/* The real file system but for one kind of sync. */
#include "tests/powercut/seam.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* Is this the one to leave out? Remembers its name. */
static bool left_out(struct seam *m, const char *call, int fd, unsigned nth)
{
	char link[64], path[512] = "?", what[256], name[SYNC_NAME];
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
	int len = snprintf(name, sizeof(name), "%s:%s:%.80s", m->phase, call, what);
	if (nth)
		snprintf(name + len, sizeof(name) - (size_t)len, "#%u", nth);
	bool known = false;
	for (unsigned i = 0; i < m->n && !known; i++)
		known = strcmp(m->names[i], name) == 0;
	if (!known && m->n < SYNCS_MAX)
		memcpy(m->names[m->n++], name, sizeof(name));
	if (!m->skip[0] || strcmp(m->skip, name) != 0)
		return false;
	m->skipped++;
	return true;
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

void seam_init(struct seam *m, const char *root, const char *skip)
{
	memset(m, 0, sizeof(*m));
	m->ops = *ay_fs_real()->ops;
	m->ops.fsync = seam_fsync;
	m->ops.fdatasync = seam_fdatasync;
	m->ops.syncfs = seam_syncfs;
	m->fs = (struct ay_fs){.ops = &m->ops, .ctx = m};
	snprintf(m->root, sizeof(m->root), "%s", root);
	snprintf(m->skip, sizeof(m->skip), "%s", skip ? skip : "");
	snprintf(m->phase, sizeof(m->phase), "start");
}

void seam_phase(struct seam *m, const char *phase)
{
	snprintf(m->phase, sizeof(m->phase), "%s", phase);
	m->syncfs = 0;
}
