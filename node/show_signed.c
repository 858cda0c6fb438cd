/* SPDX-License-Identifier: MIT */
/*
 * `ayni show` of what is signed: roots, releases, offers, heads, and the keys themselves.
 *
 * With a root given, belief is decided where it is decided for laptops (manifest/trust.h) and not by
 * "some signature fits".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/show.h"

/* ---- the signed texts ---- */

/* One kind of text: is it well-formed (then as JSON, when wanted), and is it believed? */
struct text_kind {
	const char *magic;
	int (*parse)(const struct ay_envelope *env, json_t **json, struct ay_err *err);
	int (*trust)(const struct ay_show *s, const char *data, size_t len, struct ay_err *err);
};

static int parse_release(const struct ay_envelope *env, json_t **json, struct ay_err *err)
{
	struct ay_release r;
	int rc = ay_release_parse(env->text.data, env->text.len, &r, err);
	if (rc == 0 && json)
		*json = ay_json_release(&r);
	return rc;
}

static int trust_release(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_release r;
	return ay_trust_release(s->root, NULL, data, len, &r, err);
}

static int parse_offer(const struct ay_envelope *env, json_t **json, struct ay_err *err)
{
	struct ay_offer o;
	int rc = ay_offer_parse(env->text.data, env->text.len, &o, err);
	if (rc == 0 && json)
		*json = ay_json_offer(&o);
	return rc;
}

static int trust_offer(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_offer o;
	return ay_trust_offer(s->root, NULL, data, len, &o, err);
}

static int parse_root(const struct ay_envelope *env, json_t **json, struct ay_err *err)
{
	struct ay_root *root = NULL;
	int rc = ay_root_parse(env->text.data, env->text.len, &root, err);
	if (rc < 0)
		return rc;
	if (json)
		*json = ay_json_root(root);
	ay_root_free(root);
	return 0;
}

/* Believed are the root that was given itself, and its successor; another one of its version is nobody's. */
static int trust_root(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_root *next = NULL;
	if (len == s->root_len && memcmp(data, s->root_data, len) == 0)
		return 0;
	int r = ay_trust_next_root(s->root, data, len, &next, err);
	ay_root_free(next);
	return r == AY_ENOTHING
		       ? ay_err_set(err, AY_EROLE, "it is another root of version %u than the one given",
				    s->root->version)
		       : r;
}

static const struct text_kind text_kinds[] = {
	{"ayni-release ", parse_release, trust_release},
	{"ayni-offer ", parse_offer, trust_offer},
	{"ayni-root ", parse_root, trust_root},
};

static const struct text_kind *kind_of(const struct ay_envelope *env)
{
	for (size_t i = 0; i < sizeof(text_kinds) / sizeof(text_kinds[0]); i++) {
		size_t n = strlen(text_kinds[i].magic);
		if (env->text.len > n && memcmp(env->text.data, text_kinds[i].magic, n) == 0)
			return &text_kinds[i];
	}
	return NULL;
}

/* ---- the envelope ---- */

static int write_split(const struct ay_show *s, const struct ay_envelope *env, struct ay_err *err)
{
	json_t *files = json_array();
	int r = ay_write_output(s->split, env->text.data, env->text.len, 0644, true, err);
	for (unsigned i = 0; r == 0 && i < env->n_signatures; i++) {
		AY_FREE char *name = NULL;
		int n = i == 0 ? asprintf(&name, "%s.minisig", s->split)
			       : asprintf(&name, "%s.minisig.%u", s->split, i);
		if (n < 0) {
			name = NULL;
			r = ay_err_set(err, -ENOMEM, "out of memory");
			break;
		}
		r = ay_write_output(name, env->signatures[i].file.data, env->signatures[i].file.len, 0644,
				    true, err);
		json_array_append_new(files, json_string(name));
	}
	if (r == 0 && s->json)
		return ay_print_json(json_pack("{s:s, s:o}", "text", s->split, "signatures", files), err);
	if (r == 0)
		printf("text: %s\n", s->split);
	for (size_t i = 0; r == 0 && i < json_array_size(files); i++)
		printf("signature: %s\n", json_string_value(json_array_get(files, i)));
	json_decref(files);
	return r;
}

enum state { UNCHECKED, GOOD, BAD, UNKNOWN };

static enum state signature_state(const struct ay_show *s, const struct ay_envelope *env, unsigned i)
{
	if (!s->root)
		return UNCHECKED;
	for (unsigned k = 0; k < s->root->n_keys; k++) {
		if (memcmp(s->root->keys[k].id, env->signatures[i].key_id, 8) == 0)
			return ay_envelope_verify(env, i, &s->root->keys[k]) == 0 ? GOOD : BAD;
	}
	return UNKNOWN;
}

