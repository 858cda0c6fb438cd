/* SPDX-License-Identifier: MIT */
/*
 * node/size.h - sizes as people write them, the same in the configuration and on the command line.
 */
#ifndef AYNI_NODE_SIZE_H
#define AYNI_NODE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/**
 * ay_size_read() - digits, and K, M, G or T (of 1024; lower case too) or nothing, which counts @bare bytes.
 * False: not that, 0, or more than 2^60 bytes.
 */
bool ay_size_read(const char *text, uint64_t bare, uint64_t *bytes);

/** ay_size_mib() - of an option @what that counts MiB where no unit is said: from @min to @max MiB, or AY_EUSAGE. */
int ay_size_mib(const char *text, uint32_t min, uint32_t max, const char *what, uint64_t *bytes,
		struct ay_err *err);

#endif
