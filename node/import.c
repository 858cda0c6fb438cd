/* SPDX-License-Identifier: MIT */
/*
 * The six steps of the data's way with a directory in place of the network: the
 * head is read, not heard; the planner is the same; the bundle is there at once.
 *
 * A directory may be damaged in one place and whole in another. A bundle or offer that
 * is not what it should be closes one way; the next cheapest is taken, and what was wrong is
 * told only when in the end something was missed for it.
 */
#include "node/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/encoders.h"
#include "node/cmd.h"
#include "node/collect.h"
#include "node/config.h"
#include "node/repo_trust.h"
#include "proto/fit.h"
#include "proto/plan.h"
#include "store/journal.h"
#include "store/turn.h"

#define HERE_MAX (2 * AY_PLAN_TREES_MAX) /* a store keeps a few; more are left out */

/* A release's envelope, owned, and what it says. */
struct known_release {
	struct ay_release release;
	uint8_t *data;
	size_t len;
};

struct work {
	struct ay_store *s;
	const struct ay_config *config; /* NULL: nothing is collected */
	struct ay_repo *repo;
	const char *branch;
	bool force;
	struct ay_apply_limits limits; /* its encoders: those of @asked that are proved here */
	const char *encoders[AY_ENCODERS];
	uint32_t asked; /* the encoders that an offer has named so far, by number */
	const struct ay_root *root;
	struct ay_branch_state state;
	struct ay_head head;
	/* The trees that are here, and those that come: a bundle may start from each of them. */
	struct ay_plan_tree here[HERE_MAX];
	size_t n_here;
	uint32_t reached; /* the serial that is current, or can be made so; 0: none */
	struct ay_turn turn;

	struct known_release releases[AY_PLAN_TREES_MAX]; /* the newest that are above what we have */
	size_t n_releases;
	struct ay_offer *offers;
	bool *closed; /* of each offer: its bundle was tried and is no good */
	size_t n_offers, cap_offers;
	struct ay_err bad; /* the first thing that was not what it should be */
};

static void remember_bad(struct work *w, int code, const struct ay_err *why)
{
	if (w->bad.code == 0)
		ay_err_set(&w->bad, code, "%s", why->msg);
}

/* ---- what the repository knows ---- */

/* Is the release there that the head names? If not, what is below it may still be had. */
static void check_named_release(struct work *w)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_err why = {0};
	char hex[AY_DIGEST_HEX + 1];
	size_t len = 0;
	struct ay_release release;
	int r = ay_repo_get(w->repo, AY_REPO_RELEASE, &w->head.release, AY_ENVELOPE_MAX, &data, &len, &why);
	if (r < 0) {
		remember_bad(w, r, &why);
		return;
	}
	r = ay_trust_release(w->root, w->branch, data, len, &release, &why);
	if (r == 0)
		r = ay_trust_head_names(w->root, &w->head, data, len, &release, &why);
	if (r == 0)
		return;
	ay_err_wrap(&why, r, "%s/releases/%s", ay_repo_path(w->repo), ay_digest_hex(&w->head.release, hex));
	remember_bad(w, r, &why);
}

/* May a way lead through this release? The store would refuse what is below the floor. */
static bool may_pass(const struct work *w, const struct ay_release *rel, const uint8_t *data, size_t len)
{
	if (rel->serial <= w->reached || rel->serial < w->state.floor || rel->serial > w->head.serial)
		return false;
	/* Of two signed releases of one serial the head decides. */
	return rel->serial < w->head.serial ||
	       ay_trust_head_names(w->root, &w->head, data, len, rel, NULL) == 0;
}

/* May it end there? What was rolled back from is only passed through: it never becomes current. */
static bool may_end(const struct work *w, uint32_t serial)
{
	return serial >= w->head.min_serial && (w->force || serial != w->state.bad_serial);
}

