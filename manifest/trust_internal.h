/* SPDX-License-Identifier: MIT */
/*
 * manifest/trust_internal.h - the counting of signatures, apart so that its test can give it what no
 * parser would let through.
 */
#ifndef AYNI_MANIFEST_TRUST_INTERNAL_H
#define AYNI_MANIFEST_TRUST_INTERNAL_H

#include "manifest/trust.h"

/**
 * ay__trust_signatures() - do enough keys of @role stand behind @env?
 * @rule: a branch's own release keys narrow role release; may be NULL.
 *
 * A key counts once however often it signs; a revoked key never.
 *
 * Return: 0; AY_ESIG no good signature, and a bad one of a key that may sign; else AY_EROLE.
 */
int ay__trust_signatures(const struct ay_root *root, enum ay_role role, const struct ay_branch_rule *rule,
			 const struct ay_envelope *env, struct ay_err *err);

#endif
