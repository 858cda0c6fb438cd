/* SPDX-License-Identifier: MIT */
/*
 * Bundles on disk, whole and in collection.
 *
 * A partial bundle's data file and its log of hash blocks are believed by nobody,
 * not even by who wrote them a second ago: at open each hash block must fit the
 * digest from the top down, then each data block must fit its hash block. So there
 * is no note of what is had that could lie after a power cut, and a file that a
 * stranger put there does no harm. What a kill leaves half written is a hash
 * record without its end, or a block that does not fit: both are as not there.
 *
 * A whole bundle is hashed at open too. One that is damaged is thrown away: its own
 * tree does not prove which of its blocks are right, and the true hash blocks went
 * when it was finished.
 *
 * The step before is proto/swarm, which chooses what to fetch; the next is
 * diff/bundle, which reads what lies here.
 */
#include "store/bundles.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/bundles_resume.h"
#include "store/store_internal.h"

#define SIZE_MAX_BYTES (1ull << 40) /* a bitmap of 2 MiB; a whole operating system is a hundredth of it */
#define LIST_MAX       65536        /* entries of one directory that ay_bundles_list() tells */

struct ay_bundle_file {
	struct ay_store *s; /* NULL: lives elsewhere */
	struct ay_digest digest;
	uint64_t size, n_blocks, n_had;
	int fd, hashes_fd; /* hashes_fd -1 when whole or read only */
	uint64_t hashes_len;
	bool readonly;
	bool entries_dirty; /* files were made in bundles/partial/ and it is not synced yet */
	/* One thread may write while another syncs: set behind each write, cleared ahead of each sync. */
	atomic_bool data_dirty, hashes_dirty;
	atomic_bool broken; /* a sync failed: what is durable is unknown until it is opened anew */
	atomic_bool whole;
	struct ay_merkle *merkle;
	uint8_t *bitmap;
	char hex[AY_DIGEST_HEX + 1];
};

static void hashes_name(const char *hex, char out[AY_DIGEST_HEX + sizeof(".hashes")])
{
	memcpy(out, hex, AY_DIGEST_HEX);
	memcpy(out + AY_DIGEST_HEX, ".hashes", sizeof(".hashes"));
}

/*
 * The log of a whole bundle is garbage, and so is a second name of it in partial/, which a power cut may have left. If
 * they cannot be removed now, the next open tries again.
 */
static void drop_partial(struct ay_bundle_file *f)
{
	char name[AY_DIGEST_HEX + sizeof(".hashes")];

	hashes_name(f->hex, name);
	if (f->readonly)
		return;
	f->s->fs->ops->unlink(f->s->fs, f->s->partial, f->hex, 0);
	f->s->fs->ops->unlink(f->s->fs, f->s->partial, name, 0);
}

static void close_fds(struct ay_bundle_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->hashes_fd >= 0)
		close(f->hashes_fd);
	f->fd = f->hashes_fd = -1;
}

void ay_bundle_file_close(struct ay_bundle_file *f)
{
	if (!f)
		return;
	close_fds(f);
	ay_merkle_free(f->merkle);
	free(f->bitmap);
	free(f);
}

static void close_file(struct ay_bundle_file **f)
{
	ay_bundle_file_close(*f);
}

static struct ay_bundle_file *file_new(struct ay_store *s, const struct ay_digest *digest, uint64_t size)
{
	struct ay_bundle_file *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct ay_bundle_file){.s = s, .digest = *digest, .size = size, .fd = -1, .hashes_fd = -1};
	ay_digest_hex(digest, f->hex);
	f->n_blocks = ay_blocks_of(size);
	f->readonly = !s || s->readonly;
	f->bitmap = calloc(1, (size_t)(f->n_blocks + 7) / 8);
	if (!f->bitmap) {
		free(f);
		return NULL;
	}
	return f;
}

