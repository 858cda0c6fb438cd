/* SPDX-License-Identifier: MIT */
/*
 * The steps of the story. Each is an ordinary call of the store between two marks; nothing in here knows how the
 * store does it. What is not promised to survive (that something was dropped) stays a "may" for good.
 */
#include "tests/powercut/story_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/bundles.h"
#include "store/state.h"
#include "store/use.h"
#include "tests/powercut/facts.h"
#include "tests/powercut/promise.h"
#include "tests/support/set_branch.h"

void story_phase(struct teller *t, const char *name)
{
	char as[32];

	snprintf(as, sizeof(as), "%s%s", t->as ? t->as : "", name);
	seam_phase(t->m, as);
	usleep((useconds_t)ay_prng_below(&t->r, 3000));
}

void story_say(struct teller *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	AY_ASSERT(n > 0 && (size_t)n < sizeof(text) && write(t->m->marks, text, (size_t)n) == n);
}

static void say_number(struct teller *t, const char *key, const char *branch, uint32_t n)
{
	if (n)
		story_say(t, "must %s:%s %u\n", key, branch, n);
	else
		story_say(t, "must %s:%s -\n", key, branch);
}

int story_now(struct teller *t, const char *branch, struct ay_err *err)
{
	struct ay_branch_state b;
	char turn[VALUE_LEN];
	uint32_t current = 0;
	int r = ay_state_branch(t->s, branch, &b, err);

	if (r == 0 && (r = ay_store_current(t->s, branch, &current, err)) == AY_ENOTHING)
		r = 0;
	if (r < 0)
		return r;
	facts_turn(&b, turn);
	story_say(t, "must state:%s %s\n", branch, turn);
	say_number(t, "bad", branch, b.bad_serial);
	say_number(t, "floor", branch, b.floor);
	say_number(t, "current", branch, current);
	return 0;
}

void story_store_path(const char *mounted, char *out, size_t len)
{
	snprintf(out, len, "%s/var/lib/store", mounted);
}

/* ---- beginnings ---- */

int story_open(struct teller *t, int flags, struct ay_err *err)
{
	int r = ay_store_open(&t->m->fs, t->path, flags, &t->s, err);

	if (r == 0)
		ay_store_set_threads(t->s, t->manner->threads);
	return r;
}

static int follow(struct teller *t, const char *branch, struct ay_err *err)
{
	struct ay_branch_state b = {.follow = true};

	snprintf(b.branch, sizeof(b.branch), "%s", branch);
	story_phase(t, "state");
	story_say(t, "may follow:%s 1\n", branch);
	int r = set_branch(t->s, &b, err);
	if (r == 0)
		story_say(t, "must follow:%s 1\n", branch);
	return r;
}

static int install_id(struct teller *t, struct ay_err *err)
{
	uint8_t id[16];
	char hex[33];

	story_phase(t, "id");
	story_say(t, "may id *\n");
	int r = ay_state_install_id(t->s, id, err);
	for (unsigned i = 0; i < 16 && r == 0; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	if (r == 0)
		story_say(t, "must id %s\n", hex);
	return r;
}

static int begin(struct teller *t, struct ay_err *err)
{
	story_phase(t, "init");
	story_say(t, "may store there\n");
	int r = story_open(t, AY_STORE_CREATE, err);
	if (r < 0)
		return r;
	story_say(t, "must store there\n");
	story_phase(t, "root");
	story_say(t, "may root 1\n");
	if ((r = ay_state_add_root(t->s, t->w->k.root.data, t->w->k.root.len, err)) < 0)
		return r;
	story_say(t, "must root 1\n");
	r = story_step(t, "killed-id:fsync:state", install_id, err);
	return r < 0 ? r : follow(t, "b", err);
}

static int second_root(struct teller *t, struct ay_err *err)
{
	story_phase(t, "root");
	story_say(t, "may root 2\n");
	int r = ay_state_add_root(t->s, t->w->root2.data, t->w->root2.len, err);
	if (r == AY_ENOTHING && t->as)
		r = 0;
	if (r == 0)
		story_say(t, "must root 2\n");
	return r;
}

static int set_head(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)err;
	b->has_head = true;
	memcpy(b->head, ctx, sizeof(b->head));
	return 0;
}

