/* SPDX-License-Identifier: MIT */
/*
 * manifest/trust.c - the one place where something signed is believed or refused.
 *
 * Form first (cheap), then whether our root is new enough to judge, then the
 * signatures, and only then what the text says. A version or epoch read before the
 * signatures can only make us refuse in a more helpful way, never believe.
 * Source of the rules: The Update Framework specification, section 5.
 */
#include <string.h>

#include "manifest/trust_internal.h"

/* May this key of the root sign for @role (and @rule's branch)? */
static bool may_sign(const struct ay_root *root, enum ay_role role, const struct ay_branch_rule *rule,
		     unsigned key)
{
	const struct ay_role_keys *k = &root->roles[role];
	bool has_role = false, in_rule = true;

	for (unsigned i = 0; i < k->n; i++)
		has_role |= k->keys[i] == key;
	if (rule && role == AY_ROLE_RELEASE && rule->n_release) {
		in_rule = false;
		for (unsigned i = 0; i < rule->n_release; i++)
			in_rule |= rule->release[i] == key;
	}
	for (unsigned i = 0; i < root->n_revoked; i++)
		if (memcmp(root->revoked[i], root->keys[key].id, 8) == 0)
			return false;
	return has_role && in_rule;
}

static int find_key(const struct ay_root *root, const uint8_t id[8])
{
	for (unsigned i = 0; i < root->n_keys; i++)
		if (memcmp(root->keys[i].id, id, 8) == 0)
			return (int)i;
	return -1;
}

int ay__trust_signatures(const struct ay_root *root, enum ay_role role, const struct ay_branch_rule *rule,
			 const struct ay_envelope *env, struct ay_err *err)
{
	uint64_t counted = 0; /* bit per key of the root */
	unsigned good = 0, bad = 0;
	char id[17];

	_Static_assert(AY_ROOT_KEYS_MAX <= 64, "one bit per key");
	for (unsigned i = 0; i < env->n_signatures; i++) {
		int k = find_key(root, env->signatures[i].key_id);
		if (k < 0 || (counted & 1ull << k) || !may_sign(root, role, rule, (unsigned)k))
			continue;
		if (ay_envelope_verify(env, i, &root->keys[k])) {
			bad++;
			ay_err_set(err, AY_ESIG, "the signature of key %s does not fit",
				   ay_key_id_hex(root->keys[k].id, id));
			continue;
		}
		counted |= 1ull << k;
		good++;
	}
	if (good >= root->roles[role].threshold && good > 0)
		return 0;
	if (good == 0 && bad > 0)
		return AY_ESIG;
	return ay_err_set(err, AY_EROLE, "%u good signatures of role %s of root %u, %u are needed%s", good,
			  ay_role_name(role), root->version, root->roles[role].threshold,
			  rule && rule->n_release ? " of this branch's own keys" : "");
}

int ay_trust_first_root(const void *data, size_t len, struct ay_root **out, struct ay_err *err)
{
	struct ay_envelope env;
	struct ay_root *root;
	int r = ay_envelope_parse(data, len, &env, err);

	if (!r)
		r = ay_root_parse(env.text.data, env.text.len, &root, err);
	if (r)
		return ay_err_wrap(err, r, "root");
	r = ay__trust_signatures(root, AY_ROLE_ROOT, NULL, &env, err);
	if (r) {
		ay_root_free(root);
		return ay_err_wrap(err, r, "root");
	}
	*out = root;
	return 0;
}

/* TUF 5.3.4 and 5.3.5: signed by the thresholds of both, and exactly one version on. */
static int check_next(const struct ay_root *now, const struct ay_root *next, const struct ay_envelope *env,
		      struct ay_err *err)
{
	if (next->version == now->version)
		return ay_err_set(err, AY_ENOTHING, "version %u is the one that is known", next->version);
	if (next->version < now->version)
		return ay_err_set(err, AY_EROLLBACK, "version %u is older than the known %u", next->version,
				  now->version);
	if (next->version != now->version + 1)
		return ay_err_set(err, AY_EFORMAT, "version %u leaps over %u; fetch that first",
				  next->version, now->version + 1);
	if (strcmp(next->fleet, now->fleet))
		return ay_err_set(err, AY_EFORMAT, "it is of fleet %s, not %s", next->fleet, now->fleet);
	int r = ay__trust_signatures(now, AY_ROLE_ROOT, NULL, env, err);
	return r ? r : ay__trust_signatures(next, AY_ROLE_ROOT, NULL, env, err);
}

int ay_trust_next_root(const struct ay_root *now, const void *data, size_t len, struct ay_root **out,
		       struct ay_err *err)
{
	struct ay_envelope env;
	struct ay_root *root;
	int r = ay_envelope_parse(data, len, &env, err);

