/* SPDX-License-Identifier: MIT */
/*
 * Getting good copies. What is needed was gathered by a walk over all trees; now:
 *
 *     owners     which branches name each content, and which link its inode somewhere
 *     contents   from an object of another variant, or retrieved for each branch by its own bundles
 *     objects    made in staging with all metadata, as at every commit
 *     syncfs     before any of them gets its name
 *     rename     over the damaged object's name; trees are put right by the walk that follows
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/retrieve.h"
#include "store/state_internal.h"
#include "store/verity.h"

/* ---- what is needed ---- */

static int cmp_needs(const void *a, const void *b)
{
	const struct ay__fsck_need *x = a, *y = b;
	return ay_digest_cmp(&x->digest, &y->digest);
}

static void sort_needs(struct ay__fsck *k)
{
	size_t kept = 0;

	if (k->n_needs > 1)
		qsort(k->needs, k->n_needs, sizeof(*k->needs), cmp_needs);
	for (size_t i = 0; i < k->n_needs; i++) {
		if (kept == 0 || !ay_digest_eq(&k->needs[kept - 1].digest, &k->needs[i].digest))
			k->needs[kept++] = k->needs[i];
	}
	k->n_needs = kept;
	k->needs_sorted = true;
}

int ay__fsck_need_add(struct ay__fsck *k, const struct ay_digest *d, uint64_t size)
{
	if (k->n_needs == k->cap_needs) {
		sort_needs(k); /* most repeat: several paths, several trees */
		if (k->n_needs == AY__FSCK_NEEDS_MAX) {
			k->needs_full = true;
			return 0;
		}
		if (k->n_needs > k->cap_needs / 2 || k->cap_needs == 0) {
			size_t cap = k->cap_needs ? 2 * k->cap_needs : 256;
			if (cap > AY__FSCK_NEEDS_MAX)
				cap = AY__FSCK_NEEDS_MAX;
			struct ay__fsck_need *grown = reallocarray(k->needs, cap, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			k->needs = grown;
			k->cap_needs = cap;
		}
	}
	k->needs[k->n_needs++] = (struct ay__fsck_need){.digest = *d, .size = size};
	k->needs_sorted = false;
	return 0;
}

static struct ay__fsck_need *need_find(const struct ay__fsck *k, const struct ay_digest *d)
{
	size_t low = 0, high = k->n_needs;

	AY_ASSERT(k->needs_sorted || k->n_needs == 0);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = ay_digest_cmp(&k->needs[mid].digest, d);
		if (c == 0)
			return &k->needs[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static uint64_t branch_bit(size_t branch)
{
	return 1ull << (branch < AY__FSCK_BRANCHES_MAX ? branch : AY__FSCK_BRANCHES_MAX - 1);
}

bool ay__fsck_entitled(const struct ay__fsck *k, size_t b, const struct ay_digest *d)
{
	const struct ay__fsck_need *n = need_find(k, d);
	uint64_t bit = branch_bit(b);

	if (!n)
		return true; /* nothing is wrong with it anywhere */
	if ((n->linked | n->from) & bit)
		return true;
	if (n->named == bit && b < AY__FSCK_BRANCHES_MAX - 1)
		return true;
	for (size_t i = 0; i < k->n_branches && i < AY__FSCK_BRANCHES_MAX - 1; i++) {
		if (k->branches[i].shares && i != b && (n->named & branch_bit(i)))
			return true;
	}
	return false;
}

/* ---- each file entry of a tree's manifest ---- */

static int each_file(struct ay__fsck_tree *t,
		     int (*each)(struct ay__fsck_tree *t, const struct ay_entry *e, void *ctx,
				 struct ay_err *err),
		     void *ctx, struct ay_err *err)
{
	struct ay__fd_reader in = {.fd = t->manifest};
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &in);
	struct ay_entry e;
	int r = m ? 1 : ay_err_errno(err, ENOMEM, "fsck");

	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		int q = e.type == AY_ENTRY_FILE && need_find(t->k, &e.digest) ? each(t, &e, ctx, err) : 0;
		if (q < 0)
			r = q;
	}
	ay_manifest_reader_free(m);
	return r;
}

/* ---- owners ---- */

static int mark_owner(struct ay__fsck_tree *t, const struct ay_entry *e, void *ctx, struct ay_err *err)
{
	struct ay__fsck_need *n = need_find(t->k, &e->digest);
	const int *root = ctx;
	struct ay__local_entry local;
	uint8_t v[AY__VARIANT_LEN];
	struct stat st;

	n->named |= branch_bit(t->branch);
	ay__entry_localise(t->k->s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r < 0)
		return ay_err_errno(err, -r, "fsck");
	const struct ay__fsck_row *row = ay__fsck_row(t->k, &e->digest, v);
	AY_CLOSE int fd = row && *root >= 0 ? ay__open_beneath(*root, e->path + 1, O_PATH) : -1;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == row->ino)
		n->linked |= branch_bit(t->branch);
	return 0;
}