static int head(struct teller *t, uint32_t serial, struct ay_err *err)
{
	uint8_t bytes[AY_HEAD_SIZE];

	memcpy(bytes, t->w->heads[serial - 1], sizeof(bytes));
	story_phase(t, "state");
	story_say(t, "may head:b %u\n", serial);
	int r = ay_state_change_branch(t->s, "b", set_head, bytes, err);
	if (r == 0)
		story_say(t, "must head:b %u\n", serial);
	return r;
}

static int docs(struct teller *t, uint32_t serial, struct ay_err *err)
{
	const struct world *w = t->w;
	const unsigned i = serial - 1;

	story_phase(t, "doc");
	story_say(t, "may release:%u there\nmay offer:%s there\n", serial, w->blobs[i].name);
	int r = ay_state_put_doc(t->s, AY_DOC_RELEASE, w->b[i].release.data, w->b[i].release.len, err);
	if (r < 0)
		return r;
	story_say(t, "must release:%u there\n", serial);
	if ((r = ay_state_put_doc(t->s, AY_DOC_OFFER, w->offers[i].data, w->offers[i].len, err)) == 0)
		story_say(t, "must offer:%s there\n", w->blobs[i].name);
	return r;
}

/* ---- collecting ---- */

static int sync_and_say(struct teller *t, struct ay_bundle_file *f, const struct blob *b, struct ay_err *err)
{
	char bits[VALUE_LEN];
	int r = ay_bundle_file_sync(f, err);

	if (r < 0)
		return r;
	facts_bits(ay_bundle_file_bitmap(f), ay_blocks_of(b->size), bits);
	story_say(t, "had bundle:%s %s\n", b->name, bits);
	return 0;
}

/* Up to @blocks more of them, in no order; each 64 KiB may be followed by a sync. */
static int collect_some(struct teller *t, struct ay_bundle_file *f, const struct blob *b, uint64_t blocks,
			struct ay_err *err)
{
	int r = 0;

	for (unsigned level = ay_merkle_levels(b->merkle); level-- > 0;)
		for (uint64_t i = 0; r == 0 && i < ay_merkle_width(b->merkle, level); i++)
			r = ay_bundle_file_add_hashes(f, level, i, ay_merkle_get(b->merkle, level, i), err);
	uint64_t all = ay_blocks_of(b->size), at = ay_prng_below(&t->r, all);
	for (uint64_t n = 0; r == 0 && n < all && blocks > 0; n++, at = (at + 7) % all) {
		if (ay_bundle_file_has(f, at))
			continue;
		r = ay_bundle_file_write(f, at, b->data + at * AY_BLOCK_SIZE, ay_block_len(b->size, at), err);
		blocks--;
		if (r == 0 && ay_prng_below(&t->r, 3) == 0)
			r = sync_and_say(t, f, b, err);
	}
	return r;
}

/* Seven has no common factor with these numbers of blocks, so that all are come by. */
static int collect(struct teller *t, int which, uint64_t blocks, bool finish, struct ay_err *err)
{
	const struct blob *b = &t->w->blobs[which];
	struct ay_bundle_file *f = NULL;

	AY_ASSERT(ay_blocks_of(b->size) % 7 != 0 && ay_blocks_of(b->size) < VALUE_LEN);
	story_phase(t, "collect");
	char none[VALUE_LEN] = "";
	memset(none, '0', ay_blocks_of(b->size));
	story_say(t, "may bundle:%s %s\n", b->name, none);
	int r = ay_bundle_file_open(t->s, &b->digest, b->size, true, &f, err);
	if (r == 0)
		r = collect_some(t, f, b, finish ? UINT64_MAX : blocks, err);
	if (r == 0 && !finish)
		r = sync_and_say(t, f, b, err);
	if (r == 0 && finish) {
		story_phase(t, "finish");
		if ((r = ay_bundle_file_finish(f, err)) == 0)
			story_say(t, "must bundle:%s whole\n", b->name);
	}
	ay_bundle_file_close(f);
	return r;
}

