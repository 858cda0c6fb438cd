/* SPDX-License-Identifier: MIT */
/* Bytes and files for the tests of base/, the same on every machine. */
#ifndef AYNI_TESTS_UNIT_BASE_MADE_H
#define AYNI_TESTS_UNIT_BASE_MADE_H

#include <stddef.h>
#include <stdint.h>

/** made_bytes() - @len bytes of a generator that base/ does not know; a longer run starts like a shorter one.
 */
uint8_t *made_bytes(size_t len);

/** made_file() - a temporary file with these bytes; its name goes to @path[64], to be unlinked. Returns an
 * fd. */
int made_file(const void *data, size_t len, char path[64]);

/** made_fd() - the same without a name. */
int made_fd(const void *data, size_t len);

#endif
