/* SPDX-License-Identifier: MIT */
/*
 * manifest/root.c - the text of a root: who may sign what.
 *
 * A root that cannot be met (a threshold above its number of keys, a revoked key
 * that still counts) would lock a fleet out of its own updates for ever, so such
 * roots are malformed, not merely unwise.
 */
#include "manifest/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "manifest/text.h"

#define ROOT_VERSION_MAX 2 /* of the text: 2 brought "share" */

static const char *const role_names[AY_ROLES] = {"root", "release", "head", "school"};

const char *ay_role_name(enum ay_role role)
{
	return (unsigned)role < AY_ROLES ? role_names[role] : "?";
}

struct ay_root *ay_root_new(void)
{
	return calloc(1, sizeof(struct ay_root));
}

void ay_root_free(struct ay_root *root)
{
	if (!root)
		return;
	free(root->branches);
	free(root->revoked);
	free(root);
}

const struct ay_branch_rule *ay_root_branch_rule(const struct ay_root *root, const char *branch)
{
	for (unsigned i = 0; i < root->n_branches; i++)
		if (strcmp(root->branches[i].name, branch) == 0)
			return &root->branches[i];
	return NULL;
}

static int get_fleet(struct ay__text *t, struct ay_root *root, struct ay_err *err)
{
	struct ay_slice v;
	int r = ay__text_value(t, "fleet", &v, err);

	if (r)
		return r;
	bool ok = v.len > 0 && v.len <= AY_FLEET_NAME_MAX;
	for (size_t i = 0; ok && i < v.len; i++) {
		uint8_t c = v.data[i];
		ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		     memchr("._-", c, 3);
	}
	if (!ok)
		return ay__text_bad(t, err, "not a fleet's name (1 to 64 of a-z A-Z 0-9 . _ -)");
	memcpy(root->fleet, v.data, v.len);
	root->fleet[v.len] = 0;
	return 0;
}

static int get_keys(struct ay__text *t, struct ay_root *root, struct ay_err *err)
{
	struct ay_slice v;

	while (ay__text_peek(t, "key")) {
		int r = ay__text_value(t, "key", &v, err);
		if (r)
			return r;
		if (root->n_keys == AY_ROOT_KEYS_MAX)
			return ay__text_bad(t, err, "more than 64 keys");
		struct ay_public_key *k = &root->keys[root->n_keys];
		if (v.len != 56 || ay_public_key_parse((const char *)v.data, v.len, k, NULL))
			return ay__text_bad(t, err, "not a minisign public key");
		if (root->n_keys && ay_key_id_cmp(k[-1].id, k->id) >= 0)
			return ay__text_bad(t, err, "keys not sorted by id, or an id twice");
		/* One key under two ids would count twice for a threshold. */
		for (unsigned i = 0; i < root->n_keys; i++)
			if (memcmp(root->keys[i].key, k->key, sizeof(k->key)) == 0)
				return ay__text_bad(t, err, "the same key under two ids");
		root->n_keys++;
	}
	return 0;
}

/* Index of the key whose id @w is, or -1. */
static int find_key(const struct ay_root *root, const struct ay_slice *w)
{
	uint8_t id[8];

	if (ay_key_id_parse((const char *)w->data, w->len, id))
		return -1;
	for (unsigned i = 0; i < root->n_keys; i++)
		if (memcmp(root->keys[i].id, id, 8) == 0)
			return (int)i;
	return -1;
}

