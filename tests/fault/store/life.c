/* SPDX-License-Identifier: MIT */
/* A store's life: the steps, and the drawing of a life from a seed. See the header; the publisher is in life_world.c. */
#include "tests/fault/store/life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "store/adopt.h"
#include "store/bundles.h"
#include "store/dedupe.h"
#include "store/fsck.h"
#include "store/hash_pool.h"
#include "store/store_internal.h"
#include "store/turn.h"
#include "store/use.h"
#include "tests/support/same_everywhere.h"

const char *const life_branch[LIFE_BRANCHES] = {"b", "c/x"};
const char *const op_names[OPS] = {
	"make",     "root",    "import", "apply",       "switch", "trial",  "try",  "confirm",     "fail",
	"ready",    "pin",     "unpin",  "rollback",    "gc",     "remove", "head", "follow",      "doc",
	"drop-doc", "collect", "finish", "drop-bundle", "id",     "adopt",  "heal", "remove-used", "dedupe"};

/* ---- the steps ---- */

int life_open(const struct life *l, const char *dir, struct ay_fs *fs, struct ay_store **s,
	      struct ay_err *err)
{
	char path[300];
	const struct ay_root *root;
	uint32_t serial;
	int flags = AY_STORE_CREATE | (geteuid() ? AY_STORE_OWNER_ME : 0);

	snprintf(path, sizeof(path), "%s/lib/store", dir);
	int r = ay_store_open(fs, path, flags, s, err);
	if (r < 0)
		return r;
	r = ay_state_root(*s, &root, err);
	if (r == -ENOENT)
		r = ay_state_add_root(*s, l->w->k.root.data, l->w->k.root.len, err);
	for (unsigned b = 0; r == 0 && !l->starts_only_open && b < LIFE_BRANCHES; b++)
		r = ay_store_finish_switch(*s, life_branch[b], &serial, err);
	if (r < 0) {
		ay_store_close(*s);
		*s = NULL;
	}
	return r;
}

void life_doc(enum ay_doc_kind kind, uint32_t i, char out[64])
{
	snprintf(out, 64, "document %u of kind %d, believed by who reads it", i, kind);
}

static int collect(const struct world *w, struct ay_store *s, unsigned i, uint32_t blocks, bool finish,
		   struct ay_err *err)
{
	const struct ay_merkle *m = w->source[i].merkle;
	const uint8_t *data = w->source[i].data;
	uint64_t size = w->source[i].size;
	struct ay_bundle_file *f = NULL;
	int r = ay_bundle_file_open(s, &w->source[i].digest, size, true, &f, err);

	for (unsigned level = ay_merkle_levels(m); r == 0 && level-- > 0;)
		for (uint64_t k = 0; r == 0 && k < ay_merkle_width(m, level); k++)
			r = ay_bundle_file_add_hashes(f, level, k, ay_merkle_get(m, level, k), err);
	for (uint64_t k = 0; r == 0 && k < blocks && k < ay_blocks_of(size); k++)
		r = ay_bundle_file_write(f, k, data + k * AY_BLOCK_SIZE, ay_block_len(size, k), err);
	if (r == 0)
		r = finish ? ay_bundle_file_finish(f, err) : ay_bundle_file_sync(f, err);
	ay_bundle_file_close(f);
	return r;
}

static int set_follow(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)ctx, (void)err;
	bool had = b->follow;
	b->follow = true;
	return had;
}

static int set_head(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)err;
	b->has_head = true;
	memcpy(b->head, ctx, AY_HEAD_SIZE);
	return 0;
}

static int do_doc(struct ay_store *s, const struct step *step, struct ay_err *err)
{
	struct ay_digest d;
	char text[64];

	life_doc(step->b, step->serial, text);
	if (step->op == OP_DOC)
		return ay_state_put_doc(s, step->b, text, strlen(text), err);
	ay_digest_mem(text, strlen(text), &d);
	return ay_state_drop_doc(s, step->b, &d, err);
}

static int do_tree(const struct world *w, struct ay_store *s, const struct step *step, struct ay_err *err)
{
	const char *branch = life_branch[step->b];
	const struct kit_tree *t = &w->tree[step->b][step->serial];
	struct kit k = w->k;

	if (step->op == OP_IMPORT)
		return kit_import(&k, s, branch, t, err);
	/* As a laptop chooses its way: from the tree before, if it is here. */
	int tree = -1;
	bool has = step->serial > 1 && ay_store_open_tree(s, branch, step->serial - 1, &tree, NULL) == 0;
	if (tree >= 0)
		close(tree);
	return kit_apply(s, branch, t, w->bundle[step->serial][has], &w->offer[step->serial][has], err);
}

