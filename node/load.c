/* SPDX-License-Identifier: MIT */
/*
 * From the store's files to the core's events. Reading and telling are two steps, because at a reload the reading
 * is the disk thread's work and the telling the loop's.
 */
#include "node/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/log.h"

#define DOCS_MAX (AY_CORE_OFFERS_MAX + 2048)

struct doc {
	enum ay_event_type type;
	uint8_t *data;
	size_t len;
};

struct branch {
	struct ay_branch_state state;
	struct ay_turn turn;
	uint32_t have_serial;
	struct ay_digest have_manifest;
	struct ay_tree_here here[AY_CORE_HERE_MAX]; /* besides that */
	unsigned n_here;
};

struct ay_load {
	struct doc *docs;
	size_t n_docs, cap_docs;
	struct branch *branches;
	size_t n_branches;
	struct ay_bundle_entry bundles[AY_CORE_BUNDLES_MAX];
	size_t n_bundles;
};

/* Takes @data over. */
static int add_doc(struct ay_load *l, enum ay_event_type type, uint8_t *data, size_t len)
{
	if (l->n_docs == l->cap_docs) {
		size_t cap = l->cap_docs ? l->cap_docs * 2 : 64;
		struct doc *p = l->n_docs < DOCS_MAX ? reallocarray(l->docs, cap, sizeof(*p)) : NULL;
		if (!p) {
			free(data);
			return -ENOMEM;
		}
		l->docs = p;
		l->cap_docs = cap;
	}
	l->docs[l->n_docs++] = (struct doc){type, data, len};
	return 0;
}

/* The whole chain: peers that are behind are given one version after the other. */
static int read_roots(struct ay_store *s, struct ay_load *l, struct ay_err *err)
{
	const struct ay_root *root;
	uint8_t *data;
	size_t len;
	int r = ay_state_root(s, &root, err);
	if (r < 0)
		return r == -ENOENT ? ay_err_wrap(err, r, "no root (`ayni init --root FILE` gives it one)")
				    : r;
	uint32_t first = root->version;
	while (first > 1 && ay_state_root_envelope(s, first - 1, &data, &len, NULL) == 0) {
		free(data);
		first--;
	}
	/* Another process may have added some since ours was loaded. */
	for (uint32_t v = first; r == 0 && v; v++) {
		r = ay_state_root_envelope(s, v, &data, &len, v <= root->version ? err : NULL);
		if (r < 0)
			return v <= root->version ? r : 0;
		r = add_doc(l, AY_EV_ROOT, data, len);
	}
	return r;
}

/* The last life may have ended between two renames (store/switch.c). */
static void finish_switch(struct ay_store *s, const char *branch)
{
	struct ay_err err = {0};
	uint32_t serial = 0;

	if (ay_store_finish_switch(s, branch, &serial, &err) < 0)
		ay_log(AY_LOG_WARNING, "%s: a switch that was cut off cannot be finished: %s", branch,
		       err.msg);
	else if (serial)
		ay_log(AY_LOG_NOTICE, "%s: the switch to serial %u was cut off; it is current now", branch,
		       (unsigned)serial);
}

/*
 * What waits to become current is had already, and not to be fetched again. The newest trees come first: bundles
 * start there.
 */
static void read_trees(struct ay_store *s, struct ay_load *l, struct branch *b)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n;
	finish_switch(s, b->state.branch);
	if (ay_turn_read(s, b->state.branch, &b->turn, NULL))
		b->turn = (struct ay_turn){.bad = b->state.bad_serial};
	if (ay_store_trees(s, b->state.branch, &trees, &n, NULL))
		return;
	uint32_t have = b->turn.ready > b->turn.current ? b->turn.ready : b->turn.current;
	for (size_t i = 0; i < n; i++) {
		uint8_t *data;
		size_t len;
		const struct ay_tree_info *t = &trees[n - 1 - i];
		if (t->serial == have) {
			b->have_serial = t->serial;
			b->have_manifest = t->release.manifest;
		} else if (b->n_here < AY_CORE_HERE_MAX) {
			b->here[b->n_here++] = (struct ay_tree_here){t->serial, t->release.manifest};
		}
		if (ay_store_release(s, b->state.branch, t->serial, &data, &len, NULL) == 0)
			add_doc(l, AY_EV_RELEASE, data, len);
	}
}

static int read_branches(struct ay_store *s, struct ay_load *l, struct ay_err *err)
{
	AY_FREE struct ay_branch_state *states = NULL;
	size_t n;
	int r = ay_state_branches(s, &states, &n, err);
	if (r < 0)
		return r;
	if (n > AY_CORE_BRANCHES_MAX)
		return ay_err_set(err, AY_ELIMIT,
				  "the store remembers %zu branches; a node serves at most %d", n,
				  AY_CORE_BRANCHES_MAX);
	l->branches = calloc(n ? n : 1, sizeof(*l->branches));
	if (!l->branches)
		return ay_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct branch *b = &l->branches[l->n_branches++];
		b->state = states[i];
		read_trees(s, l, b);
		if (b->state.has_head) {
			uint8_t *copy = malloc(AY_HEAD_SIZE);
			if (copy)
				memcpy(copy, b->state.head, AY_HEAD_SIZE);
			if (!copy || add_doc(l, AY_EV_HEAD, copy, AY_HEAD_SIZE))
				return ay_err_set(err, -ENOMEM, "out of memory");
		}
	}
	return 0;
}