static int get_role(struct ay__text *t, struct ay_root *root, enum ay_role role, struct ay_err *err)
{
	struct ay_role_keys *k = &root->roles[role];
	struct ay_slice v, w;
	uint64_t threshold;
	int r = ay__text_value(t, "role", &v, err);

	if (r)
		return r;
	if (!ay__word(&v, &w) || !ay__word_is(&w, role_names[role]))
		return ay__text_bad(t, err, "roles are root, release, head, school, in this order");
	if (!ay__word(&v, &w) || ay__parse_u64(w.data, w.len, AY_ROOT_KEYS_MAX, &threshold) || threshold == 0)
		return ay__text_bad(t, err, "threshold is not a number from 1 to 64");
	k->threshold = (uint16_t)threshold;
	while (ay__word(&v, &w)) {
		int i = find_key(root, &w);
		if (i < 0)
			return ay__text_bad(t, err, "not the id of a key above");
		if (k->n && k->keys[k->n - 1] >= i)
			return ay__text_bad(t, err, "key ids not sorted, or one twice");
		k->keys[k->n++] = (uint8_t)i;
	}
	if (role == AY_ROLE_SCHOOL && k->n == 0 && threshold == 1)
		return 0; /* no schools here: nothing can meet it */
	if (threshold > k->n)
		return ay__text_bad(t, err, "threshold above the number of keys");
	if (role == AY_ROLE_HEAD && threshold != 1)
		return ay__text_bad(t, err, "a head has one signature, so its threshold is 1");
	return 0;
}

static bool role_has(const struct ay_root *root, enum ay_role role, int key)
{
	const struct ay_role_keys *k = &root->roles[role];

	for (unsigned i = 0; i < k->n; i++)
		if (k->keys[i] == key)
			return true;
	return false;
}

/* "release=ID,ID" behind the '='. */
static int get_release_keys(struct ay__text *t, const struct ay_root *root, struct ay_slice list,
			    struct ay_branch_rule *rule, struct ay_err *err)
{
	for (;;) {
		const uint8_t *comma = list.len ? memchr(list.data, ',', list.len) : NULL;
		struct ay_slice w = {list.data, comma ? (size_t)(comma - list.data) : list.len};
		int i = find_key(root, &w);
		if (i < 0 || !role_has(root, AY_ROLE_RELEASE, i))
			return ay__text_bad(t, err, "release= names a key that has not the role release");
		if (rule->n_release && rule->release[rule->n_release - 1] >= i)
			return ay__text_bad(t, err, "key ids of release= not sorted, or one twice");
		rule->release[rule->n_release++] = (uint8_t)i;
		if (!comma)
			break;
		list.data += w.len + 1;
		list.len -= w.len + 1;
	}
	if (rule->n_release < root->roles[AY_ROLE_RELEASE].threshold)
		return ay__text_bad(t, err, "release= names fewer keys than the role's threshold");
	return 0;
}

static int get_uids(struct ay_slice w, struct ay_branch_rule *rule)
{
	const uint8_t *dash = w.len ? memchr(w.data, '-', w.len) : NULL;
	uint64_t low, high;

	if (!dash || ay__parse_u64(w.data, (size_t)(dash - w.data), UINT32_MAX - 1, &low) ||
	    ay__parse_u64(dash + 1, (size_t)(w.data + w.len - dash - 1), UINT32_MAX - 1, &high) || low > high)
		return AY_EFORMAT;
	rule->has_uids = true;
	rule->uid_low = (uint32_t)low;
	rule->uid_high = (uint32_t)high;
	return 0;
}

/* Take "@prefix..." off the front of the words; @word gets what follows the prefix. */
static bool take_option(struct ay_slice *rest, const char *prefix, bool exact, struct ay_slice *word)
{
	struct ay_slice left = *rest, w;
	size_t n = strlen(prefix);

	if (!ay__word(&left, &w) || w.len < n || memcmp(w.data, prefix, n) || (exact && w.len != n))
		return false;
	*word = (struct ay_slice){w.data + n, w.len - n};
	*rest = left;
	return true;
}

static unsigned text_version(const struct ay_root *root)
{
	for (unsigned i = 0; i < root->n_branches; i++) {
		if (root->branches[i].share)
			return 2;
	}
	return 1;
}

static int get_branch(struct ay__text *t, struct ay_root *root, struct ay_branch_rule *rule,
		      struct ay_err *err)
{
	struct ay_slice v, w;
	int r = ay__text_value(t, "branch", &v, err);

