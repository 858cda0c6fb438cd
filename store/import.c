/* SPDX-License-Identifier: MIT */
/*
 * A directory becomes a tree of the store: what the publisher keeps of his last
 * releases, and how files already on a disk are taken in.
 *
 * The manifest was signed; the directory is only where the bytes come from. So
 * each file is read beneath the directory's fd, without following symlinks, and
 * counts only if it has the digest that the manifest says. Bytes that are here already
 * in the same form are not copied but linked, after the source was read and found right (by us, or by the caller's
 * own scan).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/tree_internal.h"

/* The object is here from an earlier tree: link it into staging, where the collector sees the second link. */
static bool stage_present(struct ay__build *b, const struct ay_entry *e, const struct ay__object_name *name)
{
	struct ay__local_entry local;
	struct stat st;

	ay__entry_localise(b->s, e, &local);
	return fstatat(b->s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ay__object_intact(b->s, &st, &local.e) &&
	       ay__build_stage_link(b, name, b->s->objects, name->s, NULL) == 0;
}

static int import_file(struct ay__build *b, int dirfd, const struct ay_entry *e, int flags,
		       struct ay_err *err)
{
	struct ay__object_name name;
	struct ay_digest found;
	uint64_t size;
	int r = ay__object_name_of(b->s, e, &name);

	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	int staged = ay__build_has(b, &name, err);
	if (staged < 0)
		return staged;
	if (staged > 0 || ((flags & AY_IMPORT_SCANNED) && stage_present(b, e, &name)))
		return 0;
	AY_CLOSE int fd = ay__open_beneath(dirfd, e->path + 1, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s: cannot open it in the source directory", e->path);
	int there = ay__there(b->s->objects, name.s);
	if (there < 0)
		return ay_err_errno(err, -there, "%s: object %s", e->path, name.s);
	if (there > 0) {
		if ((r = ay_digest_fd(fd, &found, &size)) < 0)
			return ay_err_errno(err, -r, "%s: cannot read it in the source directory", e->path);
		if (!ay_digest_eq(&found, &e->digest))
			return ay_err_set(err, AY_EDIGEST,
					  "%s: the source has another content than the manifest says",
					  e->path);
		if (stage_present(b, e, &name))
			return 0;
	}
	return ay__build_stage(b, e, &name, fd, err);
}

/* The manifest's entries; @dirfd -1: only check them. */
static int each_entry(struct ay__build *b, int dirfd, const void *manifest, size_t len, int flags,
		      struct ay_err *err)
{
	struct ay_manifest_reader *m = ay_manifest_reader_new_mem(manifest, len);
	struct ay_digest d;
	struct ay_entry e;
	int r = m ? 1 : ay_err_errno(err, ENOMEM, "read manifest"), q = 0;

	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		if (dirfd < 0)
			q = ay__build_check_entry(b, &e, err);
		else if (e.type == AY_ENTRY_FILE)
			q = import_file(b, dirfd, &e, flags, err);
		if (q < 0)
			r = q;
	}
	if (r == 0) {
		ay_manifest_reader_digest(m, &d, NULL);
		if (!ay_digest_eq(&d, &b->release.manifest))
			r = ay_err_set(err, AY_EDIGEST, "the manifest is not the one that the release names");
	}
	ay_manifest_reader_free(m);
	return r;
}

int ay_store_import(struct ay_store *s, const char *branch, const void *release, size_t release_len,
		    int dirfd, const void *manifest, size_t manifest_len, int flags, struct ay_err *err)
{
	struct ay__build b;
	int r = ay__build_begin(&b, s, branch, release, release_len, err);

	if (r == 0)
		r = each_entry(&b, -1, manifest, manifest_len, 0, err);
	if (r == 0)
		ay__build_tell_losses(&b);
	/* Most of it may be here already, which is known file by file: so each asks for its own room. */
	if (r == 0)
		r = ay__store_reserve(s, manifest_len, 0, err);
	if (r == 0)
		r = each_entry(&b, dirfd, manifest, manifest_len, flags, err);
	if (r == 0 && (r = ay__write_file(s->fs, b.tree, "manifest", manifest, manifest_len)) < 0)
		r = ay_err_errno(err, -r, "cannot write the manifest");
	if (r == 0)
		r = ay__build_commit(&b, err);
	ay__build_end(&b);
	if (r < 0 && r != AY_ENOTHING)
		ay_err_wrap(err, r, "import %s", branch);
	return r;
}
