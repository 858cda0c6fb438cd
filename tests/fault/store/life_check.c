/* SPDX-License-Identifier: MIT */
/* What a store says of itself, and what must hold after a power cut. See life.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "manifest/head.h"
#include "store/bundles.h"
#include "store/scan.h"
#include "tests/fault/store/life.h"
#include "tests/support/fs_fault.h"
#include "tests/support/kit_fsck.h"
#include "tests/support/same_everywhere.h"

/* ---- looking ---- */

static bool tree_exact(const struct kit_tree *t, struct ay_store *s, const char *branch, uint32_t serial,
		       struct verdict *v)
{
	const struct ay_scan_options one = {.threads = 1};
	struct ay_scan_totals totals;
	struct ay_buf have = {0};
	struct ay_err err = {0};
	int root = -1;

	if (ay_store_open_tree(s, branch, serial, &root, &err) < 0)
		return NOT(v, "tree %s %u: %s", branch, serial, err.msg);
	AY_CLOSE int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(root);
	int r = fd < 0 ? -errno : ay_scan(fd, branch, &one, ay_write_to_buf, &have, &totals, &err);
	bool same = r == 0 && ay_digest_eq(&totals.manifest, &t->totals.manifest);
	ay_buf_release(&have);
	return same || NOT(v, "tree %s %u is not what was published %s", branch, serial, err.msg);
}

static bool look_branch(const struct world *w, struct ay_store *s, unsigned b, struct branch_facts *f,
			struct verdict *v)
{
	AY_FREE struct ay_tree_info *trees = NULL;
	struct ay_err err = {0};
	struct ay_head head;
	size_t n = 0;
	int r = ay_store_trees(s, life_branch[b], &trees, &n, &err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (trees[i].serial > LIFE_SERIALS)
			return NOT(v, "a tree %u that nobody made", trees[i].serial);
		f->trees |= 1u << trees[i].serial;
		if (!tree_exact(&w->tree[b][trees[i].serial], s, life_branch[b], trees[i].serial, v))
			return false;
	}
	if (r == 0)
		r = ay_store_current(s, life_branch[b], &f->current, &err);
	if (r == AY_ENOTHING)
		r = 0;
	if (r == 0)
		r = ay_state_branch(s, life_branch[b], &f->state, &err);
	if (r == 0 && f->state.has_head && (r = ay_head_parse(f->state.head, AY_HEAD_SIZE, &head, &err)) == 0)
		f->head = head.serial;
	if (r < 0)
		return NOT(v, "branch %s: %s", life_branch[b], err.msg);
	return !f->current || (f->trees >> f->current & 1) ||
	       NOT(v, "branch %s: its current tree %u is not here", life_branch[b], f->current);
}

static bool look_bundle(const struct world *w, struct ay_store *s, unsigned i, struct facts *f,
			struct verdict *v)
{
	struct ay_bundle_file *file = NULL;
	struct ay_err err = {0};
	int r = ay_bundle_file_open(s, &w->source[i].digest, w->source[i].size, false, &file, &err);

	if (r == -ENOENT)
		return true;
	if (r < 0)
		return NOT(v, "bundle %u: %s", i, err.msg);
	f->bundle[i].there = true;
	f->bundle[i].whole = ay_bundle_file_whole(file);
	struct stat st;
	bool open_to_all = fstat(ay_bundle_file_fd(file), &st) == 0 && (st.st_mode & 0777) == 0644;
	if (f->bundle[i].whole && !open_to_all) {
		ay_bundle_file_close(file);
		return NOT(v, "bundle %u is whole, but has mode %o", i, st.st_mode & 0777);
	}
	for (uint64_t k = 0; k < ay_blocks_of(w->source[i].size); k++)
		f->bundle[i].had |= (uint64_t)ay_bundle_file_has(file, k) << k;
	ay_bundle_file_close(file);
	return true;
}

static bool look_docs(struct ay_store *s, struct facts *f, struct verdict *v)
{
	struct ay_err err = {0};

	for (int kind = 0; kind < 2; kind++) {
		for (unsigned i = 0; i < LIFE_DOCS; i++) {
			AY_FREE uint8_t *data = NULL;
			struct ay_digest d;
			char text[64];
			size_t len;
			life_doc(kind, i, text);
			ay_digest_mem(text, strlen(text), &d);
			int r = ay_state_get_doc(s, kind, &d, &data, &len, &err);
			if (r < 0 && r != -ENOENT)
				return NOT(v, "document: %s", err.msg);
			f->doc[kind][i] = r == 0;
		}
	}
	return true;
}