static int mark_owners(struct ay__fsck_tree *t, struct ay_err *err)
{
	AY_CLOSE int root = ay__open_beneath(t->dir, "root", O_PATH | O_DIRECTORY);
	return each_file(t, mark_owner, &root, err);
}

/* ---- contents ---- */

static void raw_name(size_t branch, char out[32])
{
	snprintf(out, 32, "raw-%zu", branch);
}

static int give_base(void *ctx, const struct ay_digest *d, uint64_t size, int *fd)
{
	(void)size;
	*fd = ay__fsck_content(ctx, d);
	return *fd < 0 ? *fd : 0;
}

/* What branch @b must be given by its own bundles. Sorted, as the needs are. */
static int list_wanted(struct ay__fsck *k, size_t b, struct ay_wanted **out, size_t *n)
{
	*n = 0;
	*out = calloc(k->n_needs, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_needs; i++) {
		const struct ay__fsck_need *x = &k->needs[i];
		if (!(x->named & branch_bit(b)))
			continue;
		AY_CLOSE int fd = ay__fsck_entitled(k, b, &x->digest) ? ay__fsck_content(k, &x->digest) : -1;
		if (fd < 0)
			(*out)[(*n)++] = (struct ay_wanted){.digest = x->digest, .size = x->size};
	}
	return 0;
}

/* Retrieve from @repo (NULL: the store's own bundles) for branch @b. */
static int retrieve(struct ay__fsck *k, size_t b, struct ay_repo *repo, int dir, struct ay_err *err)
{
	AY_FREE struct ay_wanted *w = NULL;
	struct ay_err why = {0};
	uint64_t bytes = 0;
	size_t n;
	int r = list_wanted(k, b, &w, &n);

	if (r < 0)
		return ay_err_errno(err, -r, "fsck");
	for (size_t i = 0; i < n; i++)
		bytes += w[i].size;
	if (n == 0)
		return 0;
	if ((r = ay__store_reserve(k->s, bytes, 2 * n, err)) < 0)
		return r;
	const struct ay_retrieve how = {.s = k->s,
					.repo = repo,
					.root = k->root,
					.branch = k->branches[b].name,
					.dirfd = dir,
					.base = give_base,
					.ctx = k};
	r = ay_retrieve(&how, w, n, NULL, &why);
	if (r < 0 && r != AY_ENOTHING) {
		/* A stick that cannot be read is one source less; our own disk, or memory, is the end. */
		if (r == -ENOSPC || r == -EDQUOT || r == -ENOMEM || r == -EROFS)
			return ay_err_set(err, r, "%s", why.msg);
	}
	for (size_t i = 0; i < n; i++) {
		struct ay__fsck_need *x = need_find(k, &w[i].digest);
		if (w[i].got)
			x->from |= branch_bit(b);
	}
	return 0;
}

static int get_contents(struct ay__fsck *k, struct ay_err *err)
{
	int r = 0;

	for (size_t b = 0; k->root && b < k->n_branches && b < AY__FSCK_BRANCHES_MAX - 1 && r == 0; b++) {
		char name[32];
		raw_name(b, name);
		AY_CLOSE int dir = ay__make_dir(k->s->fs, k->st.dir, name, 0700, NULL);
		if (dir < 0)
			return ay_err_errno(err, -dir, "cannot make a directory in %s/tmp", k->s->path);
		r = retrieve(k, b, NULL, dir, err);
		for (size_t i = 0; i < k->f->n_repos && r == 0; i++)
			r = retrieve(k, b, k->f->repos[i], dir, err);
	}
	return r;
}

/* ---- objects ---- */

static void flat_name(const struct ay__object_name *name, char out[AY__OBJECT_NAME_MAX])
{
	snprintf(out, AY__OBJECT_NAME_MAX, "%.2s%s", name->s, name->s + 3);
}

/* A good content for branch @b: what its bundles gave, else one that is here and that it may have. */
static int open_content(struct ay__fsck *k, size_t b, const struct ay_digest *d)
{
	char path[32 + AY_DIGEST_HEX + 2], hex[AY_DIGEST_HEX + 1];

	raw_name(b, path);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", ay_digest_hex(d, hex));
	int fd = ay__open_beneath(k->st.dir, path, O_RDONLY);
	return fd == -ENOENT && ay__fsck_entitled(k, b, d) ? ay__fsck_content(k, d) : fd;
}