static int drop(struct teller *t, int which, struct ay_err *err)
{
	const struct blob *b = &t->w->blobs[which];

	story_phase(t, "drop");
	story_say(t, "may bundle:%s -\n", b->name);
	return ay_bundles_drop(t->s, &b->digest, err);
}

/* ---- trees ---- */

/* A symbolic link that is as it was in the serial before is linked from there. */
static bool is_linked(const struct teller *t, uint32_t serial, const char *link)
{
	char path[400];
	struct stat st;

	snprintf(path, sizeof(path), "%s/branches/b/%u/root/%s", t->path, serial, link);
	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && st.st_nlink > 1;
}

static int apply(struct teller *t, uint32_t serial, int which, struct ay_err *err)
{
	const struct blob *b = &t->w->blobs[which];

	story_phase(t, "apply");
	story_say(t, "may tree:b:%u there\n", serial);
	int r = kit_apply(t->s, "b", &t->w->b[serial - 1], b->fd, &b->offer, err);
	if (r == AY_ENOTHING && t->as)
		r = 0;
	if (r < 0)
		return r;
	story_say(t, "must tree:b:%u there\n", serial);
	/* A story without such links would not tell what it says. */
	if (serial > 1 && (!is_linked(t, serial, "same") || !is_linked(t, serial, "bin/same")))
		return ay_err_set(err, AY_ESTORE, "a symbolic link of serial %u was made anew", serial);
	return 0;
}

static int import(struct teller *t, uint32_t serial, struct ay_err *err)
{
	struct kit k = t->w->k;

	story_phase(t, "import");
	story_say(t, "may tree:c:%u there\n", serial);
	int r = kit_import(&k, t->s, "c", &t->w->c[serial - 1], err);
	if (r == 0)
		story_say(t, "must tree:c:%u there\n", serial);
	return r;
}

static int switch_to(struct teller *t, const char *branch, uint32_t serial, struct ay_err *err)
{
	story_phase(t, "switch");
	story_say(t, "may state:%s *\nmay floor:%s %u\nmay bad:%s -\nmay current:%s %u\n", branch, branch,
		  serial, branch, branch, serial);
	int r = ay_store_switch(t->s, branch, serial, false, err);
	if (r == 0)
		story_say(t, "must floor:%s %u\nmust bad:%s -\nmust current:%s %u\n", branch, serial, branch,
			  branch, serial);
	return r == 0 ? story_now(t, branch, err) : r;
}

static int roll_back(struct teller *t, uint32_t from, uint32_t to, struct ay_err *err)
{
	uint32_t got;

	story_phase(t, "rollback");
	story_say(t, "may state:b *\nmay bad:b %u\nmay current:b %u\n", from, to);
	int r = ay_store_rollback(t->s, "b", to, &got, err);
	if (r == 0)
		story_say(t, "must bad:b %u\nmust current:b %u\n", from, to);
	return r == 0 ? story_now(t, "b", err) : r;
}

static int remove_tree(struct teller *t, const char *branch, uint32_t serial, struct ay_err *err)
{
	struct ay_use use = AY_USE_NONE;

	/* While somebody uses it, it is only moved aside; whoever opens the store next deletes it. */
	story_phase(t, "remove");
	int r = ay_prng_below(&t->r, 2) ? ay_store_use(t->s, branch, serial, &use, err) : 0;
	story_say(t, "may tree:%s:%u -\n", branch, serial);
	if (r == 0)
		r = ay_store_remove_tree(t->s, branch, serial, err);
	if (r == 0)
		story_say(t, "must tree:%s:%u -\n", branch, serial);
	ay_use_release(&use);
	return r;
}

/* Serial 1 goes; which bundles and offers still lead somewhere is gc's to say. */
static int collect_garbage(struct teller *t, struct ay_err *err)
{
	struct ay_gc_result res;

	story_phase(t, "gc");
	story_say(t, "may tree:b:1 -\n");
	for (unsigned i = 0; i < 3; i++)
		story_say(t, "may bundle:%s -\nmay offer:%s -\n", t->w->blobs[i].name, t->w->blobs[i].name);
	int r = ay_store_gc(t->s, 0, &res, err);
	if (r == 0)
		story_say(t, "must tree:b:1 -\n");
	return r;
}