/* Whatever becomes one inode with whatever: each name has its bytes. */
static bool look_homes(const char *dir, struct verdict *v)
{
	for (unsigned i = 0; i < LIFE_HOMES; i++) {
		char name[32], path[300], want[5000], have[5001];
		life_home(i, name, want, sizeof(want));
		snprintf(path, sizeof(path), "%.250s/%s", dir, name);
		AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, have, sizeof(have)) != (ssize_t)sizeof(want) ||
		    memcmp(have, want, sizeof(want)) != 0)
			return NOT(v, "%s is not what it was", name);
	}
	return true;
}

static bool look(const struct world *w, const char *dir, struct ay_store *s, struct facts *f,
		 struct verdict *v)
{
	char path[300], text[64] = "";
	const struct ay_root *root;
	struct ay_err err = {0};
	int r = ay_state_root(s, &root, &err);

	memset(f, 0, sizeof(*f));
	if (r < 0 && r != -ENOENT)
		return NOT(v, "%s", err.msg);
	f->root = r == 0 ? root->version : 0;
	for (unsigned b = 0; b < LIFE_BRANCHES; b++) {
		if (!look_branch(w, s, b, &f->b[b], v))
			return false;
	}
	for (unsigned i = 0; i < LIFE_BUNDLES; i++) {
		if (!look_bundle(w, s, i, f, v))
			return false;
	}
	snprintf(path, sizeof(path), "%s/lib/store/state/install-id", dir);
	AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	f->has_id = fd >= 0;
	if (f->has_id && read(fd, text, sizeof(text)) != 33)
		return NOT(v, "the install-id is %zu bytes long", strlen(text));
	memcpy(f->id, text, sizeof(f->id));
	return look_homes(dir, v) && look_docs(s, f, v);
}

bool life_look(const struct world *w, const char *dir, struct facts *f, struct verdict *v)
{
	char path[300];
	struct ay_store *s;
	struct ay_err err = {0};

	snprintf(path, sizeof(path), "%s/lib/store", dir);
	if (ay_store_open(ay_fs_real(), path, AY_STORE_READONLY, &s, &err) < 0)
		return NOT(v, "open: %s", err.msg);
	bool ok = look(w, dir, s, f, v);
	ay_store_close(s);
	return ok;
}

/* ---- between two facts ---- */

static void tell_branch(const char *when, const struct branch_facts *f)
{
	const struct ay_branch_state *s = &f->state;

	fprintf(stderr,
		"  %s: trees %x current %u floor %u bad %u pending %u unconfirmed %u tries %u good %u before %u\n",
		when, f->trees, f->current, s->floor, s->bad_serial, s->pending, s->unconfirmed, s->tries,
		s->good, s->before);
}