/*
 * A place for one more release: that of an older one with the same tree (a publisher who went back), since all ways to
 * it lead here too; else a new one; else, when all are taken, that of the lowest serial. NULL: it is no better than
 * what is there.
 */
static struct known_release *make_place(struct work *w, const struct ay_release *rel)
{
	struct known_release *place = NULL, *lowest = &w->releases[0];
	for (size_t i = 0; i < w->n_releases; i++) {
		struct known_release *k = &w->releases[i];
		if (ay_digest_eq(&k->release.manifest, &rel->manifest))
			place = k;
		if (k->release.serial < lowest->release.serial)
			lowest = k;
	}
	if (!place && w->n_releases < AY_PLAN_TREES_MAX)
		return &w->releases[w->n_releases++];
	place = place ? place : lowest;
	if (place->release.serial >= rel->serial)
		return NULL;
	free(place->data);
	return place;
}

static int add_release(void *ctx, const uint8_t *data, size_t len)
{
	struct work *w = ctx;
	struct known_release k = {.len = len};
	/* Another branch's, or not to be believed: not ours to speak of. */
	if (ay_trust_release(w->root, w->branch, data, len, &k.release, NULL) < 0 ||
	    !may_pass(w, &k.release, data, len))
		return 0;
	k.data = malloc(len);
	if (!k.data)
		return -ENOMEM;
	memcpy(k.data, data, len);
	struct known_release *place = make_place(w, &k.release);
	if (place)
		*place = k;
	else
		free(k.data);
	return 0;
}

static int grow_offers(struct work *w)
{
	if (w->n_offers < w->cap_offers)
		return 0;
	size_t cap = w->cap_offers ? w->cap_offers * 2 : 16;
	struct ay_offer *offers = reallocarray(w->offers, cap, sizeof(*offers));
	if (!offers)
		return -ENOMEM;
	w->offers = offers;
	bool *closed = reallocarray(w->closed, cap, sizeof(*closed));
	if (!closed)
		return -ENOMEM;
	w->closed = closed;
	w->cap_offers = cap;
	return 0;
}

/* Before an offer is judged: can its encoders be had? To prove one takes longer than many an update, so only who is named. */
static void prove_encoders(struct work *w, const struct ay_offer *o)
{
	for (unsigned id = 1; id < AY_ENCODERS; id++) {
		bool named = false;
		for (unsigned i = 0; i < o->n_encoders && !named; i++)
			named = strcmp(o->encoders[i], ay_encoder_name(id)) == 0;
		if (!named || w->asked >> id & 1)
			continue;
		w->asked |= 1u << id;
		if (ay_encoders_proved(1u << id))
			w->encoders[w->limits.n_encoders++] = ay_encoder_name(id);
	}
}

static int add_offer(void *ctx, const uint8_t *data, size_t len)
{
	struct work *w = ctx;
	struct ay_err why = {0};
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1];
	int r = grow_offers(w);
	if (r < 0)
		return r;
	struct ay_offer *o = &w->offers[w->n_offers];
	r = ay_trust_offer(w->root, w->branch, data, len, o, &why);
	if (r == 0)
		prove_encoders(w, o);
	if (r == 0 && ay_offer_fit(&w->limits, o) != AY_FIT) {
		char text[128];
		r = ay_err_set(&why, AY_ELIMIT, "its bundle %s",
			       ay_offer_fit_text(&w->limits, o, text, sizeof(text)));
	}
	if (r == 0) {
		w->closed[w->n_offers++] = false;
		return 0;
	}
	ay_digest_mem(data, len, &d);
	ay_err_wrap(&why, r, "%s/offers/.../%s", ay_repo_path(w->repo), ay_digest_hex(&d, hex));
	remember_bad(w, r, &why);
	return 0;
}

static int gather(struct work *w, struct ay_err *err)
{
	int r = ay_repo_each_release(w->repo, add_release, w, err);
	for (size_t i = 0; r == 0 && i < w->n_releases; i++)
		r = ay_repo_each_offer(w->repo, &w->releases[i].release.manifest, add_offer, w, err);
	return r;
}

