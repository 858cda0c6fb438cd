/* SPDX-License-Identifier: MIT */
/*
 * store/gc_bundles.h - inside store/: which bundles still lead somewhere.
 */
#ifndef AYNI_STORE_GC_BUNDLES_H
#define AYNI_STORE_GC_BUNDLES_H

#include "store/store_internal.h"

/**
 * ay__gc_bundles() - drop bundles, whole and partial, that lead to no tree that is here and to no branch's newest
 * release, not even by one more step; and their offers. A bundle of which no offer is known goes a day after
 * it was last written.
 */
int ay__gc_bundles(struct ay_store *s, struct ay_gc_result *res, struct ay_err *err);

#endif
