/* SPDX-License-Identifier: MIT */
/*
 * Objects: an inode that trees share by hard links, named by what is in it and by
 * what an inode has only one of (mode, owner, mtime, xattrs).
 *
 * The name is a promise about content that was checked when the object was made;
 * afterwards only stat(2) is compared, because reading everything at each update
 * would cost more than the update. Whoever writes into a file in place moves its
 * mtime, and such an object is never linked again but replaced by the good one.
 */
#include "store/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/sparse.h"

#define COPY_CHUNK (256 * 1024)

/*
 * Where there is an access ACL, the mode's group bits are its mask: what anybody named in it may have at most. Without
 * the ACL they would be given to the group. (acl(5), "Correspondence between ACL entries and file permission bits";
 * the attribute is u32 version 2, then per entry u16 tag, u16 permissions, u32 id.)
 */
static uint16_t mode_without_acl(uint16_t mode, const struct ay_xattr *acl)
{
	enum { GROUP_OBJ = 0x04, MASK = 0x10 };
	unsigned group = 7, mask = 7;
	struct ay_cursor c;

	ay_cursor_init(&c, acl->value, acl->value_len);
	ay_get_u32(&c);
	while (ay_cursor_left(&c) >= 8) {
		unsigned tag = ay_get_u16(&c), bits = ay_get_u16(&c) & 7;
		ay_get_u32(&c);
		if (tag == GROUP_OBJ)
			group = bits;
		else if (tag == MASK)
			mask = bits;
	}
	return (uint16_t)(mode & ~((7 & ~(group & mask)) << 3));
}

void ay__entry_localise(const struct ay_store *s, const struct ay_entry *e, struct ay__local_entry *out)
{
	out->e = *e;
	if (!s->owner_me)
		return;
	out->e.uid = out->e.gid = 0;
	if (e->type == AY_ENTRY_FILE)
		out->e.mode &= 01777; /* setuid would now mean: as the caller */
	out->e.xattrs = out->xattrs;
	out->e.n_xattrs = 0;
	for (size_t i = 0; i < e->n_xattrs && out->e.n_xattrs < AY_XATTR_COUNT_MAX; i++) {
		if (strncmp(e->xattrs[i].name, "user.", 5) == 0)
			out->xattrs[out->e.n_xattrs++] = e->xattrs[i];
		else if (strcmp(e->xattrs[i].name, "system.posix_acl_access") == 0)
			out->e.mode = mode_without_acl(out->e.mode, &e->xattrs[i]);
	}
}

bool ay__entry_kept(const struct ay_store *s, const struct ay_entry *e)
{
	return !s->owner_me || (e->type != AY_ENTRY_CHAR && e->type != AY_ENTRY_BLOCK);
}

int ay__object_variant(const struct ay_entry *e, uint8_t v[AY__VARIANT_LEN])
{
	struct ay_buf b;
	uint8_t hash[32];

	ay_buf_init(&b, 4 * (size_t)AY_XATTRS_MAX);
	ay_put_str(&b, "ayni-variant 1\n");
	ay_put_u16(&b, e->mode);
	ay_put_u32(&b, e->uid);
	ay_put_u32(&b, e->gid);
	ay_put_u64(&b, (uint64_t)e->mtime_s);
	ay_put_u32(&b, e->mtime_ns);
	ay_put_u32(&b, (uint32_t)e->n_xattrs);
	for (size_t i = 0; i < e->n_xattrs; i++) {
		ay_put_u32(&b, (uint32_t)strlen(e->xattrs[i].name));
		ay_put_str(&b, e->xattrs[i].name);
		ay_put_u32(&b, (uint32_t)e->xattrs[i].value_len);
		ay_put_bytes(&b, e->xattrs[i].value, e->xattrs[i].value_len);
	}
	int r = ay_buf_status(&b);
	if (r >= 0) {
		ay_sha256(b.data, b.len, hash);
		memcpy(v, hash, AY__VARIANT_LEN);
	}
	ay_buf_release(&b);
	return r;
}

void ay__object_name(const struct ay_digest *d, const uint8_t v[AY__VARIANT_LEN], struct ay__object_name *out)
{
	static const char digits[] = "0123456789abcdef";
	char hex[AY_DIGEST_HEX + 1];
	char *p = out->s + 66;

	ay_digest_hex(d, hex);
	memcpy(out->s, hex, 2);
	out->s[2] = '/';
	memcpy(out->s + 3, hex + 2, 62);
	out->s[65] = '.';
	for (int i = 0; i < AY__VARIANT_LEN; i++) {
		*p++ = digits[v[i] >> 4];
		*p++ = digits[v[i] & 15];
	}
	*p = '\0';
}