static int make_object(struct ay__fsck_tree *t, const struct ay_entry *e, void *ctx, struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	const int new_ = *(const int *)ctx;
	struct ay__local_entry local;
	struct ay__object_name name;
	char flat[AY__OBJECT_NAME_MAX];
	uint8_t v[AY__VARIANT_LEN];
	struct ay_err why = {0};
	struct stat st;

	ay__entry_localise(k->s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r < 0)
		return ay_err_errno(err, -r, "fsck");
	ay__object_name(&e->digest, v, &name);
	flat_name(&name, flat);
	const struct ay__fsck_row *row = ay__fsck_row(k, &e->digest, v);
	bool good = row ? row->state == AY__ROW_GOOD || row->state == AY__ROW_REMADE
			: fstatat(k->s->objects, name.s, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (good || faccessat(new_, flat, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	AY_CLOSE int from = open_content(k, t->branch, &e->digest);
	if (from < 0)
		return 0; /* the walk will tell */
	AY_CLOSE int to = k->s->fs->ops->open(k->s->fs, new_, flat, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return ay_err_errno(err, -to, "cannot make a file in %s/tmp", k->s->path);
	r = ay__copy_file(k->s, from, to, e->size, &e->digest, &why);
	if (r == 0)
		r = ay__meta_set(k->s, to, &local.e, &why);
	if (r == AY_EDIGEST || r == -EIO) { /* it was changed just now: then there is no good copy */
		k->s->fs->ops->unlink(k->s->fs, new_, flat, 0);
		return 0;
	}
	return r < 0 ? ay_err_set(err, r, "%s", why.msg) : 0;
}

static int make_objects(struct ay__fsck_tree *t, struct ay_err *err)
{
	AY_CLOSE int new_ = ay__open_beneath(t->k->st.dir, "new", O_RDONLY | O_DIRECTORY);

	if (new_ < 0)
		return ay_err_errno(err, -new_, "%s/tmp", t->k->s->path);
	return each_file(t, make_object, &new_, err);
}

static struct ay__fsck_row *row_of_name(struct ay__fsck *k, const struct ay__object_name *name)
{
	char hex[AY_DIGEST_HEX + 1];
	uint8_t v[AY__VARIANT_LEN];
	struct ay_digest d;

	snprintf(hex, sizeof(hex), "%.2s%.62s", name->s, name->s + 3);
	if (ay_digest_parse(&d, hex, AY_DIGEST_HEX) < 0)
		return NULL;
	const char *variant = name->s + 66;
	return ay__hex_get(variant, strlen(variant), v, sizeof(v)) ? ay__fsck_row(k, &d, v) : NULL;
}

/* Give the new objects their names. Content and metadata are on the disk by now. */
static int put_objects(struct ay__fsck *k, int new_, struct ay_err *err)
{
	int fd = ay__open_beneath(new_, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		struct ay__object_name name;
		struct stat st;
		if (strlen(e->d_name) != AY__OBJECT_NAME_MAX - 2)
			continue;
		snprintf(name.s, sizeof(name.s), "%.2s/%s", e->d_name, e->d_name + 2);
		/* A second name first: with one link only the collector would take it before a tree links it. */
		char tmp[17];
		ay__random_name(tmp);
		int r = fstatat(new_, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
		if (r == 0)
			r = k->s->fs->ops->link(k->s->fs, new_, e->d_name, k->st.dir, tmp);
		if (r == 0)
			r = ay__object_replace(k->s, new_, e->d_name, &name, &k->touched);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot put object %s", name.s);
		struct ay__fsck_row *row = row_of_name(k, &name);
		if (row) {
			row->ino = st.st_ino;
			row->state = AY__ROW_REMADE;
		}
	}
	return d ? 0 : ay_err_errno(err, errno, "%s/tmp", k->s->path);
}

int ay__fsck_acquire(struct ay__fsck *k, struct ay_err *err)
{
	sort_needs(k);
	if (k->n_needs == 0)
		return 0;
	AY_CLOSE int new_ = ay__make_dir(k->s->fs, k->st.dir, "new", 0700, NULL);
	if (new_ < 0)
		return ay_err_errno(err, -new_, "cannot make a directory in %s/tmp", k->s->path);
	int r = ay__fsck_each_tree(k, false, mark_owners, err);
	if (r == 0)
		r = get_contents(k, err);
	if (r == 0)
		r = ay__fsck_each_tree(k, false, make_objects, err);
	if (r < 0)
		return r;
	if ((r = ay__verity_guard_all(k->s, new_, "", err)) < 0)
		return r;
	if ((r = k->s->fs->ops->syncfs(k->s->fs, k->s->dir)) < 0)
		return ay_err_errno(err, -r, "cannot sync the file system of %s", k->s->path);
	return put_objects(k, new_, err);
}
