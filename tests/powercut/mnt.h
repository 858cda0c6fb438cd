/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/mnt.h - file systems, loop devices and mounts, all of which vanish when their processes do.
 *
 * Mounts are made in a mount namespace of our own, loop devices with LO_FLAGS_AUTOCLEAR and held open: whatever
 * kills us, the kernel takes them away with the last process.
 */
#ifndef AYNI_TESTS_POWERCUT_MNT_H
#define AYNI_TESTS_POWERCUT_MNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** mnt_missing() - what this machine lacks for @fs, as a sentence in @why; false: all is there. */
bool mnt_missing(const char *fs, char *why, size_t len);
/** mnt_private() - a mount namespace of our own. 0 or -errno. */
int mnt_private(void);
/** mnt_other_boot() - here the kernel's boot id is another one from now on; @scratch: a file to be made. 0 or -errno. */
int mnt_other_boot(const char *scratch);
/** fs_disk_size() - bytes of a small but usual file system. */
uint64_t fs_disk_size(const char *fs);
/** fs_make() - mkfs in the file @image. 0 or -errno; what mkfs says goes to stderr when it fails. */
int fs_make(const char *fs, const char *image);
/** loop_attach() - a loop device on @file; @held must stay open as long as it is wanted. 0 or -errno. */
int loop_attach(const char *file, int *held, char dev[32]);
int fs_mount(const char *fs, const char *dev, const char *dir);
/** fs_umount() - waits a while for who still holds it. 0 or -errno. */
int fs_umount(const char *dir);

#endif
