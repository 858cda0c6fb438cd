/* SPDX-License-Identifier: MIT */
/* tests/support/kit_fsck.h - does `ayni fsck` say that a store is clean? */
#ifndef AYNI_TESTS_SUPPORT_KIT_FSCK_H
#define AYNI_TESTS_SUPPORT_KIT_FSCK_H

#include <stddef.h>

/**
 * kit_fsck() - check the store at @path, changing nothing.
 * @out: gets the first finding that is damage, or what nothing uses; "" when there is none.
 * Return: @out, or NULL when it is clean.
 */
const char *kit_fsck(const char *path, char *out, size_t size);

#endif
