/* SPDX-License-Identifier: MIT */
/*
 * Signed documents, bundles and datagrams as JSON. Names are those of the texts' own
 * keys; digests and key ids are strings as everywhere, and so are numbers of 64 bits that mean nothing
 * as numbers.
 */
#include "node/show.h"

#include <stdio.h>

#include "diff/bundle_format.h"
#include "diff/encoders.h"

static json_t *json_hex(const uint8_t *data, size_t len)
{
	char text[129] = "";
	for (size_t i = 0; i < len && i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	return json_string(text);
}

static json_t *digest(const struct ay_digest *d)
{
	char hex[AY_DIGEST_HEX + 1];
	return json_string(ay_digest_hex(d, hex));
}

static json_t *key_id(const uint8_t id[8])
{
	char hex[17];
	return json_string(ay_key_id_hex(id, hex));
}

static void set_number(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

void ay_json_set_document(json_t *o, const struct ay_digest *d, uint64_t size)
{
	json_object_set_new(o, "document",
			    json_pack("{s:o, s:I}", "digest", digest(d), "bytes", (json_int_t)size));
}

/* ---- root ---- */

static json_t *role_json(const struct ay_root *root, enum ay_role role)
{
	const struct ay_role_keys *k = &root->roles[role];
	json_t *ids = json_array();
	for (unsigned i = 0; i < k->n; i++)
		json_array_append_new(ids, key_id(root->keys[k->keys[i]].id));
	return json_pack("{s:i, s:o}", "threshold", k->threshold, "keys", ids);
}

static json_t *rule_json(const struct ay_root *root, const struct ay_branch_rule *rule)
{
	json_t *ids = json_array();
	for (unsigned i = 0; i < rule->n_release; i++)
		json_array_append_new(ids, key_id(root->keys[rule->release[i]].id));
	json_t *o = json_pack("{s:s, s:o, s:b, s:b, s:b}", "branch", rule->name, "release", ids, "nosuid",
			      (int)rule->nosuid, "nodev", (int)rule->nodev, "nocaps", (int)rule->nocaps);
	if (rule->share)
		json_object_set_new(o, "share", json_true());
	if (rule->has_uids)
		json_object_set_new(
			o, "uids",
			json_pack("[I, I]", (json_int_t)rule->uid_low, (json_int_t)rule->uid_high));
	return o;
}

json_t *ay_json_root(const struct ay_root *root)
{
	json_t *keys = json_array(), *roles = json_object(), *rules = json_array(), *revoked = json_array();
	char line[57];
	for (unsigned i = 0; i < root->n_keys; i++) {
		ay_public_key_line(&root->keys[i], line);
		json_array_append_new(keys,
				      json_pack("{s:o, s:s}", "id", key_id(root->keys[i].id), "key", line));
	}
	for (unsigned i = 0; i < AY_ROLES; i++)
		json_object_set_new(roles, ay_role_name(i), role_json(root, i));
	for (unsigned i = 0; i < root->n_branches; i++)
		json_array_append_new(rules, rule_json(root, &root->branches[i]));
	for (unsigned i = 0; i < root->n_revoked; i++)
		json_array_append_new(revoked, key_id(root->revoked[i]));
	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o}", "type", "root", "version",
			 (json_int_t)root->version, "fleet", root->fleet, "keys", keys, "roles", roles,
			 "branches", rules, "revoked", revoked);
}

/* ---- release, offer, head ---- */

json_t *ay_json_release(const struct ay_release *r)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:s, s:I}", "type", "release", "branch", r->branch,
			      "serial", (json_int_t)r->serial, "root_epoch", (json_int_t)r->root_epoch,
			      "name", r->name, "date", (json_int_t)r->date_s);
	json_object_set_new(o, "manifest",
			    json_pack("{s:o, s:I}", "digest", digest(&r->manifest), "bytes",
				      (json_int_t)r->manifest_size));
	set_number(o, "unpacked", r->unpacked_size);
	set_number(o, "entries", r->entries);
	set_number(o, "min_serial", r->min_serial);
	json_object_set_new(o, "notes", json_string(r->notes));
	return o;
}