	if (r)
		return r;
	if (!ay__word(&v, &w) || w.len > AY_BRANCH_NAME_MAX || ay_branch_check((const char *)w.data, w.len))
		return ay__text_bad(t, err,
				    "not a branch name (1 to 64 of a-z 0-9 . _ - and / between them)");
	memcpy(rule->name, w.data, w.len);
	if (take_option(&v, "release=", false, &w)) {
		r = get_release_keys(t, root, w, rule, err);
		if (r)
			return r;
	}
	rule->nosuid = take_option(&v, "nosuid", true, &w);
	rule->nodev = take_option(&v, "nodev", true, &w);
	rule->nocaps = take_option(&v, "nocaps", true, &w);
	if (take_option(&v, "uids=", false, &w) && get_uids(w, rule))
		return ay__text_bad(t, err, "uids= is not LOW-HIGH");
	rule->share = take_option(&v, "share", true, &w);
	if (rule->share && t->version < 2)
		return ay__text_bad(t, err, "\"share\" is of ayni-root 2");
	if (v.data)
		return ay__text_bad(
			t, err,
			"a branch's limits are release= nosuid nodev nocaps uids= share, in this order");
	return 0;
}

static int get_branches(struct ay__text *t, struct ay_root *root, struct ay_err *err)
{
	if (!ay__text_peek(t, "branch"))
		return 0;
	root->branches = calloc(AY_ROOT_BRANCHES_MAX, sizeof(root->branches[0]));
	if (!root->branches)
		return ay_err_set(err, -ENOMEM, "out of memory for a root");
	while (ay__text_peek(t, "branch")) {
		if (root->n_branches == AY_ROOT_BRANCHES_MAX)
			return ay_err_set(err, AY_ELIMIT, "ayni-root: more than %d branches",
					  AY_ROOT_BRANCHES_MAX);
		struct ay_branch_rule *rule = &root->branches[root->n_branches];
		int r = get_branch(t, root, rule, err);
		if (r)
			return r;
		if (root->n_branches && strcmp(rule[-1].name, rule->name) >= 0)
			return ay__text_bad(t, err, "branches not sorted, or one twice");
		root->n_branches++;
	}
	return 0;
}

static int get_revoked(struct ay__text *t, struct ay_root *root, struct ay_err *err)
{
	struct ay_slice v, w;

	if (!ay__text_peek(t, "revoked"))
		return 0;
	int r = ay__text_value(t, "revoked", &v, err);
	if (r)
		return r;
	root->revoked = calloc(AY_ROOT_REVOKED_MAX, sizeof(root->revoked[0]));
	if (!root->revoked)
		return ay_err_set(err, -ENOMEM, "out of memory for a root");
	while (ay__word(&v, &w)) {
		if (root->n_revoked == AY_ROOT_REVOKED_MAX)
			return ay_err_set(err, AY_ELIMIT, "ayni-root: more than %d revoked keys",
					  AY_ROOT_REVOKED_MAX);
		uint8_t *id = root->revoked[root->n_revoked];
		if (ay_key_id_parse((const char *)w.data, w.len, id))
			return ay__text_bad(t, err, "not a key id of 16 upper-case hex digits");
		if (root->n_revoked && ay_key_id_cmp(root->revoked[root->n_revoked - 1], id) >= 0)
			return ay__text_bad(t, err, "key ids not sorted, or one twice");
		root->n_revoked++;
		int i = find_key(root, &w);
		if (i >= 0 && (role_has(root, AY_ROLE_ROOT, i) || role_has(root, AY_ROLE_RELEASE, i) ||
			       role_has(root, AY_ROLE_HEAD, i)))
			return ay__text_bad(t, err, "a revoked key still has another role than school");
	}
	return 0;
}

static int parse(struct ay__text *t, struct ay_root *root, struct ay_err *err)
{
	uint64_t version;
	int r = ay__text_number(t, "version", 1, UINT32_MAX, &version, err);

	if (r)
		return r;
	root->version = (uint32_t)version;
	r = get_fleet(t, root, err);
	if (!r)
		r = get_keys(t, root, err);
	for (unsigned role = 0; !r && role < AY_ROLES; role++)
		r = get_role(t, root, (enum ay_role)role, err);
	if (!r)
		r = get_branches(t, root, err);
	if (!r)
		r = get_revoked(t, root, err);
	if (r)
		return r;
	/* One form only: the newer version is for what the older one cannot say. */
	if (t->version != text_version(root))
		return ay_err_set(err, AY_EFORMAT,
				  "ayni-root line 1: a root without \"share\" is of version 1");
	return ay__text_end(t, err);
}