/* ---- the way, one bundle at a time ---- */

/* The best way from any of the trees that are here: the highest goal, then the lowest price. */
static bool find_from_here(const struct work *w, const struct ay_plan_input *in, struct ay_plan_way *best)
{
	struct ay_plan_input from = *in;
	struct ay_plan_way way;
	bool found = ay_plan_find(in, best); /* from nothing */
	for (size_t i = 0; i < w->n_here; i++) {
		from.have = w->here[i].manifest;
		from.have_serial = w->here[i].serial;
		if (!ay_plan_find(&from, &way))
			continue;
		uint32_t goal = in->trees[way.goal].serial, so_far = found ? in->trees[best->goal].serial : 0;
		if (goal > so_far || (goal == so_far && way.price < best->price))
			*best = way;
		found = true;
	}
	return found;
}

static int find_way(const struct work *w, bool *found, struct ay_plan_way *way, struct ay_err *err)
{
	struct ay_plan_tree trees[AY_PLAN_TREES_MAX];
	AY_FREE struct ay_plan_edge *edges = calloc(w->n_offers ? w->n_offers : 1, sizeof(*edges));
	if (!edges)
		return ay_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < w->n_releases; i++) {
		const struct ay_release *rel = &w->releases[i].release;
		trees[i] = (struct ay_plan_tree){.manifest = rel->manifest,
						 .serial = rel->serial,
						 .goal = rel->serial > w->reached && may_end(w, rel->serial)};
	}
	for (size_t i = 0; i < w->n_offers; i++)
		edges[i] = (struct ay_plan_edge){.from = w->offers[i].from,
						 .to = w->offers[i].to,
						 .missing_bytes = w->offers[i].bundle_size,
						 .price = w->closed[i] ? 0 : AY_PRICE_SCHOOL};
	const struct ay_plan_input in = {
		.trees = trees, .n_trees = w->n_releases, .edges = edges, .n_edges = w->n_offers};
	*found = find_from_here(w, &in, way);
	return 0;
}

static void add_here(struct work *w, uint32_t serial, const struct ay_digest *manifest)
{
	if (w->n_here < HERE_MAX)
		w->here[w->n_here++] = (struct ay_plan_tree){.manifest = *manifest, .serial = serial};
}

/* Is it the bundle's own fault, so that another way may do? Else it is the machine's, and nothing will. */
static bool blames_bundle(int r)
{
	return r == -ENOENT || r == AY_EFORMAT || r == AY_EVERSION || r == AY_EDIGEST || r == AY_ELIMIT ||
	       r == AY_EUNSUPPORTED || r == AY_EBASE;
}

static int take_step(struct work *w, const struct ay_plan_way *way,
		     int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		     struct ay_imported *out, struct ay_err *err)
{
	const struct known_release *k = &w->releases[way->first_tree];
	const struct ay_offer *offer = &w->offers[way->first_edge];
	struct ay_err why = {0};
	char hex[AY_DIGEST_HEX + 1];
	AY_CLOSE int fd = -1;
	int r = ay_repo_bundle_open(w->repo, &offer->bundle, &fd, &why);
	if (r == 0) {
		const struct ay_apply apply = {.branch = w->branch,
					       .release = k->data,
					       .release_len = k->len,
					       .bundle_fd = fd,
					       .offer = offer,
					       .memory = w->limits.memory,
					       .progress = progress,
					       .ctx = ctx};
		r = ay_apply_with_room(w->s, w->config, &apply, &why);
		if (r < 0)
			ay_err_wrap(&why, r, "%s/bundles/%s", ay_repo_path(w->repo),
				    ay_digest_hex(&offer->bundle, hex));
	}
	if (blames_bundle(r)) {
		w->closed[way->first_edge] = true;
		remember_bad(w, r, &why);
		return 0;
	}
	if (r < 0 && r != AY_ENOTHING)
		return ay_err_set(err, r, "%s", why.msg);
	if (r == 0)
		ay_journal_add(w->s, w->branch, AY_JOURNAL_INSTALLED, k->release.serial, 0,
			       "from a repository", NULL);
	add_here(w, k->release.serial, &k->release.manifest);
	if (may_end(w, k->release.serial))
		w->reached = k->release.serial;
	out->steps++;
	out->bytes += r == AY_ENOTHING ? 0 : offer->bundle_size;
	return 0;
}

