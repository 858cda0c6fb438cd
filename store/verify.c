/* SPDX-License-Identifier: MIT */
/*
 * Is a tree still what was signed? It is scanned as if it were to be published and
 * the two manifests are compared: one code path decides what a tree is, for making and
 * for checking.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "manifest/delta.h"
#include "store/scan.h"
#include "store/tree_internal.h"

struct verify {
	struct ay_store *s;
	uint64_t bad;
	struct ay_err *err; /* gets the first path that differs */
};

static int on_path(void *ctx, enum ay_change change, const struct ay_entry *old, const struct ay_entry *found,
		   struct ay_err *err)
{
	static const char *const words[] = {[AY_CHANGE_KEPT] = "",
					    [AY_CHANGE_ADDED] = "is there but not in the manifest",
					    [AY_CHANGE_REPLACED] = "was changed",
					    [AY_CHANGE_REMOVED] = "is missing"};
	struct verify *v = ctx;

	(void)err;
	if (change == AY_CHANGE_REPLACED) {
		struct ay__local_entry a, b; /* what this store cannot keep does not count */
		ay__entry_localise(v->s, old, &a);
		ay__entry_localise(v->s, found, &b);
		if (ay_entry_same(&a.e, &b.e))
			change = AY_CHANGE_KEPT;
	}
	if (change == AY_CHANGE_KEPT || (change == AY_CHANGE_REMOVED && !ay__entry_kept(v->s, old)))
		return 0;
	if (v->bad++ == 0)
		ay_err_set(v->err, AY_EDIGEST, "%s %s", (old ? old : found)->path, words[change]);
	return 0;
}

/* The manifest of the tree as it is now, in a file without a name. */
static int scan_now(struct ay_store *s, int root, const char *name, struct ay__fd_writer *w,
		    struct ay_err *err)
{
	const struct ay_scan_options opts = {0};
	struct ay_scan_totals totals;
	AY_CLOSE int dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return ay_err_errno(err, errno, "cannot open %s", name);
	/* Not on the disk: it is somebody's choice to check when the disk is full or read-only. */
	w->fd = memfd_create("ayni-verify", MFD_CLOEXEC);
	if (w->fd < 0)
		return ay_err_errno(err, errno, "verify %s", name);
	w->fs = s->fs;
	int r = ay_scan(dir, name, &opts, ay__fd_write, w, &totals, err);
	if (r == 0 && (r = ay__fd_flush(w)) < 0)
		r = ay_err_errno(err, -r, "verify %s", name);
	return r;
}

static int compare(struct verify *v, int manifest, int scanned, const struct ay_digest *signed_digest,
		   struct ay_err *err)
{
	struct ay__fd_reader a = {.fd = manifest}, b = {.fd = scanned};
	struct ay_manifest_reader *old = ay_manifest_reader_new(ay__fd_read, &a);
	struct ay_manifest_reader *now = ay_manifest_reader_new(ay__fd_read, &b);
	struct ay_digest d;
	int r = old && now ? ay_manifest_compare(old, now, on_path, v, err)
			   : ay_err_errno(err, ENOMEM, "verify");

	if (r == 0) {
		ay_manifest_reader_digest(old, &d, NULL);
		if (!ay_digest_eq(&d, signed_digest))
			r = ay_err_set(err, AY_ESTORE,
				       "the tree's manifest is not the one that its release names");
	}
	ay_manifest_reader_free(old);
	ay_manifest_reader_free(now);
	return r;
}

int ay_store_verify(struct ay_store *s, const char *branch, uint32_t serial, uint64_t *bad,
		    struct ay_err *err)
{
	AY_FREE struct ay_release *release = malloc(sizeof(*release));
	AY_FREE struct ay__fd_writer *w = calloc(1, sizeof(*w));
	AY_FREE uint8_t *data = NULL;
	struct verify v = {.s = s, .err = err};
	struct ay_envelope env;
	int root, manifest, r;
	size_t len;

	*bad = 0;
	if (!release || !w)
		return ay_err_errno(err, ENOMEM, "verify");
	if ((r = ay_store_release(s, branch, serial, &data, &len, err)) < 0 ||
	    (r = ay_envelope_parse(data, len, &env, err)) < 0 ||
	    (r = ay_release_parse(env.text.data, env.text.len, release, err)) < 0)
		return r;
	r = ay_store_open_tree(s, branch, serial, &root, err);
	AY_CLOSE int root_fd = root;
	if (r < 0)
		return r;
	r = ay_store_manifest(s, branch, serial, &manifest, err);
	AY_CLOSE int manifest_fd = manifest;
	if (r < 0)
		return r;
	w->fd = -1;
	if ((r = scan_now(s, root_fd, branch, w, err)) == 0)
		r = compare(&v, manifest_fd, w->fd, &release->manifest, err);
	if (w->fd >= 0)
		close(w->fd);
	*bad = v.bad;
	return r;
}