int ay_root_parse(const void *text, size_t len, struct ay_root **out, struct ay_err *err)
{
	struct ay__text t;
	int r = ay__text_open_upto(&t, text, len, "ayni-root", ROOT_VERSION_MAX, err);

	if (r)
		return r;
	struct ay_root *root = ay_root_new();
	if (!root)
		return ay_err_set(err, -ENOMEM, "out of memory for a root");
	r = parse(&t, root, err);
	if (r)
		ay_root_free(root);
	else
		*out = root;
	return r;
}

static void put_id(struct ay_buf *out, const struct ay_root *root, uint8_t key)
{
	char hex[17];

	ay_put_str(out, ay_key_id_hex(root->keys[key].id, hex));
}

static void put_branch(struct ay_buf *out, const struct ay_root *root, const struct ay_branch_rule *b)
{
	ay_put_fmt(out, "branch: %s", b->name);
	for (unsigned i = 0; i < b->n_release; i++) {
		ay_put_str(out, i ? "," : " release=");
		put_id(out, root, b->release[i]);
	}
	ay_put_fmt(out, "%s%s%s", b->nosuid ? " nosuid" : "", b->nodev ? " nodev" : "",
		   b->nocaps ? " nocaps" : "");
	if (b->has_uids)
		ay_put_fmt(out, " uids=%u-%u", b->uid_low, b->uid_high);
	ay_put_str(out, b->share ? " share\n" : "\n");
}

/* Counts and indices of a root that a caller put together. */
static int check_indices(const struct ay_root *root)
{
	if (root->n_keys > AY_ROOT_KEYS_MAX)
		return AY_EFORMAT;
	for (unsigned role = 0; role < AY_ROLES; role++) {
		if (root->roles[role].n > AY_ROOT_KEYS_MAX)
			return AY_EFORMAT;
		for (unsigned i = 0; i < root->roles[role].n; i++)
			if (root->roles[role].keys[i] >= root->n_keys)
				return AY_EFORMAT;
	}
	for (unsigned b = 0; b < root->n_branches; b++) {
		if (root->branches[b].n_release > AY_ROOT_KEYS_MAX)
			return AY_EFORMAT;
		for (unsigned i = 0; i < root->branches[b].n_release; i++)
			if (root->branches[b].release[i] >= root->n_keys)
				return AY_EFORMAT;
	}
	return 0;
}

int ay_root_write(const struct ay_root *root, struct ay_buf *out, struct ay_err *err)
{
	char line[57], hex[17];
	size_t start = out->len;

	if (check_indices(root))
		return ay_err_set(err, AY_EFORMAT,
				  "writing a root: a role or branch names a key that is not there");
	ay_put_fmt(out, "ayni-root %u\nversion: %u\nfleet: %s\n", text_version(root), root->version,
		   root->fleet);
	for (unsigned i = 0; i < root->n_keys; i++) {
		ay_public_key_line(&root->keys[i], line);
		ay_put_fmt(out, "key: %s\n", line);
	}
	for (unsigned role = 0; role < AY_ROLES; role++) {
		ay_put_fmt(out, "role: %s %u", role_names[role], root->roles[role].threshold);
		for (unsigned i = 0; i < root->roles[role].n; i++) {
			ay_put_u8(out, ' ');
			put_id(out, root, root->roles[role].keys[i]);
		}
		ay_put_u8(out, '\n');
	}
	for (unsigned i = 0; i < root->n_branches; i++)
		put_branch(out, root, &root->branches[i]);
	for (unsigned i = 0; i < root->n_revoked; i++)
		ay_put_fmt(out, "%s%s", i ? " " : "revoked: ", ay_key_id_hex(root->revoked[i], hex));
	if (root->n_revoked)
		ay_put_u8(out, '\n');
	int r = ay_buf_status(out);
	if (r)
		return ay_err_set(err, r, "writing a root: %s", ay_strerror(r));
	struct ay_root *check;
	r = ay_root_parse(out->data + start, out->len - start, &check,
			  err); /* never sign what none would take */
	if (!r)
		ay_root_free(check);
	return r;
}