	if (!r)
		r = ay_root_parse(env.text.data, env.text.len, &root, err);
	if (r)
		return ay_err_wrap(err, r, "next root");
	r = check_next(now, root, &env, err);
	if (r) {
		ay_root_free(root);
		return ay_err_wrap(err, r, "next root");
	}
	*out = root;
	return 0;
}

static int check_branch(const char *wanted, const char *named, struct ay_err *err)
{
	if (wanted && strcmp(wanted, named))
		return ay_err_set(err, AY_EFORMAT, "it is of branch %s, not %s", named, wanted);
	return 0;
}

static int check_epoch(const struct ay_root *root, uint32_t epoch, struct ay_err *err)
{
	if (epoch > root->version)
		return ay_err_set(err, AY_EROLLBACK,
				  "root epoch %u is above the known root %u; fetch newer roots first", epoch,
				  root->version);
	return 0;
}

int ay_trust_release(const struct ay_root *root, const char *branch, const void *data, size_t len,
		     struct ay_release *out, struct ay_err *err)
{
	struct ay_envelope env;
	int r = ay_envelope_parse(data, len, &env, err);

	if (!r)
		r = ay_release_parse(env.text.data, env.text.len, out, err);
	if (!r)
		r = check_branch(branch, out->branch, err);
	if (!r)
		r = check_epoch(root, out->root_epoch, err);
	if (!r)
		r = ay__trust_signatures(root, AY_ROLE_RELEASE, ay_root_branch_rule(root, out->branch), &env,
					 err);
	if (!r)
		return 0;
	memset(out, 0, sizeof(*out)); /* nothing unbelieved leaves this file */
	return ay_err_wrap(err, r, "release");
}

int ay_trust_offer(const struct ay_root *root, const char *branch, const void *data, size_t len,
		   struct ay_offer *out, struct ay_err *err)
{
	struct ay_envelope env;
	int r = ay_envelope_parse(data, len, &env, err);

	if (!r)
		r = ay_offer_parse(env.text.data, env.text.len, out, err);
	if (!r)
		r = check_branch(branch, out->branch, err);
	if (!r)
		r = ay__trust_signatures(root, out->by_school ? AY_ROLE_SCHOOL : AY_ROLE_RELEASE,
					 ay_root_branch_rule(root, out->branch), &env, err);
	if (!r)
		return 0;
	memset(out, 0, sizeof(*out)); /* nothing unbelieved leaves this file */
	return ay_err_wrap(err, r, "offer");
}

static int check_head(const struct ay_root *root, const uint8_t *data, const struct ay_head *h,
		      struct ay_err *err)
{
	char id[17];
	int r = check_epoch(root, h->root_epoch, err);

	if (r)
		return r;
	int k = find_key(root, h->key_id);
	if (k < 0 || !may_sign(root, AY_ROLE_HEAD, NULL, (unsigned)k))
		return ay_err_set(err, AY_EROLE, "key %s may not sign heads", ay_key_id_hex(h->key_id, id));
	if (ay_head_verify(data, &root->keys[k]))
		return ay_err_set(err, AY_ESIG, "the signature of key %s does not fit",
				  ay_key_id_hex(h->key_id, id));
	return 0;
}

int ay_trust_head(const struct ay_root *root, const uint8_t *data, size_t len, struct ay_head *out,
		  struct ay_err *err)
{
	int r = ay_head_parse(data, len, out, err);

	if (!r) {
		r = check_head(root, data, out, err);
		if (r)
			ay_err_wrap(err, r, "head");
	}
	if (r)
		memset(out, 0, sizeof(*out));
	return r;
}

int ay_trust_head_names(const struct ay_root *root, const struct ay_head *head, const void *envelope,
			size_t len, const struct ay_release *release, struct ay_err *err)
{
	struct ay_branch_id id;
	struct ay_digest digest;
	const char *what = NULL;

	if (len != head->release_size)
		return ay_err_set(err, AY_EDIGEST, "the head names a release of %u bytes, this one has %zu",
				  head->release_size, len);
	ay_digest_mem(envelope, len, &digest);
	if (!ay_digest_eq(&digest, &head->release))
		return ay_err_set(err, AY_EDIGEST, "the head names a release of another digest");
	ay_branch_id(root->fleet, release->branch, &id);
	if (memcmp(id.b, head->branch.b, sizeof(id.b)))
		what = "branch";
	else if (release->serial != head->serial)
		what = "serial";
	else if (release->root_epoch != head->root_epoch)
		what = "root epoch";
	else if (release->min_serial != head->min_serial)
		what = "minimal serial";
	if (what)
		return ay_err_set(err, AY_EFORMAT, "head and release differ in their %s", what);
	return 0;
}
