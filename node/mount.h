/* SPDX-License-Identifier: MIT */
/*
 * node/mount.h - showing a tree somewhere: read-only, in a mount namespace of its own or for all to see.
 *
 * Everything goes by file descriptors (open_tree, mount_setattr, move_mount; Linux 5.12): whoever renames or
 * replaces directories meanwhile does not lead a mount elsewhere. Paths that the user names are opened without
 * following any symbolic link.
 */
#ifndef AYNI_NODE_MOUNT_H
#define AYNI_NODE_MOUNT_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

/** ay_dir_open() - the directory @path, O_PATH; no symbolic link on the way (-ELOOP, and what to do is said). */
int ay_dir_open(const char *path, struct ay_err *err);
/** ay_parent_open() - the directory in which @path lies, for reading; @name: the last component, within @path's copy. */
int ay_parent_open(const char *path, char name[NAME_MAX + 1], struct ay_err *err);
/** ay_fd_path() - where the directory @fd lies now. 0 or -errno. */
int ay_fd_path(int fd, char out[PATH_MAX]);

/**
 * ay_namespace_enter() - a mount namespace for this process and its children. Mounts of the outside still
 * come in; nothing goes out. A plain user gets a user namespace with it, in which he is himself.
 *
 * Return: 0; AY_EUNSUPPORTED the kernel does not let this user, with what to do; -errno.
 */
int ay_namespace_enter(struct ay_err *err);
/** ay_namespace_dir() - after that: the same directory as @fd, seen in the new namespace. O_PATH fd or negative. */
int ay_namespace_dir(int fd, struct ay_err *err);

/** ay_mount_clone() - a detached read-only mount of the directory @dir. fd or negative. */
int ay_mount_clone(int dir, struct ay_err *err);
/** ay_mount_overlay() - a detached overlay over @lower; @upper, @work: directories on one file system. fd or negative. */
int ay_mount_overlay(int lower, int upper, int work, const char *source, struct ay_err *err);
/** ay_mount_attach() - put the detached mount @mnt onto the directory @at. @what: for messages. */
int ay_mount_attach(int mnt, int at, const char *what, struct ay_err *err);
/** ay_mount_id() - the number by which /proc/self/mountinfo calls the mount of @fd; 0: unknown. */
unsigned long long ay_mount_id(int fd);

/** A line of /proc/self/mountinfo that is one of ours. */
struct ay_mount_line {
	unsigned long long id;
	char root[PATH_MAX], source[128];
	bool overlay;
};
/** ay_mount_find() - mount number @id. 1 found, 0 not there, -errno. */
int ay_mount_find(unsigned long long id, struct ay_mount_line *out);

/**
 * ay_mount_hold() - leave a process behind that holds @ref as long as mount @id is there, and then opens the store
 * @store_path so that a tree which waited for its last user is deleted. @pid: of that process.
 */
int ay_mount_hold(unsigned long long id, int ref, const char *store_path, int *pid, struct ay_err *err);

#endif