#define EITHER(field)                                                                                        \
	if (memcmp(&is->field, &was->field, sizeof(is->field)) != 0 &&                                       \
	    memcmp(&is->field, &will->field, sizeof(is->field)) != 0)                                        \
	return NOT(v, "branch %s: " #field " is neither the old nor the new", life_branch[b])

static bool branch_between(unsigned b, const struct branch_facts *was, const struct branch_facts *is,
			   const struct branch_facts *will, enum op op, struct verdict *v)
{
	uint32_t both = was->trees & will->trees;

	if ((is->trees & both) != both)
		return NOT(v, "branch %s: a tree was lost: %x of %x", life_branch[b], is->trees, both);
	if (is->trees & ~(was->trees | will->trees))
		return NOT(v, "branch %s: a tree came back: %x", life_branch[b], is->trees);
	EITHER(current);
	EITHER(state.follow);
	EITHER(state.bad_serial);
	EITHER(state.pending);
	EITHER(state.unconfirmed);
	EITHER(state.good);
	EITHER(state.before);
	EITHER(state.pinned);
	EITHER(state.kept);
	/* A try that was interrupted counts, and so does the one after it. */
	if (op == OP_TRY ? is->state.tries > 3
			 : is->state.tries != was->state.tries && is->state.tries != will->state.tries)
		return NOT(v, "branch %s: %u tries are left", life_branch[b], is->state.tries);
	if (is->state.floor < was->state.floor || is->state.floor > will->state.floor)
		return NOT(v, "branch %s: the floor is %u, not %u or %u", life_branch[b], is->state.floor,
			   was->state.floor, will->state.floor);
	if (is->head < was->head || is->head > will->head)
		return NOT(v, "branch %s: head %u, not %u or %u", life_branch[b], is->head, was->head,
			   will->head);
	/* The state is written first: who finds the new tree current finds the new floor too. */
	if (is->current != was->current && is->current == will->current &&
	    memcmp(&is->state, &will->state, sizeof(is->state)) != 0)
		return NOT(v, "branch %s: %u is current, but the state is the old one", life_branch[b],
			   is->current);
	return true;
}

static bool facts_between(const struct facts *was, const struct facts *is, const struct facts *will,
			  enum op op, struct verdict *v)
{
	for (unsigned b = 0; b < LIFE_BRANCHES; b++) {
		if (branch_between(b, &was->b[b], &is->b[b], &will->b[b], op, v))
			continue;
		if (getenv("AYNI_CRASH_LOG")) {
			tell_branch("before it", &was->b[b]);
			tell_branch("after the cut", &is->b[b]);
			tell_branch("behind it", &will->b[b]);
		}
		return false;
	}
	if (is->root != was->root && is->root != will->root)
		return NOT(v, "root %u, not %u or %u", is->root, was->root, will->root);
	for (int i = 0; i < 2 * LIFE_DOCS; i++) {
		const int kind = i / LIFE_DOCS, k = i % LIFE_DOCS;
		/* One that was dropped may come back: nobody promises that it does not. */
		if (was->doc[kind][k] && will->doc[kind][k] && !is->doc[kind][k])
			return NOT(v, "document %d %d is lost", kind, k);
	}
	for (unsigned i = 0; i < LIFE_BUNDLES; i++) {
		uint64_t both = was->bundle[i].had & will->bundle[i].had;
		if ((is->bundle[i].had & both) != both)
			return NOT(v, "bundle %u: blocks %llx, of the synced %llx some are lost", i,
				   (unsigned long long)is->bundle[i].had, (unsigned long long)both);
		if (was->bundle[i].whole && will->bundle[i].whole && !is->bundle[i].whole)
			return NOT(v, "bundle %u was whole", i);
	}
	if (was->has_id && !is->has_id)
		return NOT(v, "the install-id was lost");
	return true;
}

/* ---- what is left over ---- */

/* Whole, and still under its other name. */
static bool no_second_names(const struct world *w, const char *dir, struct verdict *v)
{
	for (unsigned i = 0; i < LIFE_BUNDLES; i++) {
		char hex[AY_DIGEST_HEX + 1], whole[400], partial[400];
		ay_digest_hex(&w->source[i].digest, hex);
		snprintf(whole, sizeof(whole), "%.256s/lib/store/bundles/%s", dir, hex);
		snprintf(partial, sizeof(partial), "%.256s/lib/store/bundles/partial/%s", dir, hex);
		if (access(whole, F_OK) == 0 && access(partial, F_OK) == 0)
			return NOT(v, "bundle %u is whole and still partial", i);
	}
	return true;
}

static bool no_garbage(const char *path, bool objects, struct verdict *v)
{
	AY_CLOSEDIR DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char sub[600];
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (lstat(sub, &st) < 0)
			return NOT(v, "%s: %s", sub, strerror(errno));
		if (strncmp(e->d_name, ".tmp-", 5) == 0 || strncmp(e->d_name, "staging-", 8) == 0)
			return NOT(v, "%s is left over", sub);
		if (objects && S_ISREG(st.st_mode) && st.st_nlink == 1)
			return NOT(v, "object %s is left over", sub);
		if (S_ISDIR(st.st_mode) && strcmp(e->d_name, "root") != 0 &&
		    !no_garbage(sub, objects || strcmp(e->d_name, "objects") == 0, v))
			return false;
	}
	return true;
}

/* ---- the cut ---- */

struct after {
	const struct life *l;
	struct kit kit; /* its dir holds lib/store */
	unsigned step;  /* the one that was cut, */
	struct step what;
	struct facts none;
	const struct facts *was, *will;
	bool fsck;
};

static void after_dir(struct after *a, const struct world *w, const char *name)
{
	struct kit k = w->k;

	kit_rm(&k, name);
	kit_mkdir(&k, name, 0755);
	a->kit = k;
	snprintf(a->kit.dir, sizeof(a->kit.dir), "%.200s/%s", w->k.dir, name);
}

static void build(const struct crash_log *log, const struct crash_cut *cut, const char *dir)
{
	AY_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		crash_die("%s: %s", dir, strerror(errno));
	crash_build(log, cut, fd);
}

