/* SPDX-License-Identifier: MIT */
/*
 * proto/links.h - what two peers know of each other about one bundle.
 */
#ifndef AYNI_PROTO_LINKS_H
#define AYNI_PROTO_LINKS_H

#include "proto/core_state.h"

struct ay__link *ay__link_find(struct ay__session *s, const struct ay_digest *digest);
struct ay__link *ay__link_of(struct ay__session *s, int bundle);
/* Found or made; NULL: the two speak of too many bundles already. */
struct ay__link *ay__link_make(struct ay__session *s, const struct ay_digest *digest, uint64_t size);
void ay__link_clear(struct ay_core *c, struct ay__session *s, struct ay__link *l);
/* Its bits, or whole, are told: what they have counts from now on. */
void ay__link_know(struct ay_core *c, struct ay__session *s, struct ay__link *l);
/* What they have is not known any more. */
void ay__link_unknow(struct ay_core *c, struct ay__session *s, struct ay__link *l);
/* They got a block, or do not have it after all; @l is known and not whole. */
void ay__link_block(struct ay_core *c, struct ay__session *s, struct ay__link *l, uint32_t index, bool has);
/* We want nothing more of it; if they do, it lives on without their bitmap. */
void ay__link_unwant(struct ay_core *c, struct ay__session *s, struct ay__link *l);
/* Our bundle goes away under it. */
void ay__link_lose(struct ay_core *c, struct ay__session *s, struct ay__link *l);
/* Does anybody in reach have a block that we lack? */
bool ay__link_holder(const struct ay_core *c, int bundle);
void ay__links_session_gone(struct ay_core *c, struct ay__session *s);

#endif
