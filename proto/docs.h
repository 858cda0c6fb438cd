/* SPDX-License-Identifier: MIT */
/*
 * proto/docs.h - branches, roots, releases and offers in memory.
 *
 * Nothing enters these tables that its keys do not say.
 */
#ifndef AYNI_PROTO_DOCS_H
#define AYNI_PROTO_DOCS_H

#include "proto/core_state.h"

int ay__branch_find(const struct ay_core *c, const char *name);
int ay__branch_find_id(const struct ay_core *c, const struct ay_branch_id *id);
int ay__branch_add(struct ay_core *c, const char *name);

int ay__root_local(struct ay_core *c, struct ay_slice data);
int ay__root_heard(struct ay_core *c, struct ay_slice data);
void ay__root_stored(struct ay_core *c, int status);
const struct ay__root_doc *ay__root_doc(const struct ay_core *c, uint32_t version);

int ay__release_find(const struct ay_core *c, const struct ay_digest *digest);
int ay__release_of(const struct ay_core *c, int branch, const struct ay_digest *manifest);
int ay__release_serial(const struct ay_core *c, int branch, uint32_t serial);
/* @branch AY__NONE: whichever it names. @index: where it is now. */
int ay__release_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index);
int ay__offer_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index);
void ay__docs_release(struct ay_core *c);

#endif