/* The next start: it opens, all facts are the old or the new ones, the step done again succeeds. */
static bool start_again(struct after *a, struct ay_fs *fs, struct verdict *v)
{
	const struct world *w = a->l->w;
	const struct step *step = &a->what;
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct facts is;

	/* `current` is used by those who know nothing of us, before we start. */
	if (a->step > 0 &&
	    (!life_look(w, a->kit.dir, &is, v) || !facts_between(a->was, &is, a->will, step->op, v)))
		return false;
	if (life_open(a->l, a->kit.dir, fs, &s, &err) < 0)
		return NOT(v, "it does not open: %s", err.msg);
	bool ok = look(w, a->kit.dir, s, &is, v) && facts_between(a->was, &is, a->will, step->op, v);
	if (a->was->has_id && memcmp(is.id, a->was->id, sizeof(is.id)) != 0)
		ok = NOT(v, "the install-id is another one");
	if (ok) {
		int r = life_step(w, s, step, &err);
		if (r < 0 && !life_nothing_wrong(step, r))
			ok = NOT(v, "%s again: %s", op_names[step->op], err.msg);
	}
	ay_store_close(s);
	return ok;
}

/* And a good while later. */
static bool all_is_well(struct after *a, struct verdict *v)
{
	const struct world *w = a->l->w;
	struct fs_fault quiet;
	struct ay_store *s = NULL;
	struct ay_err err = {0};
	struct facts is;
	bool ok = true;
	const enum op op = a->what.op;
	struct kit k = a->kit;

	kit_rm(&k, "lib/store/state/swept"); /* this boot has another id */
	fs_fault_init(&quiet);
	quiet.syncs_off = true;
	quiet.links_max = a->l->c.links_max;
	if (life_open(a->l, a->kit.dir, &quiet.fs, &s, &err) < 0)
		return NOT(v, "it does not open a second time: %s", err.msg);
	ok = look(w, a->kit.dir, s, &is, v) && facts_between(a->will, &is, a->will, op, v);
	if (ok && ay_store_gc(s, LIFE_SERIALS, NULL, &err) < 0)
		ok = NOT(v, "gc: %s", err.msg);
	ok = ok && look(w, a->kit.dir, s, &is, v) && facts_between(a->will, &is, a->will, op, v);
	ay_store_close(s);
	if (ok && a->fsck) {
		char path[300], why[1024];
		snprintf(path, sizeof(path), "%.256s/lib/store", a->kit.dir);
		if (kit_fsck(path, why, sizeof(why)))
			ok = NOT(v, "%s", why);
	}
	return ok && no_garbage(a->kit.dir, false, v) && no_second_names(w, a->kit.dir, v);
}

bool life_cut(const struct life *l, const struct crash_cut *cut, bool again, struct verdict *v)
{
	struct facts forgotten;
	struct after a = {.l = l, .fsck = cut->seed % 3 == 0};
	struct crash_cut second = {.seed = cut->seed + 1, .flavour = cut->flavour, .choice = cut->choice};
	struct fs_fault quiet;
	struct fs_crash c;

	while (a.step < l->n && l->end[a.step] <= cut->at)
		a.step++;
	a.was = a.step ? &l->behind[a.step - 1] : &a.none;
	/* A sync of a partial bundle failed: nobody knows what of it is on the disk, so it is collected anew. */
	if (a.step < l->n && l->sync_failed[a.step] &&
	    (l->step[a.step].op == OP_COLLECT || l->step[a.step].op == OP_FINISH)) {
		forgotten = *a.was;
		forgotten.bundle[l->step[a.step].b].had = 0;
		a.was = &forgotten;
	}
	a.will = a.step < l->n ? &l->behind[a.step] : a.was;
	if (a.step < l->n) /* else all was done, and nothing is cut */
		a.what = l->step[a.step];
	v->why[0] = '\0';
	same_everywhere(~cut->seed);
	after_dir(&a, l->w, "after");
	build(&l->c.log, cut, a.kit.dir);
	fs_fault_init(&quiet);
	quiet.syncs_off = true;
	quiet.links_max = l->c.links_max;
	if (!again)
		return start_again(&a, &quiet.fs, v) && all_is_well(&a, v);
	fs_crash_init(&c, a.kit.dir);
	c.links_max = l->c.links_max;
	bool ok = start_again(&a, &c.fs, v);
	second.at = (uint32_t)(cut->seed % (c.calls + 1));
	after_dir(&a, l->w, "after2");
	if (ok)
		build(&c.log, &second, a.kit.dir);
	fs_crash_release(&c);
	ok = ok && start_again(&a, &quiet.fs, v) && all_is_well(&a, v);
	struct kit k = l->w->k;
	kit_rm(&k, "after2");
	return ok;
}
