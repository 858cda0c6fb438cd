/* SPDX-License-Identifier: MIT */
/*
 * store/gc_objects.h - inside store/: objects that no tree links and no manifest remembers.
 */
#ifndef AYNI_STORE_GC_OBJECTS_H
#define AYNI_STORE_GC_OBJECTS_H

#include "store/store_internal.h"

/**
 * ay__gc_objects() - once a boot: remove every object that has no other link; under the store's lock in slices.
 * Return: 0; -errno, and it will be done again.
 */
int ay__gc_objects(struct ay_store *s, struct ay_gc_result *res, struct ay_err *err);

#endif
