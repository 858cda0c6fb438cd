/* SPDX-License-Identifier: MIT */
/*
 * Roots, releases and offers in memory: what we believe, and hand on.
 *
 * Whatever comes in, from our own store or from a peer, passes manifest/trust.h
 * here, once; nothing else in the core looks at signatures of texts. What is kept
 * is the envelope (to hand on, byte for byte) and the few fields that planning
 * needs. All is bounded: a table per kind, and their bytes together.
 */
#include "proto/docs.h"

#include "proto/fit.h"
#include "proto/orders.h"
#include "proto/trace.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- branches */

int ay__branch_find(const struct ay_core *c, const char *name)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (strcmp(c->branches[i].name, name) == 0)
			return (int)i;
	return AY__NONE;
}

int ay__branch_find_id(const struct ay_core *c, const struct ay_branch_id *id)
{
	for (unsigned i = 0; i < c->n_branches; i++)
		if (c->branches[i].id_known && memcmp(&c->branches[i].id, id, sizeof(*id)) == 0)
			return (int)i;
	return AY__NONE;
}

/* A branch's id hangs on the fleet's name, which the root tells. */
static void branch_ids(struct ay_core *c)
{
	for (unsigned i = 0; c->root && i < c->n_branches; i++) {
		ay_branch_id(c->root->fleet, c->branches[i].name, &c->branches[i].id);
		c->branches[i].id_known = true;
	}
}

int ay__branch_add(struct ay_core *c, const char *name)
{
	size_t len = strlen(name);

	if (c->n_branches == AY_CORE_BRANCHES_MAX || len == 0 || len > AY_BRANCH_NAME_MAX)
		return AY__NONE;
	struct ay__branch *b = &c->branches[c->n_branches];
	memset(b, 0, sizeof(*b));
	memcpy(b->name, name, len + 1);
	b->offer = b->release = b->bundle = AY__NONE;
	b->train = UINT32_MAX;
	b->train_at = b->answer_at = AY__NEVER;
	c->n_branches++;
	branch_ids(c);
	return (int)c->n_branches - 1;
}

/* ---- roots */

static void fleet_id(const char *fleet, uint8_t out[8])
{
	uint8_t text[12 + AY_FLEET_NAME_MAX], hash[32];
	size_t len = strlen(fleet);

	memcpy(text, "ayni-fleet\0", 11);
	memcpy(text + 11, fleet, len);
	ay_sha256(text, 11 + len, hash);
	memcpy(out, hash, 8);
}

/* Keep a root's envelope to hand on; the oldest goes when there are too many. */
static int keep_root(struct ay_core *c, uint32_t version, struct ay_slice data)
{
	if (ay__root_doc(c, version))
		return 0;
	uint8_t *copy = malloc(data.len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data.data, data.len);
	if (c->n_roots == AY__ROOTS_MAX) {
		free(c->roots[0].data);
		memmove(c->roots, c->roots + 1, (AY__ROOTS_MAX - 1) * sizeof(c->roots[0]));
		c->n_roots--;
	}
	c->roots[c->n_roots++] = (struct ay__root_doc){.version = version, .data = copy, .len = data.len};
	return 0;
}

const struct ay__root_doc *ay__root_doc(const struct ay_core *c, uint32_t version)
{
	for (unsigned i = 0; i < c->n_roots; i++)
		if (c->roots[i].version == version)
			return &c->roots[i];
	return NULL;
}

/* A new root: believe again only what it lets us believe. */
static void recheck_heads(struct ay_core *c)
{
	struct ay_head head;

	for (unsigned i = 0; i < c->n_branches; i++) {
		struct ay__branch *b = &c->branches[i];
		if (b->has_head && ay_trust_head(c->root, b->head_bytes, AY_HEAD_SIZE, &head, NULL)) {
			AY__TRACE(c, "learn", "%s: head %u is not believed any more", b->name,
				  b->head.serial);
			b->has_head = false;
			b->train_at = b->answer_at = AY__NEVER;
			b->head_changed = true;
		}
		if (b->has_next && ay_trust_head(c->root, b->next_bytes, AY_HEAD_SIZE, &head, NULL))
			b->has_next = false;
	}
}

