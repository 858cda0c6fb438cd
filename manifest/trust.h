/* SPDX-License-Identifier: MIT */
/*
 * manifest/trust.h - the one place where something signed is believed or refused.
 *
 * Every check of type, role, threshold, root epoch, branch and serial stands here
 * and nowhere else; who wants a release, offer, head or root believed calls one of
 * these. On failure nothing of the text is handed out.
 *
 * Source of the rules: The Update Framework specification, section 5.
 */
#ifndef AYNI_MANIFEST_TRUST_H
#define AYNI_MANIFEST_TRUST_H

#include "manifest/head.h"
#include "manifest/release.h"

/**
 * ay_trust_first_root() - a root given by hand (installation): signed by its own threshold of role root.
 * @data: an envelope. @out: free with ay_root_free().
 *
 * Return: 0; AY_EFORMAT, AY_EVERSION, AY_ELIMIT; AY_EROLE too few good signatures; AY_ESIG none is good.
 */
int ay_trust_first_root(const void *data, size_t len, struct ay_root **out, struct ay_err *err);

/**
 * ay_trust_next_root() - the successor of @now: version now+1, thresholds of both.
 *
 * Return: as above; AY_EROLLBACK the version is not above @now's; AY_ENOTHING it is the same version;
 *   AY_EFORMAT it leaps over a version (fetch those between first).
 */
int ay_trust_next_root(const struct ay_root *now, const void *data, size_t len, struct ay_root **out,
		       struct ay_err *err);

/**
 * ay_trust_release() - an envelope that must be a release of @branch signed by role release.
 * @branch: NULL: whatever branch it names (the branch's own rule is applied).
 *
 * Return: 0; AY_EFORMAT (also: another type of text); AY_EROLE; AY_ESIG; AY_EROLLBACK root epoch above the
 *   root's version (fetch newer roots first; the signature was not looked at, so ask at a bounded rate).
 */
int ay_trust_release(const struct ay_root *root, const char *branch, const void *data, size_t len,
		     struct ay_release *out, struct ay_err *err);

/**
 * ay_trust_offer() - signed by the role that it names as its maker: publisher is role release, school is
 * role school (a revoked key never counts).
 *
 * Return: 0; AY_EFORMAT; AY_EROLE; AY_ESIG.
 */
int ay_trust_offer(const struct ay_root *root, const char *branch, const void *data, size_t len,
		   struct ay_offer *out, struct ay_err *err);

/**
 * ay_trust_head() - a head signed by role head.
 *
 * Return: 0; AY_EFORMAT; AY_EROLE; AY_ESIG; AY_EROLLBACK root epoch above the root's version: told before the
 *   signature was looked at (a newer root may name its key), so it is a hint to ask for roots, at a bounded rate.
 */
int ay_trust_head(const struct ay_root *root, const uint8_t *data, size_t len, struct ay_head *out,
		  struct ay_err *err);

/**
 * ay_trust_head_names() - does verified @head name this verified release? Branch, serial, epoch, min-serial,
 * digest of the envelope's bytes and its size, all equal.
 *
 * Return: 0; AY_EDIGEST these are not the bytes that the head names: fetch them elsewhere;
 *   AY_EFORMAT they are, but head and release contradict each other: the publisher's mistake.
 */
int ay_trust_head_names(const struct ay_root *root, const struct ay_head *head, const void *envelope,
			size_t len, const struct ay_release *release, struct ay_err *err);

#endif