int ay__object_name_of(const struct ay_store *s, const struct ay_entry *e, struct ay__object_name *out)
{
	struct ay__local_entry local;
	uint8_t v[AY__VARIANT_LEN];

	ay__entry_localise(s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r == 0)
		ay__object_name(&e->digest, v, out);
	return r;
}

bool ay__object_intact(const struct ay_store *s, const struct stat *st, const struct ay_entry *e)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == e->size && (st->st_mode & 07777) == e->mode &&
	       st->st_mtim.tv_sec == e->mtime_s && (uint32_t)st->st_mtim.tv_nsec == e->mtime_ns &&
	       (s->owner_me || (st->st_uid == e->uid && st->st_gid == e->gid));
}

static int set_xattrs(struct ay_store *s, int fd, const struct ay_entry *e, bool user, struct ay_err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *x = &e->xattrs[i];
		if ((strncmp(x->name, "user.", 5) == 0) != user)
			continue;
		int r = s->fs->ops->setxattr(s->fs, fd, "", x->name, x->value, x->value_len);
		if (r < 0)
			return ay_err_errno(err, -r, "%s: cannot set attribute %s", e->path, x->name);
	}
	return 0;
}

int ay__meta_set(struct ay_store *s, int fd, const struct ay_entry *e, struct ay_err *err)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	int r = set_xattrs(s, fd, e, true, err);

	if (r < 0)
		return r;
	if (!s->owner_me && (r = ops->chown(s->fs, fd, "", e->uid, e->gid)) < 0)
		return ay_err_errno(err, -r, "%s: cannot give it to %u:%u", e->path, e->uid, e->gid);
	if ((r = ops->chmod(s->fs, fd, e->mode)) < 0)
		return ay_err_errno(err, -r, "%s: cannot set mode %04o", e->path, e->mode);
	if ((r = set_xattrs(s, fd, e, false, err)) < 0)
		return r;
	const struct timespec mtime = {.tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns};
	if ((r = ops->utimens(s->fs, fd, "", &mtime)) < 0)
		return ay_err_errno(err, -r, "%s: cannot set its time", e->path);
	/* A file system of coarser or shorter time cuts it in silence; then the object would never look right. */
	struct stat st;
	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "%s", e->path);
	if (st.st_mtim.tv_sec != e->mtime_s || (uint32_t)st.st_mtim.tv_nsec != e->mtime_ns)
		return ay_err_set(err, AY_EUNSUPPORTED,
				  "%s: the file system of %s cannot keep its time %lld.%09u (it makes it "
				  "%lld.%09ld); put the store on ext4 with 256-byte inodes, xfs or btrfs",
				  e->path, s->path, (long long)e->mtime_s, e->mtime_ns,
				  (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return 0;
}

/* ---- copying ---- */

/* Bytes [@at, @end) of data. */
static int copy_data(struct ay_store *s, int from_fd, int to_fd, uint64_t at, uint64_t end, uint8_t *buf,
		     struct ay_hasher *h, struct ay_err *err)
{
	while (at < end) {
		size_t want = end - at < COPY_CHUNK ? (size_t)(end - at) : COPY_CHUNK;
		ssize_t n = pread(from_fd, buf, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "read at %llu", (unsigned long long)at);
		if (n == 0)
			return ay_err_set(err, AY_EDIGEST, "it has %llu bytes instead of %llu",
					  (unsigned long long)at, (unsigned long long)end);
		if (h)
			ay_hasher_update(h, buf, (size_t)n);
		int r = ay__write_sparse(s->fs, to_fd, buf, (size_t)n, at);
		if (r < 0)
			return ay_err_errno(err, -r, "write at %llu", (unsigned long long)at);
		at += (uint64_t)n;
	}
	return 0;
}

static int copy_bytes(struct ay_store *s, int from_fd, int to_fd, uint64_t size, struct ay_hasher *h,
		      struct ay_err *err)
{
	AY_FREE uint8_t *buf = malloc(COPY_CHUNK);
	struct stat st;

	if (!buf)
		return ay_err_errno(err, ENOMEM, "copy");
	if (fstat(from_fd, &st) < 0)
		return ay_err_errno(err, errno, "stat");
	if ((uint64_t)st.st_size != size)
		return ay_err_set(err, AY_EDIGEST, "it has %llu bytes instead of %llu",
				  (unsigned long long)st.st_size, (unsigned long long)size);
	bool sparse = st.st_blocks * 512 < st.st_size;
	int r = ay__store_reserve(s, sparse ? (uint64_t)st.st_blocks * 512 : size, 1, err);
	if (r == 0 && sparse &&
	    (r = ay__end_sparse(s->fs, to_fd, size)) < 0) /* first: see on_begin() in apply.c */
		r = ay_err_errno(err, -r, "write");
	for (uint64_t at = 0, end; r == 0 && at < size; at = end) {
		end = size;
		if (sparse && ay_sparse_next(from_fd, at, size, &end)) {
			if (h)
				ay_hasher_zeros(h, end - at);
			continue;
		}
		r = copy_data(s, from_fd, to_fd, at, end, buf, h, err);
	}
	if (r < 0)
		return r;
	r = ay__end_sparse(s->fs, to_fd, size);
	return r < 0 ? ay_err_errno(err, -r, "write") : 0;
}

static bool cannot_reflink(int r)
{
	return r == -EOPNOTSUPP || r == -EXDEV || r == -EINVAL || r == -ENOTTY || r == -ENOSYS ||
	       r == -EPERM || r == -ETXTBSY || r == -EACCES || r == -EBADF;
}

int ay__copy_file_digest(struct ay_store *s, int from_fd, int to_fd, uint64_t size, struct ay_digest *found,
			 bool *reflinked, struct ay_err *err)
{
	struct stat st;
	int r = s->fs->ops->reflink(s->fs, to_fd, from_fd);

	if (reflinked)
		*reflinked = r == 0;
	if (r == 0) {
		if (fstat(to_fd, &st) < 0)
			return ay_err_errno(err, errno, "stat");
		if ((uint64_t)st.st_size != size)
			return ay_err_set(err, AY_EDIGEST, "it has %llu bytes instead of %llu",
					  (unsigned long long)st.st_size, (unsigned long long)size);
		if (found && (r = ay_digest_fd(to_fd, found, NULL)) < 0)
			return ay_err_errno(err, -r, "read");
		return 0;
	}
	if (!cannot_reflink(r))
		return ay_err_errno(err, -r, "reflink");
	struct ay_hasher *h = found ? ay_hasher_new() : NULL;
	if (found && !h)
		return ay_err_errno(err, ENOMEM, "copy");
	r = copy_bytes(s, from_fd, to_fd, size, h, err);
	if (r == 0 && h)
		ay_hasher_final(h, found);
	ay_hasher_free(h);
	return r;
}

int ay__copy_file(struct ay_store *s, int from_fd, int to_fd, uint64_t size, const struct ay_digest *digest,
		  struct ay_err *err)
{
	struct ay_digest found;
	int r = ay__copy_file_digest(s, from_fd, to_fd, size, digest ? &found : NULL, NULL, err);

	if (r < 0 || !digest || ay_digest_eq(digest, &found))
		return r;
	return ay_err_set(err, AY_EDIGEST, "its content is not what its digest says");
}

/* ---- putting ---- */

static unsigned bucket_of(const struct ay__object_name *name)
{
	unsigned v = 0;
	for (int i = 0; i < 2; i++)
		v = v * 16 + (unsigned)(name->s[i] <= '9' ? name->s[i] - '0' : name->s[i] - 'a' + 10);
	return v;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_size == b->st_size && a->st_uid == b->st_uid &&
	       a->st_gid == b->st_gid && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int make_bucket(struct ay_store *s, const struct ay__object_name *name, struct ay__touched *touched)
{
	char bucket[3] = {name->s[0], name->s[1], '\0'};
	int fd = ay__make_dir(s->fs, s->objects, bucket, 0700, NULL);

	if (fd < 0)
		return fd;
	close(fd);
	touched->objects = true;
	return 0;
}

int ay__object_put(struct ay_store *s, int dirfd, const char *from, const struct ay__object_name *name,
		   struct ay__touched *touched, struct ay_err *err)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	struct stat ours, theirs;
	int r = ops->rename(s->fs, dirfd, from, s->objects, name->s, true);

	touched->bucket[bucket_of(name)] = true;
	if (r == -ENOENT) {
		if ((r = make_bucket(s, name, touched)) == 0)
			r = ops->rename(s->fs, dirfd, from, s->objects, name->s, true);
	}
	if (r == -EEXIST) {
		if (fstatat(dirfd, from, &ours, AT_SYMLINK_NOFOLLOW) < 0 ||
		    fstatat(s->objects, name->s, &theirs, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		else if (same_stat(&ours, &theirs))
			r = ops->unlink(s->fs, dirfd, from, 0);
		else /* it was changed in place: ours takes its name, old trees keep the changed one */
			r = ops->rename(s->fs, dirfd, from, s->objects, name->s, false);
	}
	return r < 0 ? ay_err_errno(err, -r, "cannot put object %s", name->s) : 0;
}

int ay__object_replace(struct ay_store *s, int dirfd, const char *from, const struct ay__object_name *name,
		       struct ay__touched *touched)
{
	int r = s->fs->ops->rename(s->fs, dirfd, from, s->objects, name->s, false);

	touched->bucket[bucket_of(name)] = true;
	if (r == -ENOENT)
		r = make_bucket(s, name, touched);
	else if (r == -EISDIR || r == -ENOTEMPTY || r == -EEXIST)
		r = ay__remove_tree(s->fs, s->objects, name->s);
	else
		return r;
	return r < 0 ? r : s->fs->ops->rename(s->fs, dirfd, from, s->objects, name->s, false);
}

int ay__object_sync(struct ay_store *s, const struct ay__touched *touched, struct ay_err *err)
{
	for (unsigned i = 0; i < 256; i++) {
		char bucket[3];
		if (!touched->bucket[i])
			continue;
		snprintf(bucket, sizeof(bucket), "%02x", i);
		AY_CLOSE int fd = ay__open_beneath(s->objects, bucket, O_RDONLY | O_DIRECTORY);
		int r = fd < 0 ? fd : s->fs->ops->fsync(s->fs, fd);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot sync %s/objects/%s", s->path, bucket);
	}
	int r = 0;
	if (touched->more) {
		AY_CLOSE int fd = ay__open_beneath(s->objects, AY__SPILL_DIR, O_RDONLY | O_DIRECTORY);
		r = fd < 0 ? fd : s->fs->ops->fsync(s->fs, fd);
	}
	if (r == 0 && touched->objects)
		r = s->fs->ops->fsync(s->fs, s->objects);
	return r < 0 ? ay_err_errno(err, -r, "cannot sync %s/objects", s->path) : 0;
}

/* ---- a manifest in a file ---- */

long ay__fd_read(void *ctx, void *buf, size_t len)
{
	struct ay__fd_reader *r = ctx;
	ssize_t n;

	do
		n = pread(r->fd, buf, len, (off_t)r->pos);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->pos += (uint64_t)n;
	return n;
}

/* Part of a block, in a new file that is written in order: zeros need not be written, the block has nothing else there. */
static int put_part(struct ay__fd_writer *w, const uint8_t *p, size_t len, uint64_t at)
{
	return ay_is_zero(p, len) ? 0 : ay__write_all(w->fs, w->fd, p, len, at);
}

static int put_sparse(struct ay__fd_writer *w, const uint8_t *p, size_t len)
{
	size_t odd = (size_t)(w->pos % AY_HOLE_SIZE), head = odd ? AY_HOLE_SIZE - odd : 0;

	head = head < len ? head : len;
	size_t tail = (len - head) % AY_HOLE_SIZE, middle = len - head - tail;
	int r = head ? put_part(w, p, head, w->pos) : 0;
	if (r == 0)
		r = ay__write_sparse(w->fs, w->fd, p + head, middle, w->pos + head);
	if (r == 0 && tail)
		r = put_part(w, p + head + middle, tail, w->pos + head + middle);
	return r;
}

static int put_bytes(struct ay__fd_writer *w, const void *data, size_t len)
{
	int r = w->sparse ? put_sparse(w, data, len) : ay__write_all(w->fs, w->fd, data, len, w->pos);

	if (r == 0)
		w->pos += len;
	return r;
}

int ay__fd_flush(struct ay__fd_writer *w)
{
	int r = put_bytes(w, w->buf, w->held);

	if (r == 0)
		w->held = 0;
	return r;
}

/* The buffer is filled to its end before it is written, so that each write but the last begins and ends at blocks. */
int ay__fd_write(void *ctx, const void *data, size_t len)
{
	struct ay__fd_writer *w = ctx;
	const uint8_t *p = data;

	while (len > 0) {
		size_t n = sizeof(w->buf) - w->held;
		int r = 0;
		if (w->held == 0 && len >= n) {
			n = len - len % sizeof(w->buf);
			r = put_bytes(w, p, n);
		} else {
			n = n < len ? n : len;
			memcpy(w->buf + w->held, p, n);
			w->held += n;
			if (w->held == sizeof(w->buf))
				r = ay__fd_flush(w);
		}
		if (r < 0)
			return r;
		p += n;
		len -= n;
	}
	return 0;
}

int ay__fd_end_sparse(struct ay__fd_writer *w)
{
	uint64_t size = w->pos + w->held;
	size_t tail = w->held % AY_HOLE_SIZE;

	/* The last block is zeros behind the file's end, so it may be a hole too. */
	if (w->held > 0 && ay_is_zero(w->buf + w->held - tail, tail))
		w->held -= tail;
	int r = ay__fd_flush(w);
	if (r == 0)
		r = ay__end_sparse(w->fs, w->fd, size);
	return r;
}