static void docs_recheck(struct ay_core *c)
{
	struct ay_release r;
	struct ay_offer o;

	recheck_heads(c);
	for (unsigned i = 0; i < c->n_releases; i++) {
		struct ay__release *d = &c->releases[i];
		if (d->used)
			d->refused = ay_trust_release(c->root, c->branches[d->branch].name, d->data, d->len,
						      &r, NULL) != 0;
	}
	for (unsigned i = 0; i < c->n_offers; i++) {
		struct ay__offer *d = &c->offers[i];
		if (d->used)
			d->refused = ay_trust_offer(c->root, c->branches[d->branch].name, d->data, d->len, &o,
						    NULL) != 0;
	}
}

static void use_root(struct ay_core *c, struct ay_root *root)
{
	bool first = !c->root;

	ay_root_free(c->root);
	c->root = root;
	fleet_id(root->fleet, c->fleet);
	branch_ids(c);
	AY__TRACE(c, "learn", "root %u of fleet %s", root->version, root->fleet);
	memset(c->refused_heads, 0, sizeof(c->refused_heads));
	if (!first)
		docs_recheck(c);
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN | AY__DIRTY_HELLO | AY__DIRTY_PEERS;
}

int ay__root_local(struct ay_core *c, struct ay_slice data)
{
	struct ay_root *root = NULL;
	int rc = c->root ? ay_trust_next_root(c->root, data.data, data.len, &root, NULL)
			 : ay_trust_first_root(data.data, data.len, &root, NULL);

	if (rc == AY_ENOTHING)
		return 0;
	if (rc)
		return rc;
	rc = keep_root(c, root->version, data);
	if (rc) {
		ay_root_free(root);
		return rc;
	}
	if (c->next_root && c->next_root->version <= root->version)
		ay__root_stored(c, AY_ENOTHING); /* overtaken; the token's answer will find nothing */
	use_root(c, root);
	return 0;
}

/* From a peer: believed only when it follows ours, used only when it is durable. */
int ay__root_heard(struct ay_core *c, struct ay_slice data)
{
	struct ay_root *root = NULL;
	int rc;

	if (c->next_root || !ay__token_room(c))
		return AY_ENOTHING;
	rc = ay_trust_next_root(c->root, data.data, data.len, &root, NULL);
	if (rc)
		return rc;
	c->next_root_data = malloc(data.len);
	if (!c->next_root_data) {
		ay_root_free(root);
		return -ENOMEM;
	}
	memcpy(c->next_root_data, data.data, data.len);
	c->next_root_len = data.len;
	c->next_root = root;
	AY__TRACE(c, "learn", "root %u verified, storing", root->version);
	ay__store(c, AY_ORDER_STORE_ROOT, AY__TOKEN_ROOT, 0, data.data, data.len, NULL);
	return 0;
}

void ay__root_stored(struct ay_core *c, int status)
{
	struct ay_root *root = c->next_root;

	if (!root)
		return;
	c->next_root = NULL;
	if (status == 0 &&
	    keep_root(c, root->version, (struct ay_slice){c->next_root_data, c->next_root_len}) == 0)
		use_root(c, root);
	else
		ay_root_free(root);
	free(c->next_root_data);
	c->next_root_data = NULL;
	/* Whoever had it has perhaps the one after it, and heads that we could not judge before. */
	for (unsigned i = 0; status == 0 && i < c->n_sessions; i++) {
		c->sessions[i]->root_asked = false;
		for (unsigned b = 0; b < c->n_branches; b++)
			c->sessions[i]->branches[b].head_asked = false;
	}
	c->dirty |= AY__DIRTY_LEARN;
}

