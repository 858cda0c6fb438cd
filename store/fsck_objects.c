/* SPDX-License-Identifier: MIT */
/*
 * Every object, read on all cores: one thread lists, opens and compares metadata,
 * the pool of store/hash_pool.h hashes. What an object should be stands in its
 * name: the content's digest, and the variant, a hash of all else that an inode has.
 *
 * An object that vanishes meanwhile was collected, one that comes meanwhile was
 * checked by who made it: neither is damage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/hash_pool.h"
#include "store/xattr.h"

#define WINDOW 192 /* files being hashed or waiting, each an open fd */

struct slot {
	struct ay__hash_job job;
	struct ay_digest want;
	size_t row;
	bool used;
};

struct reading {
	struct ay__fsck *k;
	struct ay__hash_pool *pool;
	size_t next; /* the oldest slot */
	struct slot slots[WINDOW];
};

/* ---- metadata ---- */

static bool meta_with(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		      const struct ay_entry *e, unsigned flags)
{
	AY_FREE struct ay_xattr *x = NULL;
	size_t n = 0, kept = 0;

	if ((e->type != AY_ENTRY_SYMLINK && (st->st_mode & 07777) != e->mode) ||
	    (!k->s->owner_me && (st->st_uid != e->uid || st->st_gid != e->gid)) ||
	    st->st_mtim.tv_sec != e->mtime_s || (uint32_t)st->st_mtim.tv_nsec != e->mtime_ns)
		return false;
	if (ay__xattrs_read(fd, dir, name, flags, &x, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!k->s->owner_me || strncmp(x[i].name, "user.", 5) == 0)
			x[kept++] = x[i];
	}
	if (kept != e->n_xattrs)
		return false;
	for (size_t i = 0; i < kept; i++) {
		const struct ay_xattr *y = &e->xattrs[i];
		if (strcmp(x[i].name, y->name) != 0 || x[i].value_len != y->value_len ||
		    memcmp(x[i].value, y->value, y->value_len) != 0)
			return false;
	}
	return true;
}

bool ay__fsck_meta_is(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		      const struct ay_entry *e)
{
	/* A label that the machine's policy put there by itself is no damage. */
	return meta_with(k, fd, dir, name, st, e, 0) ||
	       meta_with(k, fd, dir, name, st, e, AY__XATTR_NO_LABELS);
}

bool ay__fsck_inode_is(struct ay__fsck *k, int fd, const struct ay_entry *e, bool content)
{
	struct ay_digest d;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size ||
	    !ay__fsck_meta_is(k, fd, -1, "", &st, e))
		return false;
	return !content || (ay_digest_fd(fd, &d, NULL) == 0 && ay_digest_eq(&d, &e->digest));
}

