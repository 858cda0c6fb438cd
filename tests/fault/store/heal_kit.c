/* SPDX-License-Identifier: MIT */
/* The damage is of every kind that healing knows: content, metadata, names, documents, state, `current`. */
#include "tests/fault/store/heal_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state.h"

#define B      "b"
#define B_ROOT "store/branches/" B "/2/root/"

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static void make_tree(struct kit *k, const char *v, int n)
{
	char p[64];
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_mkdir(k, v, 0755);
	kit_noise(k, AT("rotten"), 9000, 3000, 0644); /* one inode in both trees */
	kit_text(k, AT("changes"), n == 1 ? "one" : "two, and longer", 0644);
	kit_text(k, AT("a"), "one content, two modes", 0644);
	kit_text(k, AT("b"), "one content, two modes", 0755);
	kit_mkdir(k, AT("d"), 0755);
	kit_text(k, AT("d/file"), "in a directory", 0644);
	kit_symlink(k, AT("link"), "d");
#undef AT
}

void heal_no_faults(struct fs_fault *f)
{
	fs_fault_init(f);
	f->syncs_off = true;
}

void heal_kit_init(struct heal_kit *x)
{
	memset(x, 0, sizeof(*x));
	kit_init(&x->k);
	for (int i = 0; i < 2; i++) {
		make_tree(&x->k, i ? "v2" : "v1", i + 1);
		kit_publish(&x->k, i ? "v2" : "v1", B, (uint32_t)i + 1, &x->v[i]);
	}
	x->repo = kit_repo(&x->k);
	kit_repo_all(&x->k, x->repo, NULL, &x->v[0]);
	kit_repo_all(&x->k, x->repo, &x->v[0], &x->v[1]);
}

void heal_kit_release(struct heal_kit *x)
{
	ay_repo_close(x->repo);
	for (int i = 0; i < 2; i++)
		kit_tree_release(&x->v[i]);
	kit_release(&x->k);
}

void heal_place(struct heal_kit *x, const char *name, struct kit *out)
{
	*out = x->k;
	kit_rm(&x->k, name);
	kit_mkdir(&x->k, name, 0755);
	must(snprintf(out->dir, sizeof(out->dir), "%.200s/%s", x->k.dir, name) < (int)sizeof(out->dir), name);
	out->fd = openat(x->k.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(out->fd >= 0, name);
}

static void spoil(struct kit *at, const char *path)
{
	struct stat st;
	AY_CLOSE int fd = openat(at->fd, path, O_RDWR | O_CLOEXEC);

	must(fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, "?", 1, 1) == 1, path);
	const struct timespec ts[2] = {st.st_atim, st.st_mtim};
	must(futimens(fd, ts) == 0, path);
}