static int keep(struct ay_load *l, enum ay_event_type type, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	return add_doc(l, type, copy, len);
}

static int on_release(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	(void)d;
	return keep(ctx, AY_EV_RELEASE, data, len);
}

static int on_offer(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	(void)d;
	return keep(ctx, AY_EV_OFFER, data, len);
}

/* A partial bundle's file is as long as what has come; its size is in the offer. */
static bool size_from_offers(const struct ay_load *l, struct ay_bundle_entry *e)
{
	for (size_t i = 0; i < l->n_docs; i++) {
		struct ay_envelope env;
		struct ay_offer offer;
		const struct doc *d = &l->docs[i];
		if (d->type == AY_EV_OFFER && ay_envelope_parse(d->data, d->len, &env, NULL) == 0 &&
		    ay_offer_parse(env.text.data, env.text.len, &offer, NULL) == 0 &&
		    ay_digest_eq(&offer.bundle, &e->digest)) {
			e->size = offer.bundle_size;
			return true;
		}
	}
	return false;
}

static int read_bundles(struct ay_store *s, struct ay_load *l, struct ay_err *err)
{
	AY_FREE struct ay_bundle_entry *list = NULL;
	size_t n;
	int r = ay_bundles_list(s, &list, &n, err);
	if (r < 0)
		return r;
	/* Those in collection first: an update goes on there. */
	for (int whole = 0; whole <= 1; whole++) {
		for (size_t i = 0; i < n && l->n_bundles < AY_CORE_BUNDLES_MAX; i++) {
			if (list[i].whole == whole && (whole || size_from_offers(l, &list[i])))
				l->bundles[l->n_bundles++] = list[i];
		}
	}
	return 0;
}

int ay_load_read(struct ay_store *s, struct ay_load **out, struct ay_err *err)
{
	struct ay_load *l = calloc(1, sizeof(*l));
	if (!l)
		return ay_err_set(err, -ENOMEM, "out of memory");
	int r = read_roots(s, l, err);
	if (r == 0)
		r = read_branches(s, l, err);
	if (r == 0)
		r = ay_state_each_doc(s, AY_DOC_RELEASE, on_release, l, err);
	if (r == 0)
		r = ay_state_each_doc(s, AY_DOC_OFFER, on_offer, l, err);
	if (r == 0)
		r = read_bundles(s, l, err);
	if (r < 0) {
		ay_load_free(l);
		return ay_err_wrap(err, r, "store %s", ay_store_path(s));
	}
	*out = l;
	return 0;
}

static void tell_docs(const struct ay_load *l, const struct ay_events *events, enum ay_event_type type)
{
	for (size_t i = 0; i < l->n_docs; i++) {
		struct ay_event ev = {.type = type, .data = {l->docs[i].data, l->docs[i].len}};
		if (l->docs[i].type == type)
			ay_events_post(events, &ev);
	}
}

void ay_load_tell(const struct ay_load *l, const struct ay_events *events, struct ay_disk *disk)
{
	struct ay_digest digests[AY_CORE_BUNDLES_MAX];
	for (size_t i = 0; i < l->n_bundles; i++)
		digests[i] = l->bundles[i].digest;
	ay_disk_forget(disk, false, digests, l->n_bundles);

	tell_docs(l, events, AY_EV_ROOT);
	for (size_t i = 0; i < l->n_branches; i++) {
		const struct branch *b = &l->branches[i];
		struct ay_event ev = {.type = AY_EV_BRANCH,
				      .branch = {.name = b->state.branch,
						 .follow = b->state.follow,
						 .have_serial = b->have_serial,
						 .have_manifest = b->have_manifest,
						 .floor = b->state.floor,
						 .bad_serial = b->state.bad_serial,
						 .stays = b->turn.stays,
						 .here = b->here,
						 .n_here = b->n_here}};
		ay_events_post(events, &ev);
	}
	tell_docs(l, events, AY_EV_RELEASE);
	tell_docs(l, events, AY_EV_OFFER);
	for (size_t i = 0; i < l->n_bundles; i++)
		ay_disk_open(disk, &l->bundles[i].digest, l->bundles[i].size, false);
	tell_docs(l, events, AY_EV_HEAD);
}

size_t ay_load_views(const struct ay_load *l, struct ay_switcher_view *out, size_t max)
{
	size_t n = l->n_branches < max ? l->n_branches : max;
	for (size_t i = 0; i < n; i++)
		out[i] = (struct ay_switcher_view){l->branches[i].state, l->branches[i].turn};
	return n;
}

void ay_load_branches(const struct ay_load *l, char *out, size_t size)
{
	size_t len = 0;
	out[0] = 0;
	for (size_t i = 0; i < l->n_branches; i++) {
		const struct branch *b = &l->branches[i];
		if (b->state.follow && len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%s at serial %u", len ? ", " : "",
						b->state.branch, (unsigned)b->have_serial);
	}
}

void ay_load_free(struct ay_load *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_docs; i++)
		free(l->docs[i].data);
	free(l->docs);
	free(l->branches);
	free(l);
}