static void set_whole(struct ay_bundle_file *f)
{
	memset(f->bitmap, 0xff, (size_t)(f->n_blocks + 7) / 8);
	if (f->n_blocks % 8)
		f->bitmap[f->n_blocks / 8] = (uint8_t)((1u << (f->n_blocks % 8)) - 1);
	f->n_had = f->n_blocks;
	f->whole = true;
}

static int check_size(const struct ay_digest *digest, uint64_t size, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];

	if (size >= 1 && size <= SIZE_MAX_BYTES)
		return 0;
	return ay_err_set(err, size ? AY_ELIMIT : AY_EFORMAT,
			  "bundle %s: a size of %" PRIu64 " bytes (1 to %llu)", ay_digest_hex(digest, hex),
			  size, SIZE_MAX_BYTES);
}

/* ---- whole ---- */

/* Hash all of f->fd. 0 it is the bundle; AY_EDIGEST it is not; AY_EFORMAT it is, but not of the size asked for. */
static int check_whole(struct ay_bundle_file *f, struct ay_err *err)
{
	int rc = ay_merkle_build_fd(f->fd, &f->merkle);
	if (rc < 0)
		return ay_err_errno(err, -rc, "read bundle %s", f->hex);
	if (!ay_digest_eq(ay_merkle_digest(f->merkle), &f->digest))
		return ay_err_set(err, AY_EDIGEST, "bundle %s is damaged", f->hex);
	if (ay_merkle_size(f->merkle) != f->size)
		return ay_err_set(err, AY_EFORMAT, "bundle %s has %" PRIu64 " bytes, not %" PRIu64, f->hex,
				  ay_merkle_size(f->merkle), f->size);
	set_whole(f);
	return 0;
}

int ay_bundle_file_open_fd(int fd, const struct ay_digest *digest, uint64_t size, struct ay_bundle_file **out,
			   struct ay_err *err)
{
	AY_CLOSE int owned = fd;
	int rc = check_size(digest, size, err);
	if (rc < 0)
		return rc;
	AY_CLEANUP(close_file) struct ay_bundle_file *f = file_new(NULL, digest, size);
	if (!f)
		return ay_err_set(err, -ENOMEM, "open a bundle: out of memory");
	f->fd = ay_steal_fd(&owned);
	rc = check_whole(f, err);
	if (rc == 0)
		*out = ay_steal_ptr(&f);
	return rc;
}

/* The log goes when the move is durable: where it is still there, who moved the bundle may have been killed before. */
static int settle_whole(struct ay_bundle_file *f, struct ay_err *err)
{
	char name[AY_DIGEST_HEX + sizeof(".hashes")];

	hashes_name(f->hex, name);
	if (f->readonly)
		return 0;
	int rc = ay__there(f->s->partial, name);
	if (rc == 0)
		return 0;
	if (rc < 0)
		return ay_err_errno(err, -rc, "%s/bundles/partial/%s", f->s->path, name);
	rc = f->s->fs->ops->fsync(f->s->fs, f->s->bundles);
	if (rc < 0)
		return ay_err_errno(err, -rc, "sync %s/bundles", f->s->path);
	drop_partial(f);
	return 0;
}

/* bundles/<digest>: 0, -ENOENT not there (or thrown away for being damaged), other errors. */
static int open_whole(struct ay_bundle_file *f, struct ay_err *err)
{
	struct ay_err why = {0};

	f->fd = ay__open_beneath(f->s->bundles, f->hex, O_RDONLY | O_NONBLOCK);
	if (f->fd == -ENOENT)
		return -ENOENT;
	if (f->fd < 0)
		return ay_err_errno(err, -f->fd, "open %s/bundles/%s", f->s->path, f->hex);
	int rc = check_whole(f, &why);
	if (rc == 0)
		return settle_whole(f, err);
	close_fds(f);
	ay_merkle_free(f->merkle);
	f->merkle = NULL;
	if (rc == AY_EDIGEST && !f->readonly) {
		rc = f->s->fs->ops->unlink(f->s->fs, f->s->bundles, f->hex, 0);
		return rc < 0 && rc != -ENOENT ? ay_err_errno(err, -rc, "remove the damaged %s/bundles/%s",
							      f->s->path, f->hex)
					       : AY_EDIGEST;
	}
	if (err)
		*err = why;
	return rc;
}

