/* SPDX-License-Identifier: MIT */
/* Files that a fuzzed bundle's records find as their bases. */
#ifndef AYNI_FUZZ_BUNDLE_BASES_H
#define AYNI_FUZZ_BUNDLE_BASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE_MAX 65536 /* bytes of one base */

/** fd_of() - a file in memory of these bytes. */
int fd_of(const void *data, size_t len);

/**
 * bases_make() - @own: bases as the input has them, one behind the other; then bytes in which there is always something to be found.
 * @aarch64: the made-up program among these is for that machine.
 */
void bases_make(const uint8_t *own, size_t len, bool aarch64);

/** base_fd() - @size bytes from @at on; with @elf those of a made-up program, where the input has no bases of its own. */
int base_fd(uint64_t at, uint64_t size, bool elf);

#endif