/* ---- releases */

int ay__release_find(const struct ay_core *c, const struct ay_digest *digest)
{
	for (unsigned i = 0; i < c->n_releases; i++)
		if (c->releases[i].used && ay_digest_eq(&c->releases[i].digest, digest))
			return (int)i;
	return AY__NONE;
}

int ay__release_of(const struct ay_core *c, int branch, const struct ay_digest *manifest)
{
	for (unsigned i = 0; i < c->n_releases; i++)
		if (c->releases[i].used && c->releases[i].branch == branch &&
		    ay_digest_eq(&c->releases[i].manifest, manifest))
			return (int)i;
	return AY__NONE;
}

int ay__release_serial(const struct ay_core *c, int branch, uint32_t serial)
{
	for (unsigned i = 0; i < c->n_releases; i++)
		if (c->releases[i].used && c->releases[i].branch == branch && c->releases[i].serial == serial)
			return (int)i;
	return AY__NONE;
}

static bool release_in_use(const struct ay_core *c, int index)
{
	const struct ay__release *r = &c->releases[index];
	const struct ay__branch *b = &c->branches[r->branch];

	return r->stored == AY__STORED_ASKED || b->release == index || r->serial >= b->have_serial ||
	       (b->has_head && ay_digest_eq(&b->head.release, &r->digest));
}

static void release_free(struct ay_core *c, int index)
{
	struct ay__release *r = &c->releases[index];

	c->doc_bytes -= r->len;
	free(r->data);
	memset(r, 0, sizeof(*r));
	while (c->n_releases > 0 && !c->releases[c->n_releases - 1].used)
		c->n_releases--;
}

/* A free place: behind the others, in a gap, or where the oldest lies that nobody needs. */
static int release_slot(struct ay_core *c)
{
	int oldest = AY__NONE;

	for (unsigned i = 0; i < AY__RELEASES_MAX; i++) {
		if (!c->releases[i].used)
			return (int)i;
		if (!release_in_use(c, (int)i) &&
		    (oldest == AY__NONE || c->releases[i].serial < c->releases[oldest].serial))
			oldest = (int)i;
	}
	if (oldest != AY__NONE)
		release_free(c, oldest);
	return oldest;
}

static uint8_t *keep_bytes(struct ay_core *c, struct ay_slice data)
{
	uint8_t *copy;

	if (data.len == 0 || data.len > AY_WIRE_DOC_PART || c->doc_bytes + data.len > AY__DOC_BYTES_MAX)
		return NULL;
	copy = malloc(data.len);
	if (copy) {
		memcpy(copy, data.data, data.len);
		c->doc_bytes += data.len;
	}
	return copy;
}

static int branch_of_doc(struct ay_core *c, const char *name, bool local)
{
	int branch = ay__branch_find(c, name);

	return branch == AY__NONE && local ? ay__branch_add(c, name) : branch;
}

int ay__release_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index)
{
	struct ay_release r;
	struct ay_digest digest;
	int rc, i;

	*index = AY__NONE;
	if (!c->root)
		return AY_EROLE;
	ay_digest_mem(data.data, data.len, &digest);
	i = ay__release_find(c, &digest);
	if (i == AY__NONE) {
		rc = ay_trust_release(c->root, branch == AY__NONE ? NULL : c->branches[branch].name,
				      data.data, data.len, &r, NULL);
		if (rc)
			return rc;
		branch = branch_of_doc(c, r.branch, local);
		if (branch == AY__NONE)
			return AY_ELIMIT;
		i = release_slot(c);
		uint8_t *copy = i == AY__NONE ? NULL : keep_bytes(c, data);
		if (!copy)
			return AY_ELIMIT;
		c->releases[i] = (struct ay__release){.used = true,
						      .branch = branch,
						      .digest = digest,
						      .data = copy,
						      .len = data.len,
						      .serial = r.serial,
						      .root_epoch = r.root_epoch,
						      .min_serial = r.min_serial,
						      .manifest = r.manifest,
						      .unpacked = r.unpacked_size};
		if ((unsigned)i >= c->n_releases)
			c->n_releases = (unsigned)i + 1;
	}
	if (local)
		c->releases[i].stored = AY__STORED_YES;
	*index = i;
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN;
	return 0;
}

