/* SPDX-License-Identifier: MIT */
/*
 * store/lease.h - inside store/: does anybody write to this file?
 *
 * A read lease (fcntl(2), F_SETLEASE) is given only when nobody has the file open or mapped for writing. While it is
 * held, whoever opens it for writing or truncates it waits until it is given back, for at most
 * /proc/sys/fs/lease-break-time (45 s): so hold it for moments. The kernel tells by SIGIO, which is ignored
 * from the first call on if nobody handles it.
 */
#ifndef AYNI_STORE_LEASE_H
#define AYNI_STORE_LEASE_H

#include <stdbool.h>

/** ay__lease_take() - 0 nobody writes; 1 somebody may; -errno it cannot be known (no leases here, another's file). */
int ay__lease_take(int fd);
/** ay__lease_broken() - somebody waits to write, or the lease is gone. */
bool ay__lease_broken(int fd);
void ay__lease_drop(int fd);

#endif
