/* SPDX-License-Identifier: MIT */
/*
 * manifest/manifest.h - the canonical list of a tree's entries.
 *
 *     ayni-manifest 1\n
 *     d 0755 0 0 1700000000.000000000 / \n                            the tree's own directory comes first
 *     f 0644 0 0 1700000000.123456789 SIZE DIGEST /a/b\n              regular file
 *     l 0777 0 0 1700000000.0... TARGET /a/link\n                     symbolic link
 *     c|b 0600 0 0 MTIME MAJOR:MINOR /dev/x\n                         device
 *     p 0600 0 0 MTIME /run/fifo\n                                    fifo
 *     ... PATH NAME=HEXVALUE NAME=HEXVALUE                            xattrs behind the path, sorted by name
 *
 * One space between fields, no trailing space, mode four octal digits, numbers in
 * decimal without leading zeros, nanoseconds always nine digits; paths, targets
 * and xattr names percent-encoded (base/path.h); entries in ay_path_cmp() order
 * (depth first). A time before 1970 has negative seconds and positive nanoseconds
 * (-1.500000000 is half a second before). A link's mode is always 0777, as Linux
 * has it. An xattr's name may hold '=', its value never does: the last one divides.
 * Refused: any second form, "." and "..", duplicate paths, an entry whose parent is
 * not a directory listed before, uid/gid above 2^32-2, sizes above 2^63-1.
 * Hard links are not part of a tree: equal files are one inode in the store anyway.
 *
 * Limits: a line AY_MANIFEST_LINE_MAX, an entry's xattr values AY_XATTRS_MAX in all.
 * Version history: 1 (first).
 *
 * Everything streams: the reader keeps one line and the stack of open
 * directories, so that a million entries need no more memory than ten.
 */
#ifndef AYNI_MANIFEST_MANIFEST_H
#define AYNI_MANIFEST_MANIFEST_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

#define AY_MANIFEST_LINE_MAX (320 * 1024) /* path + target + xattrs, each at its own maximum, encoded */
#define AY_XATTRS_MAX        (64 * 1024)  /* Linux keeps 64 KiB of one value; so many in all per entry */
#define AY_XATTR_COUNT_MAX   64

enum ay_entry_type {
	AY_ENTRY_FILE = 'f',
	AY_ENTRY_DIR = 'd',
	AY_ENTRY_SYMLINK = 'l',
	AY_ENTRY_CHAR = 'c',
	AY_ENTRY_BLOCK = 'b',
	AY_ENTRY_FIFO = 'p',
};

struct ay_xattr {
	const char *name; /* NUL-terminated, decoded */
	const uint8_t *value;
	size_t value_len;
};

/* One entry, decoded. Pointers are borrowed from whoever made it (the reader: until its next call). */
struct ay_entry {
	enum ay_entry_type type;
	uint16_t mode; /* permission bits with setuid, setgid, sticky: at most 07777 */
	uint32_t uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size;           /* files: bytes */
	struct ay_digest digest; /* files */
	uint32_t dev_major, dev_minor;
	const char *path; /* decoded, NUL-terminated, begins with '/' */
	size_t path_len;
	const char *target; /* symlinks: decoded, NUL-terminated */
	size_t target_len;
	struct ay_xattr *xattrs; /* sorted by name */
	size_t n_xattrs;
};

/* Where a reader's bytes come from: returns bytes read, 0 at the end, or -errno. */
typedef long (*ay_read_fn)(void *ctx, void *buf, size_t len);
/* Where a writer's bytes go: 0 or negative. */
typedef int (*ay_write_fn)(void *ctx, const void *data, size_t len);

struct ay_manifest_reader;

/** ay_manifest_reader_new() - read a manifest from @read. NULL: out of memory. */
struct ay_manifest_reader *ay_manifest_reader_new(ay_read_fn read, void *ctx);
/** ay_manifest_reader_new_mem() - from memory, borrowed for the reader's life. */
struct ay_manifest_reader *ay_manifest_reader_new_mem(const void *data, size_t len);
void ay_manifest_reader_free(struct ay_manifest_reader *r);

/**
 * ay_manifest_next() - the next entry.
 * @e: filled; its pointers are the reader's until the next call.
 *
 * Return: 1 an entry; 0 the end; AY_EFORMAT, AY_EVERSION, AY_ELIMIT with line number and reason in @err
 * (drop the manifest); -errno of @read.
 */
int ay_manifest_next(struct ay_manifest_reader *r, struct ay_entry *e, struct ay_err *err);

/** ay_manifest_reader_digest() - digest and size of all bytes, once ay_manifest_next() returned 0. */
void ay_manifest_reader_digest(struct ay_manifest_reader *r, struct ay_digest *d, uint64_t *size);

struct ay_manifest_writer;

/**
 * ay_manifest_writer_new() - begins with line 1; @write gets about 64 KiB at a time, the rest at the finish.
 * @write: may be NULL when only digest and size are wanted.
 *
 * Return: NULL when out of memory.
 */
struct ay_manifest_writer *ay_manifest_writer_new(ay_write_fn write, void *ctx);
void ay_manifest_writer_free(struct ay_manifest_writer *w);
/**
 * ay_manifest_add() - the next entry, in order.
 *
 * Return: 0; AY_EFORMAT when out of order, without parent, or not representable (our caller's mistake or a
 * tree that cannot be described: said in @err); what @write returned.
 */
int ay_manifest_add(struct ay_manifest_writer *w, const struct ay_entry *e, struct ay_err *err);
/** ay_manifest_finish() - flush; digest and size of the manifest written (either may be NULL). */
int ay_manifest_finish(struct ay_manifest_writer *w, struct ay_digest *d, uint64_t *size, struct ay_err *err);

/** ay_entry_encode() - append @e's line with its newline. 0, AY_EFORMAT, or ay_buf_status(). */
int ay_entry_encode(struct ay_buf *out, const struct ay_entry *e, struct ay_err *err);
/** ay_entry_same() - equal in every field. */
bool ay_entry_same(const struct ay_entry *a, const struct ay_entry *b);

/** ay_write_to_buf() - an ay_write_fn whose ctx is a struct ay_buf. */
int ay_write_to_buf(void *buf, const void *data, size_t len);

/** ay_manifest_mtree() - write @r as mtree(5) for `ayni show --mtree`. */
int ay_manifest_mtree(struct ay_manifest_reader *r, ay_write_fn write, void *ctx, struct ay_err *err);

#endif
