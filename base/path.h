/* SPDX-License-Identifier: MIT */
/*
 * base/path.h - paths inside a tree, and bytes made printable.
 *
 * A tree path is "/" for the tree's own directory, else "/a/b": absolute, no
 * empty, "." or ".." component, no NUL, at most AY_PATH_MAX bytes, components of
 * at most 255 bytes. Order is depth first: bytes are compared with '/' below all
 * other bytes, so that a directory is followed at once by all that is in it and a
 * reader needs to remember only the stack of open directories.
 *
 * In text, bytes outside 0x21..0x7e and '%' are written %XX (upper-case hex);
 * exactly those, so that there is one form.
 */
#ifndef AYNI_BASE_PATH_H
#define AYNI_BASE_PATH_H

#include "base/bytes.h"

#define AY_PATH_MAX     4095 /* Linux' PATH_MAX without the NUL */
#define AY_NAME_LEN_MAX 255

/** ay_path_cmp() - depth-first order of two tree paths; <0, 0, >0. */
int ay_path_cmp(const char *a, size_t alen, const char *b, size_t blen);

/** ay_path_check() - 0 when @p is a legal tree path, else AY_EFORMAT ("..", relative, too long ...). */
int ay_path_check(const char *p, size_t len);

/** ay_path_parent_len() - length of the parent's path ("/" for "/a"); 0 for "/" itself. */
size_t ay_path_parent_len(const char *p, size_t len);

/** ay_percent_put() - append @len bytes percent-encoded. */
void ay_percent_put(struct ay_buf *out, const void *data, size_t len);

/**
 * ay_percent_get() - decode; accepts only the form that ay_percent_put() writes.
 *
 * Return: 0, AY_EFORMAT (a byte that must be encoded and is not, or the reverse), or ay_buf_status(@out).
 */
int ay_percent_get(struct ay_buf *out, const char *text, size_t len);

/**
 * ay_percent_name() - a branch name as one file name: '/' and a leading '.' are encoded too.
 *
 * @out is NUL-terminated (not counted in its length).
 * Return: 0, AY_EFORMAT for an empty name, or ay_buf_status(@out).
 */
int ay_percent_name(struct ay_buf *out, const char *name);

/** ay_percent_unname() - back from a file name; accepts only what ay_percent_name() writes, returns as it. */
int ay_percent_unname(struct ay_buf *out, const char *file_name);

/** ay_branch_check() - a branch name: 1..64 bytes of [a-z0-9._-] and '/', no empty, "." or ".." component. */
int ay_branch_check(const char *name, size_t len);

#endif