/* The process ends and another begins. */
static int reopen(struct teller *t, struct ay_err *err)
{
	story_phase(t, "open");
	ay_store_close(t->s);
	t->s = NULL;
	return story_open(t, 0, err);
}

/* ---- steps that somebody else may do first ---- */

static int switch_2(struct teller *t, struct ay_err *err)
{
	return switch_to(t, "b", 2, err);
}

static int docs_3(struct teller *t, struct ay_err *err)
{
	return docs(t, 3, err);
}

static int apply_3(struct teller *t, struct ay_err *err)
{
	return apply(t, 3, BLOB_3, err);
}

/* ---- the story ---- */

static int first_half(struct teller *t, struct ay_err *err)
{
	int r = begin(t, err);

	if (r == 0)
		r = docs(t, 1, err);
	if (r == 0)
		r = collect(t, BLOB_1, 1, false, err);
	if (r == 0)
		r = head(t, 1, err);
	if (r == 0)
		r = collect(t, BLOB_1, 0, true, err);
	if (r == 0)
		r = apply(t, 1, BLOB_1, err);
	if (r == 0)
		r = switch_to(t, "b", 1, err);
	if (r == 0)
		r = collect(t, BLOB_LONG, 3 + ay_prng_below(&t->r, 3), false, err);
	if (r == 0)
		r = docs(t, 2, err);
	if (r == 0)
		r = head(t, 2, err);
	if (r == 0)
		r = collect(t, BLOB_2, 0, true, err);
	if (r == 0)
		r = reopen(t, err);
	if (r == 0)
		r = apply(t, 2, BLOB_2, err);
	if (r == 0)
		r = switch_to(t, "b", 2, err);
	return r;
}

static int second_half(struct teller *t, struct ay_err *err)
{
	int r = follow(t, "c", err);

	if (r == 0)
		r = import(t, 1, err);
	if (r == 0)
		r = switch_to(t, "c", 1, err);
	if (r == 0)
		r = roll_back(t, 2, 1, err);
	if (r == 0)
		r = import(t, 2, err);
	if (r == 0)
		r = story_step(t, "killed-root:fsync:roots", second_root, err);
	if (r == 0)
		r = collect(t, BLOB_LONG, 3, false, err);
	if (r == 0)
		r = story_on_trial(t, 2, true, 1, err);
	if (r == 0)
		r = story_step(t, "killed-switch:fsync:branches/b", switch_2, err);
	if (r == 0)
		r = story_adopt(t, err);
	if (r == 0)
		r = remove_tree(t, "c", 2, err);
	if (r == 0)
		r = story_step(t, "killed-doc:fsync:releases", docs_3, err);
	if (r == 0)
		r = head(t, 3, err);
	if (r == 0)
		r = collect(t, BLOB_3, 1, false, err);
	if (r == 0)
		r = reopen(t, err);
	if (r == 0)
		r = collect(t, BLOB_3, 0, true, err);
	if (r == 0)
		r = story_step(t, "killed-apply:fsync:tmp/staging-*", apply_3, err);
	if (r == 0)
		r = story_on_trial(t, 3, false, 0, err);
	if (r == 0)
		r = collect_garbage(t, err);
	if (r == 0)
		r = story_heal(t, err);
	if (r == 0)
		r = story_leave(t, err);
	if (r == 0)
		r = story_make_room(t, err);
	if (r == 0)
		r = collect(t, BLOB_LONG, 0, true, err);
	if (r == 0)
		r = drop(t, BLOB_LONG, err);
	story_phase(t, "end");
	return r;
}

int story_tell(const struct world *w, const char *mounted, const struct manner *manner, struct seam *m,
	       uint64_t seed, struct ay_err *err)
{
	struct teller t = {.w = w, .m = m, .manner = manner, .mounted = mounted};

	ay_prng_init(&t.r, seed);
	story_store_path(mounted, t.path, sizeof(t.path));
	int r = first_half(&t, err);
	if (r == 0)
		r = second_half(&t, err);
	ay_store_close(t.s);
	return r < 0 ? ay_err_wrap(err, r, "%s", m->phase) : 0;
}