/* ---- offers */

static int offer_find(const struct ay_core *c, const struct ay_digest *digest)
{
	for (unsigned i = 0; i < c->n_offers; i++)
		if (c->offers[i].used && ay_digest_eq(&c->offers[i].digest, digest))
			return (int)i;
	return AY__NONE;
}

static bool offer_in_use(const struct ay_core *c, int index)
{
	const struct ay__offer *o = &c->offers[index];

	return o->local || o->laptops || o->schools || o->stored == AY__STORED_ASKED ||
	       c->branches[o->branch].offer == index;
}

static int offer_slot(struct ay_core *c)
{
	int unused = AY__NONE;

	for (unsigned i = 0; i < AY_CORE_OFFERS_MAX; i++) {
		if (!c->offers[i].used)
			return (int)i;
		if (unused == AY__NONE && !offer_in_use(c, (int)i))
			unused = (int)i;
	}
	if (unused != AY__NONE) {
		c->doc_bytes -= c->offers[unused].len;
		free(c->offers[unused].data);
		memset(&c->offers[unused], 0, sizeof(c->offers[unused]));
	}
	return unused;
}

int ay__offer_add(struct ay_core *c, int branch, struct ay_slice data, bool local, int *index)
{
	struct ay_offer o;
	struct ay_digest digest;
	int rc, i;

	*index = AY__NONE;
	if (!c->root)
		return AY_EROLE;
	ay_digest_mem(data.data, data.len, &digest);
	i = offer_find(c, &digest);
	if (i == AY__NONE) {
		rc = ay_trust_offer(c->root, branch == AY__NONE ? NULL : c->branches[branch].name, data.data,
				    data.len, &o, NULL);
		if (rc)
			return rc;
		if (o.bundle_size == 0 || o.bundle_size > AY_BUNDLE_SIZE_MAX)
			return AY_ELIMIT;
		branch = branch_of_doc(c, o.branch, local);
		if (branch == AY__NONE)
			return AY_ELIMIT;
		i = offer_slot(c);
		uint8_t *copy = i == AY__NONE ? NULL : keep_bytes(c, data);
		if (!copy)
			return AY_ELIMIT;
		c->offers[i] = (struct ay__offer){.used = true,
						  .branch = branch,
						  .digest = digest,
						  .data = copy,
						  .len = data.len,
						  .from = o.from,
						  .to = o.to,
						  .bundle = o.bundle,
						  .bundle_size = o.bundle_size,
						  .unfit = ay_offer_fit(&c->cfg.apply, &o) != AY_FIT};
		if ((unsigned)i >= c->n_offers)
			c->n_offers = (unsigned)i + 1;
	}
	if (local) {
		c->offers[i].local = true;
		c->offers[i].stored = AY__STORED_YES;
	}
	*index = i;
	c->dirty |= AY__DIRTY_LEARN | AY__DIRTY_PLAN;
	return 0;
}

/* ---- the end */

void ay__docs_release(struct ay_core *c)
{
	for (unsigned i = 0; i < c->n_roots; i++)
		free(c->roots[i].data);
	for (unsigned i = 0; c->releases && i < c->n_releases; i++)
		free(c->releases[i].data);
	for (unsigned i = 0; c->offers && i < c->n_offers; i++)
		free(c->offers[i].data);
	free(c->releases);
	free(c->offers);
	free(c->next_root_data);
	ay_root_free(c->root);
	ay_root_free(c->next_root);
}