static int take_way(struct work *w, int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		    struct ay_imported *out, struct ay_err *err)
{
	struct ay_plan_way way;
	bool found = true;
	int r = 0;
	while (r == 0 && w->reached < w->head.serial && w->n_here < HERE_MAX &&
	       (r = find_way(w, &found, &way, err)) == 0 && found)
		r = take_step(w, &way, progress, ctx, out, err);
	return r;
}

/* The releases of what is here were believed when they came in; today's root may no longer name their keys. */
static int load_here(struct work *w, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n = 0;
	int r = ay_state_branch(w->s, w->branch, &w->state, err);
	if (r == 0)
		r = ay_turn_read(w->s, w->branch, &w->turn, err);
	if (r == 0)
		r = ay_store_trees(w->s, w->branch, &trees, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct ay_tree_info *t =
			&trees[n - 1 - i]; /* the newest first, should there be very many */
		if (i < AY_PLAN_TREES_MAX)
			add_here(w, t->serial, &t->release.manifest);
	}
	w->reached = w->turn.ready > w->turn.current ? w->turn.ready : w->turn.current;
	return r;
}

/* The head's own tree may be here already, after a rollback: then it need only become current. */
static int take_what_is_here(struct work *w, struct ay_err *err)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	size_t n = 0;
	if (!may_end(w, w->head.serial) || w->head.serial < w->state.floor)
		return 0;
	int r = ay_store_trees(w->s, w->branch, &trees, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (trees[i].serial > w->reached && trees[i].serial == w->head.serial &&
		    ay_digest_eq(&trees[i].release_digest, &w->head.release))
			w->reached = trees[i].serial;
	}
	return r;
}

/* ---- why not ---- */

static void check_document(const char *path, const struct ay_digest *named, struct ay_err *bad)
{
	AY_FREE char *data = NULL;
	struct ay_digest got;
	struct stat st;
	size_t len = 0;
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		ay_err_set(bad, AY_EFORMAT, "%s is no regular file", path);
		return;
	}
	if (ay_read_input(path, AY_ENVELOPE_MAX, &data, &len, bad) < 0)
		return;
	ay_digest_mem(data, len, &got);
	if (!ay_digest_eq(named, &got))
		ay_err_set(bad, AY_EDIGEST, "%s is damaged: its bytes are not those that its name says",
			   path);
}

/* A damaged offer is left out by who reads them all; here it is named, because it is why nothing leads on. */
static void blame_offers(struct work *w, const struct ay_digest *to)
{
	char hex[AY_DIGEST_HEX + 1];
	AY_FREE char *dir = NULL;
	if (asprintf(&dir, "%s/offers/%s", ay_repo_path(w->repo), ay_digest_hex(to, hex)) < 0) {
		dir = NULL;
		return;
	}
	AY_CLOSEDIR DIR *d = opendir(dir);
	for (struct dirent *e; d && w->bad.code == 0 && (e = readdir(d));) {
		struct ay_digest named;
		AY_FREE char *path = NULL;
		if (ay_digest_parse(&named, e->d_name, strlen(e->d_name)) < 0)
			continue;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0) {
			path = NULL;
			return;
		}
		check_document(path, &named, &w->bad);
	}
}