/* ---- partial ---- */

/* Open or make one file of a partial bundle; *@made says which. */
static int open_partial_file(struct ay_bundle_file *f, const char *name, bool create, bool *made, int *fd)
{
	struct ay_store *s = f->s;
	struct stat st;

	*made = false;
	if (f->readonly)
		*fd = ay__open_beneath(s->partial, name, O_RDONLY | O_NONBLOCK);
	else
		*fd = s->fs->ops->open(s->fs, s->partial, name, O_RDWR | O_NONBLOCK, 0);
	if (*fd == -ENOENT && create && !f->readonly) {
		*fd = s->fs->ops->open(s->fs, s->partial, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		*made = *fd >= 0;
	}
	if (*fd < 0)
		return *fd;
	if (fstat(*fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

/* Room for all of it now, so that an update does not stop for lack of it half way. */
static int reserve(struct ay_bundle_file *f, struct ay_err *err)
{
	int rc = ay__store_reserve(f->s, f->size + f->size / 64, 2, err); /* hash records are below 1/127 */
	if (rc < 0)
		return ay_err_wrap(err, rc, "bundle %s", f->hex);
	rc = f->s->fs->ops->allocate(f->s->fs, f->fd, (off_t)f->size);
	if (rc < 0 && rc != -EOPNOTSUPP)
		return ay_err_errno(err, -rc, "reserve %" PRIu64 " bytes for bundle %s", f->size, f->hex);
	return 0;
}

/* A data file longer than the bundle was not made by us: cut what is too much. */
static int cut_surplus(struct ay_bundle_file *f, struct ay_err *err)
{
	struct stat st;
	int rc = fstat(f->fd, &st) < 0 ? -errno : 0;

	if (rc == 0 && (uint64_t)st.st_size > f->size && !f->readonly)
		rc = f->s->fs->ops->truncate(f->s->fs, f->fd, (off_t)f->size);
	return rc < 0 ? ay_err_errno(err, -rc, "%s/bundles/partial/%s", f->s->path, f->hex) : 0;
}

/* Replace a log of hash blocks that has foreign records in it by one of what is known, top-down. */
static int rewrite_hashes(struct ay_bundle_file *f, const char *name, struct ay_err *err)
{
	struct ay_store *s = f->s;
	struct ay_buf log = {0};

	ay__hash_log_write(f->merkle, &log);
	int rc = ay_buf_status(&log);
	if (rc == 0)
		rc = ay__store_replace_file(s->fs, s->partial, name, log.data, log.len, err);
	f->hashes_len = log.len;
	ay_buf_release(&log);
	if (rc < 0)
		return ay_err_wrap(err, rc, "%s/bundles/partial", s->path);
	close(f->hashes_fd);
	f->hashes_fd = s->fs->ops->open(s->fs, s->partial, name, O_RDWR, 0);
	return f->hashes_fd < 0 ? ay_err_errno(err, -f->hashes_fd, "%s/bundles/partial/%s", s->path, name)
				: 0;
}

/* What do the two files prove? */
static int resume(struct ay_bundle_file *f, const char *name, struct ay_err *err)
{
	bool clean = true;
	int rc = f->hashes_fd < 0 ? 0 : ay__hash_log_read(f->hashes_fd, f->merkle, &f->hashes_len, &clean);
	if (rc == 0 && !clean && !f->readonly)
		rc = rewrite_hashes(f, name, err);
	if (rc == 0)
		rc = ay__resume_blocks(f->fd, f->merkle, f->bitmap, &f->n_had);
	return rc < 0 ? ay_err_wrap(err, rc, "resume bundle %s", f->hex) : 0;
}

/*
 * Nobody else may open what we lock: he could lock it first, for good. And between our opening and locking a collector
 * may have removed it.
 */
static int lock_partial(struct ay_bundle_file *f, struct ay_err *err)
{
	struct stat st = {0};
	int rc = ay__lock(f->fd, LOCK_EX | LOCK_NB);

	if (rc == 0 && fstat(f->fd, &st) < 0)
		rc = -errno;
	if (rc == -EWOULDBLOCK || (rc == 0 && st.st_nlink == 0))
		return ay_err_set(err, AY_EBUSY, "bundle %s is being collected by another process", f->hex);
	if (rc < 0)
		return ay_err_errno(err, -rc, "cannot lock %s/bundles/partial/%s", f->s->path, f->hex);
	if (st.st_mode & 077)
		rc = f->s->fs->ops->chmod(f->s->fs, f->fd, 0600);
	return rc < 0 ? ay_err_errno(err, -rc, "%s/bundles/partial/%s", f->s->path, f->hex) : 0;
}

static int open_partial(struct ay_bundle_file *f, bool create, struct ay_err *err)
{
	char name[AY_DIGEST_HEX + sizeof(".hashes")];
	bool made, made_hashes; /* the second is nobody's business */

	int rc = open_partial_file(f, f->hex, create, &made, &f->fd);
	if (rc == -ENOENT)
		return ay_err_set(err, rc, "no bundle %s in %s", f->hex, f->s->path);
	if (rc < 0)
		return ay_err_errno(err, -rc, "open %s/bundles/partial/%s", f->s->path, f->hex);
	rc = f->readonly ? 0 : lock_partial(f, err);
	if (rc < 0)
		return rc;
	rc = made ? reserve(f, err) : cut_surplus(f, err);
	if (rc < 0) {
		if (made)
			f->s->fs->ops->unlink(f->s->fs, f->s->partial, f->hex, 0);
		return rc;
	}
	hashes_name(f->hex, name);
	rc = open_partial_file(f, name, true, &made_hashes, &f->hashes_fd);
	if (rc < 0 && !(f->readonly && rc == -ENOENT))
		return ay_err_errno(err, -rc, "open %s/bundles/partial/%s", f->s->path, name);
	f->merkle = ay_merkle_new(&f->digest, f->size);
	if (!f->merkle)
		return ay_err_set(err, -ENOMEM, "bundle %s: out of memory", f->hex);
	if ((rc = resume(f, name, err)) < 0 || f->readonly)
		return rc;
	/* What is found here may be in the kernel only: whoever wrote it may have been killed before he synced it. */
	f->entries_dirty = true;
	f->data_dirty = f->n_had > 0;
	f->hashes_dirty = f->hashes_len > 0;
	return 0;
}

int ay_bundle_file_open(struct ay_store *s, const struct ay_digest *digest, uint64_t size, bool create,
			struct ay_bundle_file **out, struct ay_err *err)
{
	int rc = check_size(digest, size, err);
	if (rc == 0 && create)
		rc = ay__store_writable(s, err);
	if (rc < 0)
		return rc;
	AY_CLEANUP(close_file) struct ay_bundle_file *f = file_new(s, digest, size);
	if (!f)
		return ay_err_set(err, -ENOMEM, "open a bundle: out of memory");
	rc = open_whole(f, err);
	if (rc == -ENOENT || (rc == AY_EDIGEST && !f->readonly && create))
		rc = open_partial(f, create, err);
	else if (rc == AY_EDIGEST && !f->readonly)
		rc = ay_err_set(err, rc, "%s/bundles/%s was damaged and is thrown away", s->path, f->hex);
	if (rc == 0)
		*out = ay_steal_ptr(&f);
	return rc;
}

struct ay_merkle *ay_bundle_file_merkle(struct ay_bundle_file *f)
{
	return f->merkle;
}

int ay_bundle_file_fd(const struct ay_bundle_file *f)
{
	return f->fd;
}

bool ay_bundle_file_whole(const struct ay_bundle_file *f)
{
	return f->whole;
}

bool ay_bundle_file_has(const struct ay_bundle_file *f, uint64_t block)
{
	return block < f->n_blocks && (f->bitmap[block / 8] >> (block % 8) & 1);
}

const uint8_t *ay_bundle_file_bitmap(const struct ay_bundle_file *f)
{
	return f->bitmap;
}

/* ---- collecting ---- */

int ay_bundle_file_add_hashes(struct ay_bundle_file *f, unsigned level, uint64_t index, const uint8_t *block,
			      struct ay_err *err)
{
	bool had = ay_merkle_has(f->merkle, level, index);
	int rc = ay_merkle_add(f->merkle, level, index, block);
	if (rc < 0)
		return ay_err_set(err, rc, "bundle %s: hash block %u/%" PRIu64 ": %s", f->hex, level, index,
				  rc == -EAGAIN ? "the one above it is not known" : ay_strerror(rc));
	if (had || f->whole || f->readonly)
		return 0;
	uint8_t record[AY__HASH_RECORD];
	ay__hash_record(level, index, block, record);
	rc = ay__write_all(f->s->fs, f->hashes_fd, record, sizeof(record), f->hashes_len);
	f->hashes_dirty = true;
	if (rc < 0)
		return ay_err_errno(err, -rc, "write hash block %u/%" PRIu64 " of bundle %s", level, index,
				    f->hex);
	f->hashes_len += sizeof(record);
	return 0;
}

int ay_bundle_file_write(struct ay_bundle_file *f, uint64_t index, const void *data, size_t len,
			 struct ay_err *err)
{
	if (index >= f->n_blocks || len != ay_block_len(f->size, index))
		return ay_err_set(err, AY_EFORMAT,
				  "bundle %s: block %" PRIu64 " of %zu bytes (%" PRIu64 " blocks, %" PRIu64
				  " bytes)",
				  f->hex, index, len, f->n_blocks, f->size);
	if (ay_bundle_file_has(f, index))
		return 0;
	if (f->readonly)
		return ay_err_set(err, -EROFS, "bundle %s is open for reading only", f->hex);
	int rc = ay_merkle_check(f->merkle, index * AY_BLOCK_SIZE, data, len);
	if (rc < 0)
		return ay_err_set(err, rc, "bundle %s: block %" PRIu64 ": %s", f->hex, index,
				  rc == -EAGAIN ? "its hash block is not known" : ay_strerror(rc));
	rc = ay__write_all(f->s->fs, f->fd, data, len, index * AY_BLOCK_SIZE);
	f->data_dirty = true;
	if (rc < 0)
		return ay_err_errno(err, -rc, "write block %" PRIu64 " of bundle %s in %s", index, f->hex,
				    f->s->path);
	f->bitmap[index / 8] |= (uint8_t)(1u << (index % 8));
	f->n_had++;
	return 0;
}

/*
 * A failed sync is final: the kernel may have marked the pages clean, so that asking again would succeed and
 * prove nothing. Nor would reading: the cache has what the disk has not. So it is thrown away.
 */
static int sync_failed(struct ay_bundle_file *f, int rc, struct ay_err *err)
{
	f->broken = true;
	drop_partial(f);
	return ay_err_errno(err, -rc, "sync bundle %s in %s; what was collected of it is thrown away", f->hex,
			    f->s->path);
}

int ay_bundle_file_sync(struct ay_bundle_file *f, struct ay_err *err)
{
	if (f->whole || f->readonly)
		return 0;
	if (f->broken)
		return sync_failed(f, -EIO, err);
	struct ay_fs *fs = f->s->fs;
	int rc = atomic_exchange(&f->data_dirty, false) ? fs->ops->fdatasync(fs, f->fd) : 0;
	if (rc == 0 && atomic_exchange(&f->hashes_dirty, false))
		rc = fs->ops->fdatasync(fs, f->hashes_fd);
	if (rc == 0 && f->entries_dirty)
		rc = fs->ops->fsync(fs, f->s->partial);
	if (rc < 0)
		return sync_failed(f, rc, err);
	f->entries_dirty = false;
	return 0;
}

int ay_bundle_file_finish(struct ay_bundle_file *f, struct ay_err *err)
{
	if (f->whole)
		return 0;
	if (f->n_had < f->n_blocks)
		return ay_err_set(err, -EAGAIN, "bundle %s: %" PRIu64 " of %" PRIu64 " blocks are missing",
				  f->hex, f->n_blocks - f->n_had, f->n_blocks);
	if (f->readonly)
		return ay_err_set(err, -EROFS, "bundle %s is open for reading only", f->hex);
	if (f->broken)
		return sync_failed(f, -EIO, err);
	struct ay_fs *fs = f->s->fs;
	int rc = fs->ops->chmod(fs, f->fd, 0644); /* whole it is locked no more, and for all to read */
	if (rc < 0)
		return ay_err_errno(err, -rc, "%s/bundles/partial/%s", f->s->path, f->hex);
	rc = fs->ops->fsync(fs, f->fd);
	if (rc < 0)
		return sync_failed(f, rc, err);
	rc = fs->ops->rename(fs, f->s->partial, f->hex, f->s->bundles, f->hex, false);
	if (rc < 0)
		return ay_err_errno(err, -rc, "move bundle %s to %s/bundles", f->hex, f->s->path);
	rc = fs->ops->fsync(fs, f->s->bundles);
	if (rc < 0) {
		fs->ops->unlink(fs, f->s->bundles, f->hex, 0);
		return sync_failed(f, rc, err);
	}
	drop_partial(f);
	close(f->hashes_fd);
	f->hashes_fd = -1;
	f->whole = true;
	return 0;
}

/* ---- listing and dropping ---- */

/* Append what @dirfd holds to @out, an array of entries in a buf. */
static int list_dir(int dirfd, bool whole, struct ay_buf *out)
{
	AY_CLOSEDIR DIR *dir = ay__list_dir(dirfd);
	int rc = dir ? 0 : -errno;

	for (struct dirent *e; dir && (e = ay__dir_next(dir, &rc));) {
		struct ay_bundle_entry entry = {.whole = whole};
		struct stat st;
		if (ay_digest_parse(&entry.digest, e->d_name, strlen(e->d_name)) < 0)
			continue;
		if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (!ay__not_there(-errno))
				return -errno;
			continue;
		}
		if (!S_ISREG(st.st_mode))
			continue;
		entry.size = (uint64_t)st.st_size;
		ay_put_bytes(out, &entry, sizeof(entry));
	}
	return rc < 0 ? rc : ay_buf_status(out);
}

int ay_bundles_list(struct ay_store *s, struct ay_bundle_entry **out, size_t *n, struct ay_err *err)
{
	struct ay_buf entries;

	ay_buf_init(&entries, LIST_MAX * sizeof(struct ay_bundle_entry));
	int rc = list_dir(s->bundles, true, &entries);
	if (rc == 0)
		rc = list_dir(s->partial, false, &entries);
	if (rc < 0) {
		ay_buf_release(&entries);
		return ay_err_set(err, rc, "list %s/bundles: %s", s->path, ay_strerror(rc));
	}
	*n = entries.len / sizeof(struct ay_bundle_entry);
	*out = (struct ay_bundle_entry *)(void *)entries.data; /* handed over with the buf's memory */
	return 0;
}

int ay_bundles_drop(struct ay_store *s, const struct ay_digest *digest, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1], name[AY_DIGEST_HEX + sizeof(".hashes")];

	int rc = ay__store_writable(s, err);
	if (rc < 0)
		return rc;
	ay_digest_hex(digest, hex);
	hashes_name(hex, name);
	const struct {
		int dirfd;
		const char *name;
	} files[] = {{s->bundles, hex}, {s->partial, hex}, {s->partial, name}};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int one = s->fs->ops->unlink(s->fs, files[i].dirfd, files[i].name, 0);
		if (one < 0 && one != -ENOENT && rc == 0)
			rc = one;
	}
	return rc < 0 ? ay_err_errno(err, -rc, "remove bundle %s from %s", hex, s->path) : 0;
}
