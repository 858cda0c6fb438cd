/* SPDX-License-Identifier: MIT */
/*
 * store/object.h - inside store/: a file's content and inode metadata under one name.
 *
 *     objects/ab/cdef….VARIANT     ab cdef…: the content's digest, 2 + 62 hex digits
 *
 * VARIANT is 16 hex digits: the first 8 bytes of SHA-256 over
 *
 *     "ayni-variant 1\n"  u16 mode  u32 uid  u32 gid  i64 mtime seconds  u32 nanoseconds  u32 number of xattrs
 *     then per xattr, sorted by name: u32 length, name, u32 length, value
 *
 * (little-endian). In a store with owner=me uid and gid are 0 here, setuid and setgid of files
 * are taken away, and of the xattrs only user.* count; where an ACL goes, the mode's group bits become the group's own:
 * see ay__entry_localise(). Devices are left out: ay__entry_kept(). store/losses.h tells the user.
 */
#ifndef AYNI_STORE_OBJECT_H
#define AYNI_STORE_OBJECT_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "manifest/manifest.h"
#include "store/staging.h"

#define AY__VARIANT_LEN     8
#define AY__OBJECT_NAME_MAX (2 + 1 + 62 + 1 + 16 + 1) /* "ab/….variant" and NUL */

#define AY__SPILL_DIR "more" /* in objects/, while it is needed: store/spill.h */

struct ay__object_name {
	char s[AY__OBJECT_NAME_MAX];
};

/* An entry as this store keeps it; borrows from the entry that it was made of. */
struct ay__local_entry {
	struct ay_entry e;
	struct ay_xattr xattrs[AY_XATTR_COUNT_MAX];
};

/** ay__entry_localise() - @e as this store can keep it (owner=me: without owners, setuid, foreign xattrs). */
void ay__entry_localise(const struct ay_store *s, const struct ay_entry *e, struct ay__local_entry *out);

/** ay__entry_kept() - does this store make @e at all? */
bool ay__entry_kept(const struct ay_store *s, const struct ay_entry *e);

/** ay__object_variant() - of a localised entry. 0 or -ENOMEM. */
int ay__object_variant(const struct ay_entry *e, uint8_t v[AY__VARIANT_LEN]);
/** ay__object_name() - "ab/cdef….variant". */
void ay__object_name(const struct ay_digest *d, const uint8_t v[AY__VARIANT_LEN],
		     struct ay__object_name *out);
/** ay__object_name_of() - of an entry as the manifest has it. 0 or -ENOMEM. */
int ay__object_name_of(const struct ay_store *s, const struct ay_entry *e, struct ay__object_name *out);

/**
 * ay__object_intact() - does an inode still look like @e (localised)? Type, size, mtime, mode, owner.
 * A write in place moves the mtime; only verifying reads the content.
 */
bool ay__object_intact(const struct ay_store *s, const struct stat *st, const struct ay_entry *e);

/**
 * ay__meta_set() - give the inode @fd the metadata of @e (localised), mtime last.
 * @fd: a regular file or directory.
 *
 * Order: user.* xattrs while the owner may still write; owner (clears setuid and capabilities); mode; the
 * other xattrs; mtime.
 */
int ay__meta_set(struct ay_store *s, int fd, const struct ay_entry *e, struct ay_err *err);

/* Which directories below objects/ got a new name and must be synced. Several threads may say so. */
struct ay__touched {
	atomic_bool objects, more;
	atomic_bool bucket[256];
	/* Under the store's spill_lock: the object whose own inode was full last, and the further one that had room. */
	struct ay__object_name full;
	unsigned full_at;
};

/** ay__object_put() - rename @from in @dirfd to objects/@name. Is it there and intact: drop ours. */
int ay__object_put(struct ay_store *s, int dirfd, const char *from, const struct ay__object_name *name,
		   struct ay__touched *touched, struct ay_err *err);
/**
 * ay__object_replace() - rename @from in @dirfd to objects/@name, whatever is there: for healing, which has read both.
 * 0 or -errno.
 */
int ay__object_replace(struct ay_store *s, int dirfd, const char *from, const struct ay__object_name *name,
		       struct ay__touched *touched);
/** ay__object_sync() - fsync what was touched. */
int ay__object_sync(struct ay_store *s, const struct ay__touched *touched, struct ay_err *err);

/**
 * ay__object_link() - link the object of @e into a tree.
 *
 * EMLINK: a further inode of it is linked (store/spill.h).
 * @scratch: a directory for the copy that may need (staging). The caller holds the store's lock shared.
 * Return: 0; -ENOENT no such object; AY_EBASE it does not look like @e any more; -errno.
 */
int ay__object_link(struct ay_store *s, const struct ay_entry *e, int to_dirfd, const char *to, int scratch,
		    struct ay__touched *touched, struct ay_err *err);

/**
 * ay__copy_file() - all of @from_fd to the new file @to_fd by reflink, else by copying; holes stay holes.
 * @digest: when given, the bytes must have it (they are read for that); AY_EDIGEST if not. NULL: not checked.
 * @size: bytes that @from_fd must have; AY_EDIGEST if not.
 */
int ay__copy_file(struct ay_store *s, int from_fd, int to_fd, uint64_t size, const struct ay_digest *digest,
		  struct ay_err *err);

/**
 * ay__copy_file_digest() - the same, and tells the digest of the bytes that are now in @to_fd.
 * @found: NULL: not wanted. @reflinked: may be NULL.
 */
int ay__copy_file_digest(struct ay_store *s, int from_fd, int to_fd, uint64_t size, struct ay_digest *found,
			 bool *reflinked, struct ay_err *err);

/** ay__objects_drop() - remove the objects of the manifest @fd that no tree links, in short exclusive slices. */
int ay__objects_drop(struct ay_store *s, int manifest_fd, struct ay_gc_result *res, struct ay_err *err);

/** ay__fd_read() - an ay_read_fn over a struct ay__fd_reader. */
struct ay__fd_reader {
	int fd;
	uint64_t pos;
};
long ay__fd_read(void *ctx, void *buf, size_t len);

/**
 * ay__fd_write() - an ay_write_fn that gathers 64 KiB before it writes through the seam; flush at the end.
 * With @sparse blocks of zeros become holes, and ay__fd_end_sparse() stands for the flush.
 */
struct ay__fd_writer {
	struct ay_fs *fs;
	int fd;
	bool sparse;
	uint64_t pos;
	size_t held;
	uint8_t buf[65536];
};
int ay__fd_write(void *ctx, const void *data, size_t len);
int ay__fd_flush(struct ay__fd_writer *w);
int ay__fd_end_sparse(struct ay__fd_writer *w);

#endif