/* The published directory is on the laptop already. */
static int do_adopt(const struct world *w, struct ay_store *s, const struct step *step, struct ay_err *err)
{
	const struct kit_tree *t = &w->tree[step->b][step->serial];
	struct ay_adopted out;
	AY_CLOSE int dir = openat(w->k.fd, t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSE int manifest = memfd_create("manifest", MFD_CLOEXEC);
	const struct ay_adopt a = {.branch = life_branch[step->b],
				   .dirfd = dir,
				   .dir = t->dir,
				   .threads = AY__HASH_INLINE}; /* calls are counted: one after the other */

	if (write(manifest, t->manifest.data, t->manifest.len) != (ssize_t)t->manifest.len)
		crash_die("memfd");
	return ay_store_adopt_match(s, &a, t->release.data, t->release.len, manifest, &out, err);
}

/* The name of the first object that trees link, below objects/. */
static bool first_object(struct ay_store *s, char out[300])
{
	out[0] = '\0';
	for (unsigned b = 0; b < 256; b++) {
		char bucket[8];
		struct dirent *e;
		struct stat st;
		snprintf(bucket, sizeof(bucket), "%02x", b);
		int fd = ay__open_beneath(s->objects, bucket, O_RDONLY | O_DIRECTORY);
		AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
		while (d && (e = readdir(d))) {
			char name[300];
			snprintf(name, sizeof(name), "%s/%s", bucket, e->d_name);
			if (e->d_name[0] != '.' && fstatat(s->objects, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    st.st_nlink > 1 && (!out[0] || strcmp(name, out) < 0))
				memcpy(out, name, sizeof(name));
		}
		if (out[0])
			return true;
	}
	return false;
}

static int do_heal(struct ay_store *s, struct ay_err *err)
{
	const struct ay_fsck how = {.heal = true, .threads = 1};
	struct ay_fsck_result res;
	char name[300];

	if (first_object(s, name)) {
		int r = s->fs->ops->unlink(s->fs, s->objects, name, 0);
		if (r == 0) /* it was lost long ago */
			r = s->fs->ops->syncfs(s->fs, s->dir);
		if (r < 0)
			return ay_err_errno(err, -r, "lose object %s", name);
	}
	int r = ay_store_fsck(s, &how, &res, err);
	return r == 0 && res.left > 0
		       ? ay_err_set(err, AY_ESTORE, "%llu are not healed", (unsigned long long)res.left)
		       : r;
}

static int do_remove_used(struct ay_store *s, const struct step *step, struct ay_err *err)
{
	struct ay_use use = AY_USE_NONE;
	struct ay_gc_result res;
	int r = ay_store_use(s, life_branch[step->b], step->serial, &use, err);

	if (r == -ENOENT) /* an earlier try came so far */
		return ay_store_gc(s, LIFE_SERIALS, NULL, err);
	if (r < 0)
		return r;
	r = ay_store_remove_tree(s, life_branch[step->b], step->serial, err);
	struct stat st;
	if (r == 0 && fstatat(use.tree, "root/kept", &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = ay_err_set(err, AY_ESTORE, "a tree that is in use lost its files");
	ay_use_release(&use);
	if (r == 0 && (r = ay_store_gc(s, LIFE_SERIALS, &res, err)) == 0 && res.in_use)
		r = ay_err_set(err, AY_ESTORE, "a tree that was in use is kept");
	return r;
}

void life_home(unsigned i, char name[32], char *out, size_t size)
{
	snprintf(name, 32, "home/%s/f%u", i % 2 ? "a" : "b", i / 2);
	for (size_t k = 0; k < size; k++)
		out[k] = (char)('a' + (k / 7 + i / 2) % 26);
	if (i == 0 && size > 0) /* the only one without its like */
		out[0] = '#';
}

static int do_dedupe(const char *disk, struct ay_store *s, struct ay_err *err)
{
	char a[300], b[300];
	const char *const dirs[] = {a, b};
	const struct ay_dedupe how = {
		.dirs = dirs, .n_dirs = 2, .read_only = true, .threads = AY__HASH_INLINE};
	struct ay_deduped out;

	snprintf(a, sizeof(a), "%.200s/home/a", disk);
	snprintf(b, sizeof(b), "%.200s/home/b", disk);
	return ay_dedupe(s->fs, &how, &out, err);
}

static int do_turn(struct ay_store *s, const struct step *step, struct ay_err *err)
{
	const char *branch = life_branch[step->b];
	uint32_t a, b;

	switch (step->op) {
	case OP_SWITCH:
		return ay_store_switch(s, branch, step->serial, false, err);
	case OP_TRIAL:
		return ay_turn_trial(s, branch, step->serial, 3, err);
	case OP_TRY:
		return ay_turn_try(s, branch, &a, err);
	case OP_CONFIRM:
		return ay_turn_confirm(s, branch, &a, err);
	case OP_FAIL:
		return ay_turn_fail(s, branch, &a, &b, err);
	case OP_READY:
		return ay_turn_ready(s, branch, step->serial, err);
	case OP_PIN:
		return ay_turn_pin(s, branch, step->serial, step->serial % 2, err);
	case OP_UNPIN:
		return ay_turn_unpin(s, branch, 0, err);
	default:
		return ay_store_rollback(s, branch, step->serial, &a, err);
	}
}

int life_step(const struct world *w, struct ay_store *s, const struct step *step, struct ay_err *err)
{
	char disk[256];
	uint8_t id[16];
	int r;

	memset(err, 0, sizeof(*err));
	switch (step->op) {
	case OP_MAKE:
		return 0; /* opening did it */
	case OP_ROOT:
		return ay_state_add_root(s, w->root2.data, w->root2.len, err);
	case OP_IMPORT:
	case OP_APPLY:
		return do_tree(w, s, step, err);
	case OP_GC:
		return ay_store_gc(s, step->serial, NULL, err);
	case OP_REMOVE:
		return ay_store_remove_tree(s, life_branch[step->b], step->serial, err);
	case OP_HEAD:
		return ay_state_change_branch(s, life_branch[step->b], set_head,
					      (void *)(uintptr_t)w->head[step->b][step->serial], err);
	case OP_FOLLOW:
		return ay_state_change_branch(s, life_branch[step->b], set_follow, NULL, err);
	case OP_DOC:
	case OP_DROP_DOC:
		return do_doc(s, step, err);
	case OP_COLLECT:
		return collect(w, s, step->b, step->serial, false, err);
	case OP_FINISH:
		return collect(w, s, step->b, UINT32_MAX, true, err);
	case OP_DROP_BUNDLE:
		return ay_bundles_drop(s, &w->source[step->b].digest, err);
	case OP_ID:
		r = ay_state_install_id(s, id, err);
		return r;
	case OP_ADOPT:
		return do_adopt(w, s, step, err);
	case OP_HEAL:
		return do_heal(s, err);
	case OP_REMOVE_USED:
		return do_remove_used(s, step, err);
	case OP_DEDUPE:
		snprintf(disk, sizeof(disk), "%.200s", ay_store_path(s));
		if (strlen(disk) > strlen("/lib/store"))
			disk[strlen(disk) - strlen("/lib/store")] = '\0';
		return do_dedupe(disk, s, err);
	default:
		return do_turn(s, step, err);
	}
}

bool life_nothing_wrong(const struct step *step, int r)
{
	return r == AY_ENOTHING || (r == AY_EBUSY && (step->op == OP_REMOVE || step->op == OP_REMOVE_USED)) ||
	       (r == -ENOENT && step->op == OP_FAIL);
}

/* ---- drawing a life ---- */

static uint32_t highest(uint32_t bits)
{
	return bits ? 31 - (uint32_t)__builtin_clz(bits) : 0;
}

/* One of the serials in @bits, or 0. */
static uint32_t any_of(struct ay_prng *r, uint32_t bits)
{
	uint32_t n = (uint32_t)__builtin_popcount(bits);

	if (n == 0)
		return 0;
	for (uint64_t skip = ay_prng_below(r, n); skip > 0; skip--)
		bits &= bits - 1;
	return (uint32_t)__builtin_ctz(bits);
}

static uint32_t from(uint32_t serial)
{
	return ~((1u << serial) - 1);
}

/* Is this step possible now? Fills in what it is about. */
static bool draw_tree_step(struct step *s, const struct branch_facts *b, struct ay_prng *r)
{
	uint32_t next = highest(b->trees) + 1, floor = b->state.floor;

	if (next < floor)
		next = floor;
	switch (s->op) {
	case OP_IMPORT:
	case OP_APPLY:
	case OP_ADOPT:
		s->serial = next;
		return next <= LIFE_SERIALS && (s->op != OP_APPLY || s->b == 0);
	case OP_SWITCH:
	case OP_TRIAL:
	case OP_READY:
		s->serial = any_of(r, b->trees & from(floor));
		return s->serial > b->current || (s->serial > 0 && s->op == OP_SWITCH);
	case OP_TRY:
		return b->current && b->state.unconfirmed == b->current && b->state.tries > 0;
	case OP_CONFIRM:
	case OP_FAIL:
		return b->current && b->state.unconfirmed == b->current &&
		       (s->op == OP_CONFIRM || (b->trees & ~from(b->current)));
	case OP_PIN:
		s->serial = any_of(r, b->trees);
		return s->serial && b->state.pinned.n + b->state.kept.n == 0;
	case OP_UNPIN:
		return b->state.pinned.n + b->state.kept.n > 0;
	case OP_ROLLBACK:
		s->serial = b->current ? any_of(r, b->trees & ~from(b->current)) : 0;
		return s->serial > 0;
	default: /* remove */
		s->serial = any_of(r, b->trees & ~(1u << b->current));
		return s->serial > 0;
	}
}

static bool draw_other_step(struct step *s, const struct facts *f, struct ay_prng *r)
{
	switch (s->op) {
	case OP_MAKE:
		return false;
	case OP_ROOT:
		return f->root == 1;
	case OP_GC:
		s->serial = (uint32_t)ay_prng_below(r, 3);
		return f->b[0].trees || f->b[1].trees;
	case OP_HEAD:
		s->serial = f->b[s->b].head + 1;
		return s->serial <= LIFE_SERIALS;
	case OP_FOLLOW:
		return !f->b[s->b].state.follow;
	case OP_DOC:
	case OP_DROP_DOC:
		s->serial = (uint32_t)ay_prng_below(r, LIFE_DOCS);
		return f->doc[s->b][s->serial] == (s->op == OP_DROP_DOC);
	case OP_COLLECT:
		s->serial = highest((uint32_t)f->bundle[s->b].had) + 1 + (uint32_t)ay_prng_below(r, 6);
		return !f->bundle[s->b].whole;
	case OP_FINISH:
		return !f->bundle[s->b].whole;
	case OP_DROP_BUNDLE:
		return f->bundle[s->b].there;
	case OP_ID:
		return !f->has_id;
	case OP_HEAL:
		return f->b[0].trees || f->b[1].trees;
	case OP_DEDUPE:
		return true;
	default:
		return draw_tree_step(s, &f->b[s->b], r);
	}
}

static void draw_step(struct step *s, const struct facts *f, bool turns, struct ay_prng *r)
{
	do {
		s->op = (enum op)ay_prng_below(r, OPS);
		/* Making trees and moving between them is what stores do most. */
		if (ay_prng_below(r, 3) == 0)
			s->op = OP_IMPORT + (enum op)ay_prng_below(r, 4);
		if (turns && ay_prng_below(r, 3) > 0)
			s->op = OP_SWITCH + (enum op)ay_prng_below(r, OP_GC - OP_SWITCH);
		if (turns && ay_prng_below(r, 4) == 0) /* rarely possible, so often tried */
			s->op = OP_FAIL;
		s->b = (unsigned)ay_prng_below(r, 2);
		s->serial = 0;
	} while (!draw_other_step(s, f, r));
}

/* ---- living it ---- */

struct mishap {
	enum { NOTHING, KILL_AT_CALL, KILL_AT_SYNC, SYNC_FAILS } kind;
	uint32_t n; /* after so many calls, or at the nth sync */
};

static struct mishap draw_mishap(const struct life_options *o, const struct step *step, struct ay_prng *r)
{
	struct mishap m = {.kind = NOTHING};

	if (o->mishaps && ay_prng_below(r, o->mishaps) == 0)
		m.kind = KILL_AT_CALL + (int)ay_prng_below(r, 3);
	m.n = 1 + (uint32_t)ay_prng_below(r, m.kind == KILL_AT_SYNC                         ? 6
					     : step->op <= OP_APPLY || step->op == OP_ADOPT ? 80
					     : step->op >= OP_HEAL                          ? 30
											    : 12);
	return m;
}

static void clear_mishap(struct life *l)
{
	l->c.dead = l->c.failed = false;
	l->c.kill_at = l->c.kill_at_sync = l->c.fail_at = 0;
}

/* Until it has succeeded. */
static bool live_step(struct life *l, struct ay_store **s, const struct step *step, const struct mishap *m,
		      struct verdict *v)
{
	struct ay_err err = {0};

	l->c.kill_at = m->kind == KILL_AT_CALL ? l->c.calls + m->n : 0;
	l->c.kill_at_sync = m->kind == KILL_AT_SYNC ? m->n : 0;
	l->c.fail_at = m->kind == SYNC_FAILS ? l->c.calls + m->n : 0;
	l->c.names_too = m->n % 2;
	for (int tries = 0; tries < 3; tries++) {
		int r = 0;
		if (!*s) {
			fs_crash_label(&l->c, "open");
			r = life_open(l, l->disk.dir, &l->c.fs, s, &err);
		}
		if (r == 0) {
			fs_crash_label(&l->c, op_names[step->op]);
			r = life_step(l->w, *s, step, &err);
		}
		if (!l->c.dead && (r == 0 || life_nothing_wrong(step, r))) {
			clear_mishap(l);
			return true;
		}
		bool met = l->c.dead || l->c.failed;
		l->kills += l->c.dead;
		l->failures += l->c.failed;
		l->sync_failed[l->n] |= l->c.failed;
		if (l->c.dead || m->n % 2) { /* the process ended, or tries again by itself */
			ay_store_close(*s);
			*s = NULL;
		}
		clear_mishap(l);
		if (!met)
			return NOT(v, "%s %u %u: %d %s", op_names[step->op], step->b, step->serial, r,
				   err.msg);
	}
	return NOT(v, "%s %u %u: never done", op_names[step->op], step->b, step->serial);
}

static bool live(struct life *l, const struct life_options *o, struct verdict *v)
{
	struct ay_store *s = NULL;
	struct ay_prng r;
	bool ok = true;

	ay_prng_init(&r, o->seed);
	while (ok && l->n < o->steps && l->n < LIFE_STEPS) {
		struct step *step = &l->step[l->n];
		if (o->script) {
			*step = o->script[l->n];
			if (step->op == OPS)
				break;
		} else if (l->n > 0) {
			draw_step(step, &l->behind[l->n - 1], o->turns, &r);
		}
		struct mishap m = draw_mishap(o, step, &r);
		if (o->kill_call && l->n == o->kill_step)
			m = (struct mishap){KILL_AT_CALL, o->kill_call};
		if (s && ay_prng_below(&r, 4) == 0) { /* a new process */
			ay_store_close(s);
			s = NULL;
		}
		ok = live_step(l, &s, step, &m, v) && life_look(l->w, l->disk.dir, &l->behind[l->n], v);
		l->end[l->n] = l->c.calls;
		l->n += ok;
	}
	ay_store_close(s);
	return ok;
}

static void make_homes(struct kit *k)
{
	static const char *const dirs[] = {"disk/home", "disk/home/a", "disk/home/b"};

	for (int i = 0; i < 3; i++)
		kit_mkdir(k, dirs[i], 0755);
	for (unsigned i = 0; i < LIFE_HOMES; i++) {
		char name[32], path[64], content[5000];
		life_home(i, name, content, sizeof(content));
		snprintf(path, sizeof(path), "disk/%s", name);
		kit_write(k, path, content, sizeof(content), 0644, 1700000000);
	}
}

bool life_tell(struct life *l, const struct world *w, const struct life_options *o, struct verdict *v)
{
	memset(l, 0, sizeof(*l));
	same_everywhere(o->seed);
	l->w = w;
	l->disk = w->k;
	snprintf(l->disk.dir, sizeof(l->disk.dir), "%.200s/disk", w->k.dir);
	struct kit k = w->k;
	kit_rm(&k, "disk");
	kit_mkdir(&k, "disk", 0755);
	make_homes(&k);
	fs_crash_init(&l->c, l->disk.dir);
	l->starts_only_open = o->starts_only_open;
	l->c.sites = o->sites;
	l->c.mutant = o->mutant;
	l->c.mutation = o->mutation;
	l->c.links_max = o->links_max;
	return live(l, o, v);
}

void life_story(const struct life *l)
{
	for (unsigned i = 0; i < l->n; i++)
		fprintf(stderr, "  %u %s %u %u, done at call %u\n", i, op_names[l->step[i].op], l->step[i].b,
			l->step[i].serial, l->end[i]);
}

void life_release(struct life *l)
{
	struct kit k = l->w->k;

	fs_crash_release(&l->c);
	kit_rm(&k, "disk");
}