/* Nothing was to be had, or not all: which sentence helps most? */
static int say_why_not(struct work *w, uint32_t now, struct ay_err *err)
{
	const char *repo = ay_repo_path(w->repo);
	for (size_t i = 0; w->bad.code == 0 && i < w->n_releases; i++)
		blame_offers(w, &w->releases[i].release.manifest);
	if (w->head.serial <= now)
		return ay_err_set(err, AY_ENOTHING, "%s: release %u is here; %s holds %u, which is not newer",
				  w->branch, now, repo, w->head.serial);
	if (w->turn.stays)
		return ay_err_set(
			err, AY_EROLLBACK,
			"%s: it stays at pinned release %u, and %s holds %u; `ayni unpin %s` lets it move on",
			w->branch, w->turn.current, repo, w->head.serial, w->branch);
	if (w->head.serial < w->state.floor)
		return ay_err_set(
			err, AY_EROLLBACK,
			"%s: %s holds release %u, and %u was installed here before; only `ayni rollback` goes back",
			w->branch, repo, w->head.serial, w->state.floor);
	if (!w->force && w->head.serial == w->state.bad_serial)
		return ay_err_set(
			err, AY_EROLLBACK,
			"%s: release %u was rolled back from and is not taken again by itself; --force takes it",
			w->branch, w->head.serial);
	if (w->bad.code != 0)
		return ay_err_set(err, w->bad.code, "%s: release %u cannot be had: %s", w->branch,
				  w->head.serial, w->bad.msg);
	if (now == 0)
		return ay_err_set(
			err, AY_EBASE,
			"%s: nothing is here, and %s has no bundle that leads from nothing to release %u; "
			"publish with --full, or begin from another copy",
			w->branch, repo, w->head.serial);
	return ay_err_set(err, AY_EBASE,
			  "%s: release %u is here, and %s has no bundles that lead from it to release %u; "
			  "bring a fuller copy of the repository, or publish with --full",
			  w->branch, now, repo, w->head.serial);
}

static int bring(struct work *w, int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		 struct ay_imported *out, struct ay_err *err)
{
	int r = ay_repo_follow_roots(w->s, w->repo, &w->root, err);
	if (r == 0)
		r = load_here(w, err);
	if (r == 0)
		r = ay_repo_take_head(w->s, w->repo, w->root, w->branch, &w->head, &w->state, err);
	if (r < 0)
		return r;
	out->from = out->to = w->reached;
	if (w->turn.stays)
		return say_why_not(w, w->reached, err);
	r = take_what_is_here(w, err);
	if (r == 0 && w->reached < w->head.serial) {
		check_named_release(w);
		r = gather(w, err);
	}
	if (r == 0)
		r = take_way(w, progress, ctx, out, err);
	/* However far we came: that is complete, and newer than what was current. When it becomes so is the owner's setting. */
	if (w->reached > out->from) {
		struct ay_err why = {0};
		int q = ay_turn_ready(w->s, w->branch, w->reached, &why);
		if (q == 0)
			out->to = w->reached;
		else if (r == 0)
			r = ay_err_set(err, q, "%s", why.msg);
	}
	if (r == 0 && (out->to == out->from || out->to < w->head.serial))
		r = say_why_not(w, out->to, err);
	return r;
}

int ay_import(struct ay_store *s, const struct ay_config *config, struct ay_repo *repo, const char *branch,
	      bool force, int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *ctx,
	      struct ay_imported *out, struct ay_err *err)
{
	*out = (struct ay_imported){0};
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		return ay_err_set(err, -ENOMEM, "out of memory");
	w->s = s;
	w->config = config;
	w->repo = repo;
	w->branch = branch;
	w->force = force;
	w->limits = (struct ay_apply_limits){.memory = ay_apply_memory_auto(), .encoders = w->encoders};
	int r = bring(w, progress, ctx, out, err);
	for (size_t i = 0; i < w->n_releases; i++)
		free(w->releases[i].data);
	free(w->offers);
	free(w->closed);
	free(w);
	return r;
}
