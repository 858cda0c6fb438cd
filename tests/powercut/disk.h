/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/disk.h - a disk that remembers: one file behind FUSE, for a loop device to stand on.
 *
 *     DIR/disk    as large as the log's disk; every write, fsync (= flush) and hole punched (= trim) is logged
 *     DIR/marks   what is written here is logged as a mark, in the same order
 *
 * The kernel has neither dm-log-writes nor ublk nor nbd everywhere; FUSE and loop it has. The loop device turns a
 * flush, and what needs one (FUA), into an fsync of the file: disk_start()'s caller can see it in the log.
 * One process, one thread: so the log is a total order, and a mark written after a call returned stands behind all
 * that the call had waited for.
 */
#ifndef AYNI_TESTS_POWERCUT_DISK_H
#define AYNI_TESTS_POWERCUT_DISK_H

#include <sys/types.h>

#include "tests/powercut/blocklog.h"

/**
 * disk_start() - mount it at @dir in a process of its own, which dies with us. Returns its pid or -errno.
 * Before a file system is mounted on it the caller goes on to another mount namespace: see record().
 */
pid_t disk_start(struct blk_log *log, const char *dir);
/** disk_stop() - after the file system on it was unmounted. */
void disk_stop(pid_t pid, const char *dir);

#endif