static void print_words(const struct ay_show *s, const struct ay_envelope *env, const struct ay_digest *d,
			size_t len)
{
	static const char *const words[] = {"not checked (give --root)", "good", "BAD",
					    "a key that the root does not know"};
	char hex[AY_DIGEST_HEX + 1], id[17];
	fwrite(env->text.data, 1, env->text.len, stdout);
	printf("\ndocument: %s %zu\n", ay_digest_hex(d, hex), len);
	for (unsigned i = 0; i < env->n_signatures; i++)
		printf("signature: key %s, %s\n", ay_key_id_hex(env->signatures[i].key_id, id),
		       words[signature_state(s, env, i)]);
}

static void add_signatures(const struct ay_show *s, const struct ay_envelope *env, json_t *o)
{
	static const char *const words[] = {"unchecked", "good", "bad", "unknown"};
	json_t *all = json_array();
	char id[17];
	for (unsigned i = 0; i < env->n_signatures; i++)
		json_array_append_new(all, json_pack("{s:s, s:s}", "key",
						     ay_key_id_hex(env->signatures[i].key_id, id), "state",
						     words[signature_state(s, env, i)]));
	json_object_set_new(o, "signatures", all);
}

int ay_show_envelope(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_envelope env;
	struct ay_digest d;
	json_t *json = NULL;
	int r = ay_envelope_parse(data, len, &env, err);
	if (r < 0)
		return r;
	const struct text_kind *kind = kind_of(&env);
	if (!kind)
		return ay_err_set(err, AY_EFORMAT, "the signed text is no root, release or offer");
	r = kind->parse(&env, s->json && !s->split ? &json : NULL, err);
	if (r < 0)
		return r;
	if (s->split)
		return write_split(s, &env, err);
	int believed = s->root ? kind->trust(s, data, len, err) : 0;
	ay_digest_mem(data, len, &d);
	if (s->json) {
		ay_json_set_document(json, &d, len);
		add_signatures(s, &env, json);
		if (s->root)
			json_object_set_new(json, "believed", json_boolean(believed == 0));
		struct ay_err why = {0};
		if ((r = ay_print_json(json, &why)) < 0 && believed == 0)
			return ay_err_set(err, r, "%s", why.msg);
		return believed;
	}
	print_words(s, &env, &d, len);
	if (s->root && believed == 0)
		puts("believed: yes");
	return believed;
}

/* ---- head ---- */

int ay_show_head(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_head h, check;
	char hex[AY_DIGEST_HEX + 1], id[17];
	int r = ay_head_parse((const uint8_t *)data, len, &h, err);
	if (r < 0)
		return r;
	int believed = s->root ? ay_trust_head(s->root, (const uint8_t *)data, len, &check, err) : 0;
	if (s->json) {
		json_t *o = ay_json_head(&h);
		if (s->root)
			json_object_set_new(o, "believed", json_boolean(believed == 0));
		r = ay_print_json(o, believed == 0 ? err : NULL);
		return believed < 0 ? believed : r;
	}
	printf("ayni-head 1\nbranch-id: ");
	for (unsigned i = 0; i < sizeof(h.branch.b); i++)
		printf("%02x", h.branch.b[i]);
	printf("\nroot-epoch: %u\nserial: %u\nmin-serial: %u\nrollout: %u %%\nrelease: %s %u\nsigned-at: %" PRIu64
	       "\nsignature: key %s%s\n",
	       h.root_epoch, h.serial, h.min_serial, h.rollout, ay_digest_hex(&h.release, hex),
	       h.release_size, h.signed_at_s, ay_key_id_hex(h.key_id, id),
	       s->root ? "" : ", not checked (give --root)");
	if (s->root && believed == 0)
		puts("believed: yes");
	return believed;
}

/* ---- keys ---- */

/* A secret key's bytes are never printed. */
int ay_show_key(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_public_key pk;
	char line[57], id[17];
	int r = ay_public_key_parse(data, len, &pk, err);
	if (r < 0)
		return ay_err_wrap(err, r,
				   "not a public key (secret keys and signature files are not shown)");
	ay_public_key_line(&pk, line);
	ay_key_id_hex(pk.id, id);
	if (s->json)
		return ay_print_json(
			json_pack("{s:s, s:s, s:s}", "type", "public-key", "id", id, "key", line), err);
	printf("minisign public key %s\n%s\n", id, line);
	return 0;
}