/* Does the inode give the variant that its name has? */
static bool variant_is(const struct ay__fsck *k, int fd, const struct stat *st,
		       const uint8_t want[AY__VARIANT_LEN], unsigned flags)
{
	AY_FREE struct ay_xattr *x = NULL;
	uint8_t v[AY__VARIANT_LEN];
	struct ay_entry e = {.type = AY_ENTRY_FILE,
			     .mode = st->st_mode & 07777,
			     .uid = k->s->owner_me ? 0 : st->st_uid,
			     .gid = k->s->owner_me ? 0 : st->st_gid,
			     .mtime_s = st->st_mtim.tv_sec,
			     .mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
	size_t n = 0;

	if (ay__xattrs_read(fd, -1, "", flags, &x, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!k->s->owner_me || strncmp(x[i].name, "user.", 5) == 0)
			x[e.n_xattrs++] = x[i];
	}
	e.xattrs = x;
	return ay__object_variant(&e, v) == 0 && memcmp(v, want, sizeof(v)) == 0;
}

/* ---- rows ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "cdef….variant" in bucket @b. */
static bool parse_name(unsigned b, const char *name, struct ay_digest *d, uint8_t v[AY__VARIANT_LEN])
{
	char hex[AY_DIGEST_HEX + 16];

	if (strlen(name) != 62 + 1 + 16 || name[62] != '.')
		return false;
	snprintf(hex, sizeof(hex), "%02x%.62s", b, name);
	if (ay_digest_parse(d, hex, AY_DIGEST_HEX) < 0)
		return false;
	for (int i = 0; i < AY__VARIANT_LEN; i++) {
		int high = hex_digit(name[63 + 2 * i]), low = hex_digit(name[64 + 2 * i]);
		if (high < 0 || low < 0)
			return false;
		v[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static struct ay__fsck_row *add_row(struct ay__fsck *k, const struct ay_digest *d,
				    const uint8_t v[AY__VARIANT_LEN], const struct stat *st)
{
	if (k->n_rows == k->cap_rows) {
		size_t cap = k->cap_rows ? k->cap_rows + k->cap_rows / 2 : 4096;
		struct ay__fsck_row *grown = reallocarray(k->rows, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		k->rows = grown;
		k->cap_rows = cap;
	}
	struct ay__fsck_row *row = &k->rows[k->n_rows++];
	*row = (struct ay__fsck_row){
		.ino = st->st_ino, .links = st->st_nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)st->st_nlink};
	memcpy(row->digest, d->b, sizeof(row->digest));
	memcpy(row->variant, v, sizeof(row->variant));
	return row;
}

static int cmp_rows(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(((struct ay__fsck_row *)0)->digest) + AY__VARIANT_LEN);
}

/* The first row that is not below digest and variant (NULL: any). */
static size_t lower_bound(const struct ay__fsck *k, const struct ay_digest *d, const uint8_t *v)
{
	static const uint8_t zeros[AY__VARIANT_LEN];
	size_t low = 0, high = k->n_rows;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = memcmp(k->rows[mid].digest, d->b, sizeof(k->rows[mid].digest));
		if (c == 0)
			c = memcmp(k->rows[mid].variant, v ? v : zeros, AY__VARIANT_LEN);
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct ay__fsck_row *ay__fsck_row(const struct ay__fsck *k, const struct ay_digest *d,
				  const uint8_t v[AY__VARIANT_LEN])
{
	size_t i = lower_bound(k, d, v);

	if (i == k->n_rows || memcmp(k->rows[i].digest, d->b, sizeof(k->rows[i].digest)) != 0 ||
	    memcmp(k->rows[i].variant, v, AY__VARIANT_LEN) != 0)
		return NULL;
	return &k->rows[i];
}

int ay__fsck_content(const struct ay__fsck *k, const struct ay_digest *d)
{
	for (size_t i = lower_bound(k, d, NULL);
	     i < k->n_rows && memcmp(k->rows[i].digest, d->b, sizeof(k->rows[i].digest)) == 0; i++) {
		struct ay__object_name name;
		uint8_t state = k->rows[i].state;
		if (state != AY__ROW_GOOD && state != AY__ROW_META && state != AY__ROW_REMADE)
			continue;
		ay__object_name(d, k->rows[i].variant, &name);
		int fd = ay__open_beneath(k->s->objects, name.s, O_RDONLY | O_NONBLOCK);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/* ---- reading ---- */

static int finish_slot(struct reading *r, struct slot *slot, struct ay_err *err)
{
	struct ay__fsck *k = r->k;
	struct ay__fsck_row *row = &k->rows[slot->row];

	if (!slot->used)
		return 0;
	ay__hash_pool_done(r->pool, &slot->job, true);
	slot->used = false;
	int rc = slot->job.rc;
	if (rc == -ENOMEM)
		return ay_err_errno(err, ENOMEM, "fsck");
	if (rc == AY_EBUSY || (rc == 0 && !ay_digest_eq(&slot->job.digest, &slot->want)))
		row->state = AY__ROW_BAD; /* that somebody writes into it is as bad */
	else if (rc < 0)
		row->state = AY__ROW_UNREAD;
	k->done_bytes += (uint64_t)slot->job.before.st_size;
	if (k->f->progress)
		k->f->progress(k->f->ctx, k->done_bytes, k->total_bytes);
	return 0;
}

static int finish_all(struct reading *r, struct ay_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < WINDOW && rc == 0; i++)
		rc = finish_slot(r, &r->slots[(r->next + i) % WINDOW], err);
	return rc;
}

static void note_odd(struct ay__fsck *k, unsigned b, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "objects/%02x/%s", b, name);
	ay__fsck_tell(
		k,
		&(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER, .outcome = AY_FSCK_NOTED, .path = path},
		"not an object's name: left alone");
}

static int look_at(struct reading *r, unsigned b, int bucket, const char *name, struct ay_err *err)
{
	struct ay__fsck *k = r->k;
	struct slot *slot = &r->slots[r->next];
	uint8_t v[AY__VARIANT_LEN];
	struct ay_digest d;
	struct stat st;

	if (!parse_name(b, name, &d, v)) {
		note_odd(k, b, name);
		return 0;
	}
	int fd = ay__open_beneath(bucket, name, O_RDONLY | O_NONBLOCK);
	if (fd == -ENOENT)
		return 0;
	if ((fd < 0 ? fstatat(bucket, name, &st, AT_SYMLINK_NOFOLLOW) : fstat(fd, &st)) < 0) {
		if (fd >= 0)
			close(fd);
		return errno == ENOENT ? 0 : ay_err_errno(err, errno, "objects/%02x/%s", b, name);
	}
	struct ay__fsck_row *row = add_row(k, &d, v, &st);
	if (!row) {
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, ENOMEM, "fsck");
	}
	k->res->objects++;
	if (fd < 0 || !S_ISREG(st.st_mode)) {
		row->state = !S_ISREG(st.st_mode) ? AY__ROW_BAD
			     : fd == -EACCES      ? AY__ROW_UNKNOWN
						  : AY__ROW_UNREAD;
		if (fd >= 0)
			close(fd);
		return 0;
	}
	k->res->bytes += (uint64_t)st.st_size;
	if (!variant_is(k, fd, &st, v, 0) && !variant_is(k, fd, &st, v, AY__XATTR_NO_LABELS))
		row->state = AY__ROW_META;
	int rc = finish_slot(r, slot, err); /* may move nothing: rows are found by index */
	*slot = (struct slot){.want = d, .row = k->n_rows - 1, .used = true};
	slot->job.fd = fd;
	slot->job.before = st;
	ay__hash_pool_give(r->pool, &slot->job);
	r->next = (r->next + 1) % WINDOW;
	return rc;
}

static DIR *open_bucket(const struct ay__fsck *k, unsigned b)
{
	static const char digits[] = "0123456789abcdef";
	const char name[3] = {digits[b >> 4 & 15], digits[b & 15], '\0'};
	int fd = ay__open_beneath(k->s->objects, name, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	if (fd < 0)
		errno = -fd;
	return d;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* What a stat of everything says there is to read: for the bar. A guess is good enough. */
static void measure(struct ay__fsck *k)
{
	for (unsigned b = 0; k->f->progress && b < 256; b++) {
		AY_CLOSEDIR DIR *d = open_bucket(k, b);
		struct dirent *e;
		struct stat st;
		while (d && (e = readdir(d))) {
			if (!is_dot(e->d_name) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
				k->total_bytes += (uint64_t)st.st_size;
		}
	}
}

static void note_strangers(struct ay__fsck *k)
{
	int fd = ay__open_beneath(k->s->objects, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		char path[300];
		if (is_dot(e->d_name) ||
		    (strlen(e->d_name) == 2 && hex_digit(e->d_name[0]) >= 0 && hex_digit(e->d_name[1]) >= 0))
			continue;
		snprintf(path, sizeof(path), "objects/%s", e->d_name);
		ay__fsck_tell(k,
			      &(struct ay_fsck_finding){
				      .what = AY_FSCK_LEFTOVER, .outcome = AY_FSCK_NOTED, .path = path},
			      "not a store's name: left alone");
	}
}

int ay__fsck_objects(struct ay__fsck *k, struct ay_err *err)
{
	AY_FREE struct reading *r = calloc(1, sizeof(*r));
	struct dirent *e;
	int rc = 0;

	if (k->s->objects < 0)
		return ay_err_set(err, -EACCES, "%s/objects cannot be read: run as its owner", k->s->path);
	if (!r || !(r->pool = ay__hash_pool_new(k->f->threads)))
		return ay_err_errno(err, ENOMEM, "fsck");
	r->k = k;
	measure(k);
	note_strangers(k);
	for (unsigned b = 0; b < 256 && rc == 0; b++) {
		AY_CLOSEDIR DIR *d = open_bucket(k, b);
		if (!d && errno != ENOENT)
			rc = ay_err_errno(err, errno, "%s/objects/%02x", k->s->path, b);
		while (rc == 0 && d && (e = readdir(d))) {
			if (!is_dot(e->d_name))
				rc = look_at(r, b, dirfd(d), e->d_name, err);
		}
	}
	if (rc == 0)
		rc = finish_all(r, err);
	ay__hash_pool_free(r->pool);
	if (k->n_rows > 1)
		qsort(k->rows, k->n_rows, sizeof(*k->rows), cmp_rows);
	return rc;
}

/* ---- what came of them ---- */

/* An object that no tree names and that has one link: nothing reaches it. Removed when healing, as the collector would. */
static int leftover(struct ay__fsck *k, const struct ay__object_name *name, struct ay_err *err)
{
	struct stat st;
	int r = 0;

	if (fstatat(k->s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink > 1)
		return 0;
	if (k->f->heal) {
		if ((r = ay__store_lock(k->s, LOCK_EX, err)) < 0)
			return r;
		if (fstatat(k->s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1)
			r = k->s->fs->ops->unlink(k->s->fs, k->s->objects, name->s, 0);
		ay__store_unlock(k->s);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot remove object %s", name->s);
	}
	k->res->leftovers++;
	k->res->leftover_bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static void tell_object(struct ay__fsck *k, const struct ay__fsck_row *row,
			const struct ay__object_name *name)
{
	static const char *const words[] = {
		[AY__ROW_META] = "mode, owner, time or attributes are not what its name says",
		[AY__ROW_BAD] = "its content is not what its name says",
		[AY__ROW_UNREAD] = "it cannot be read",
		[AY__ROW_REMADE] = "a good copy took its place",
		[AY__ROW_UNKNOWN] = "its mode does not let us read it: not checked",
	};
	struct ay_fsck_finding f = {.what = AY_FSCK_OBJECT, .object = name->s};

	f.outcome = row->state == AY__ROW_UNKNOWN  ? AY_FSCK_NOTED
		    : !k->f->heal                  ? AY_FSCK_DAMAGED
		    : row->state == AY__ROW_REMADE ? AY_FSCK_HEALED
						   : AY_FSCK_LEFT;
	ay__fsck_tell(k, &f, "%s%s", words[row->state],
		      f.outcome == AY_FSCK_LEFT ? "; no good copy was found: name a repository that has it "
						  "(--repo), or update to a newer release"
						: "");
}

/* Rows do not have the whole name: the directories do. */
int ay__fsck_tell_objects(struct ay__fsck *k, struct ay_err *err)
{
	struct dirent *e;
	int rc = 0;

	for (unsigned b = 0; b < 256 && rc == 0; b++) {
		AY_CLOSEDIR DIR *d = open_bucket(k, b);
		while (rc == 0 && d && (e = readdir(d))) {
			struct ay__object_name name;
			uint8_t v[AY__VARIANT_LEN];
			struct ay_digest digest;
			if (!parse_name(b, e->d_name, &digest, v))
				continue;
			struct ay__fsck_row *row = ay__fsck_row(k, &digest, v);
			if (!row)
				continue;
			ay__object_name(&digest, v, &name);
			if (row->state != AY__ROW_GOOD && (row->named || row->links > 1))
				tell_object(k, row, &name);
			else if (!row->named)
				rc = leftover(k, &name, err);
		}
	}
	return rc;
}