json_t *ay_json_offer(const struct ay_offer *offer)
{
	json_t *encoders = json_array();
	for (unsigned i = 0; i < offer->n_encoders; i++)
		json_array_append_new(encoders, json_string(offer->encoders[i]));
	json_t *o = json_pack("{s:s, s:s, s:o, s:o}", "type", "offer", "branch", offer->branch, "from",
			      digest(&offer->from), "to", digest(&offer->to));
	json_object_set_new(o, "bundle",
			    json_pack("{s:o, s:I}", "digest", digest(&offer->bundle), "bytes",
				      (json_int_t)offer->bundle_size));
	set_number(o, "unpacked", offer->unpacked_size);
	set_number(o, "holes", offer->hole_size);
	set_number(o, "memory", offer->memory);
	set_number(o, "cpu", offer->cpu);
	json_object_set_new(o, "encoders", encoders);
	json_object_set_new(o, "maker", json_string(offer->by_school ? "school" : "publisher"));
	return o;
}

json_t *ay_json_head(const struct ay_head *h)
{
	json_t *o = json_pack("{s:s, s:o}", "type", "head", "branch_id",
			      json_hex(h->branch.b, sizeof(h->branch.b)));
	set_number(o, "root_epoch", h->root_epoch);
	set_number(o, "serial", h->serial);
	set_number(o, "min_serial", h->min_serial);
	set_number(o, "rollout", h->rollout);
	json_object_set_new(
		o, "release",
		json_pack("{s:o, s:I}", "digest", digest(&h->release), "bytes", (json_int_t)h->release_size));
	set_number(o, "signed_at", h->signed_at_s);
	json_object_set_new(o, "key", key_id(h->key_id));
	return o;
}

/* ---- bundle, datagram ---- */

json_t *ay_json_bundle(const struct ay_bundle_header *h)
{
	json_t *o = json_pack("{s:s, s:o, s:o}", "type", "bundle", "from", digest(&h->from), "to",
			      digest(&h->to));
	set_number(o, "manifest_delta", h->delta_size);
	set_number(o, "unpacked", h->unpacked_size);
	set_number(o, "records", h->n_records);
	set_number(o, "part_limit", h->part_limit);
	set_number(o, "memory", ay_bundle_memory(h->part_limit) + h->extra_memory);
	set_number(o, "scratch", h->scratch_size);
	json_t *encoders = json_array();
	for (unsigned i = 0; i < 32; i++) {
		if (h->encoders >> i & 1)
			json_array_append_new(encoders, json_string(ay_encoder_name(i)));
	}
	json_object_set_new(o, "encoders", encoders);
	return o;
}

json_t *ay_json_datagram(const struct ay_wire_datagram *d)
{
	uint8_t session[8];
	for (int i = 0; i < 8; i++)
		session[i] = (uint8_t)(d->session_id >> (56 - 8 * i));
	json_t *o = json_pack("{s:s, s:I, s:b, s:o}", "type", d->type == AY_DATAGRAM_HEAD ? "news" : "chat",
			      "port", (json_int_t)d->port, "school", (int)d->school, "session",
			      json_hex(session, sizeof(session)));
	if (d->type == AY_DATAGRAM_HEAD)
		return o;
	json_t *summaries = json_array();
	for (unsigned i = 0; i < d->n; i++) {
		char tag[9];
		snprintf(tag, sizeof(tag), "%08x", d->summaries[i].tag);
		json_array_append_new(summaries, json_pack("{s:s, s:I, s:I}", "tag", tag, "head",
							   (json_int_t)d->summaries[i].head_serial, "have",
							   (json_int_t)d->summaries[i].have_serial));
	}
	json_object_set_new(o, "incomplete", json_boolean(d->incomplete));
	json_object_set_new(o, "question", json_boolean(d->question));
	set_number(o, "root_version", d->root_version);
	set_number(o, "neighbours", d->neighbours);
	json_object_set_new(o, "branches", summaries);
	return o;
}