static int import(struct heal_kit *x, struct ay_store *s, int i, struct ay_err *err)
{
	AY_CLOSE int dir = openat(x->k.fd, i ? "v2" : "v1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct kit_tree *t = &x->v[i];
	return ay_store_import(s, B, t->release.data, t->release.len, dir, t->manifest.data, t->manifest.len,
			       0, err);
}

void heal_damaged(struct heal_kit *x, struct kit *at)
{
	struct fs_fault f;
	struct ay_err err = {0};
	struct ay_store *s;

	kit_rm(at, "store");
	heal_no_faults(&f);
	if (kit_store(at, &f.fs, &s, &err) < 0 || import(x, s, 0, &err) < 0 || import(x, s, 1, &err) < 0 ||
	    ay_store_switch(s, B, 2, false, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	ay_store_close(s);
	spoil(at, B_ROOT "rotten");
	spoil(at, B_ROOT "changes");
	must(fchmodat(at->fd, B_ROOT "b", 0777, 0) == 0, "b");
	kit_rm(at, B_ROOT "link");
	kit_text(at, B_ROOT "link", "no link", 0644);
	kit_rm(at, B_ROOT "d");
	kit_text(at, B_ROOT "extra", "x", 0644);
	kit_text(at, "store/branches/" B "/1/manifest", "junk", 0644);
	kit_rm(at, "store/branches/" B "/1/.ref");
	kit_rm(at, "store/branches/" B "/current");
	kit_text(at, "store/state/branches/" B, "junk", 0644);
}

int heal_with(struct heal_kit *x, struct kit *at, struct ay_fs *fs, struct ay_fsck_result *res,
	      struct ay_err *err)
{
	const struct ay_fsck how = {.heal = true, .repos = &x->repo, .n_repos = 1, .threads = 1};
	struct ay_store *s;

	*err = (struct ay_err){0};
	int r = kit_store(at, fs, &s, err);
	if (r < 0)
		return r;
	r = ay_store_fsck(s, &how, res, err);
	must(r == 0 || err->msg[0] != '\0', "a failure without a sentence");
	ay_store_close(s);
	return r;
}

/* Is @path the published file, or that with its second byte spoilt? */
static bool old_or_good(struct heal_kit *x, struct kit *at, const char *path, const char *published)
{
	char have[16384], want[16384];
	AY_CLOSE int a = openat(at->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AY_CLOSE int b = openat(x->k.fd, published, O_RDONLY | O_CLOEXEC);
	ssize_t n = a < 0 ? -1 : read(a, have, sizeof(have)), m = read(b, want, sizeof(want));

	if (n != m || n < 2)
		return false;
	if (have[1] == '?')
		have[1] = want[1];
	return memcmp(have, want, (size_t)n) == 0;
}

static bool is_text(struct kit *at, const char *path, const char *junk, const struct ay_buf *good)
{
	char have[16384];
	AY_CLOSE int fd = openat(at->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof(have));

	return n >= 0 && (((size_t)n == strlen(junk) && memcmp(have, junk, (size_t)n) == 0) ||
			  ((size_t)n == good->len && memcmp(have, good->data, (size_t)n) == 0));
}

const char *heal_lost(struct heal_kit *x, struct kit *at)
{
	static const char *const files[] = {"rotten", "changes", "a", "b"};
	static const char *const others[] = {"2/root/link", "1/root/link", "1/root/d/file", "1/release",
					     "2/manifest"};

	for (size_t i = 0; i < 8; i++) {
		char path[100], published[40];
		snprintf(path, sizeof(path), "store/branches/" B "/%zu/root/%s", i / 4 + 1, files[i % 4]);
		snprintf(published, sizeof(published), "v%zu/%s", i / 4 + 1, files[i % 4]);
		if (!old_or_good(x, at, path, published))
			return files[i % 4];
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char path[100];
		snprintf(path, sizeof(path), "store/branches/" B "/%s", others[i]);
		if (!kit_exists(at, path))
			return others[i];
	}
	if (!kit_exists(at, "store/state/branches/" B))
		return "the state";
	return is_text(at, "store/branches/" B "/1/manifest", "junk", &x->v[0].manifest) ? NULL
											 : "manifest 1";
}

const char *heal_is_done(struct heal_kit *x, struct kit *at)
{
	const struct ay_fsck look = {.threads = 1};
	struct ay_fsck_result res;
	struct ay_err err = {0};
	struct fs_fault f;
	struct ay_store *s;

	(void)x;
	heal_no_faults(&f);
	if (kit_store(at, &f.fs, &s, &err) < 0)
		return "the store opens";
	int r = ay_store_fsck(s, &look, &res, &err);
	ay_store_close(s);
	return r == 0 && res.damaged == 0 ? NULL : "what was told as healed is so after a power cut";
}

const char *heal_ends_well(struct heal_kit *x, struct kit *at, bool scan)
{
	static char why[AY_ERR_MSG_MAX + 64]; /* of a test, which is one thread */
	struct ay_fsck_result res;
	struct ay_err err;
	struct fs_fault f;
	uint32_t current = 0;
	struct ay_store *s;

	heal_no_faults(&f);
	if (heal_with(x, at, &f.fs, &res, &err) < 0) {
		snprintf(why, sizeof(why), "healing again: %s", err.msg);
		return why;
	}
	if (res.left > 0)
		return "healing again heals all";
	if (heal_with(x, at, &f.fs, &res, &err) < 0 || res.damaged > 0)
		return "nothing is damaged after that";
	if (scan && (!kit_tree_is(at, B, 1, &x->v[0]) || !kit_tree_is(at, B, 2, &x->v[1])))
		return "the trees are what was published";
	if (kit_count(at, "store/tmp") > 0 || kit_objects_unlinked(at) > 0)
		return "nothing is left over";
	if (kit_store(at, &f.fs, &s, &err) < 0)
		return "the store opens";
	int r = ay_store_current(s, B, &current, &err);
	ay_store_close(s);
	return r == 0 && current == 2 ? NULL : "release 2 is current";
}
