/* SPDX-License-Identifier: MIT */
/*
 * A publisher in a temporary directory. Nothing is faked: keys, root, releases,
 * manifests and bundles are made by the same functions as in the program.
 */
#include "tests/support/store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "diff/make.h"
#include "manifest/delta.h"
#include "manifest/root.h"
#include "store/state.h"
#include "store/tree_internal.h"

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("store_kit: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	if (type == FTW_DP || type == FTW_D)
		return rmdir(path) < 0 && errno != ENOENT ? -1 : 0;
	return unlink(path);
}

static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_D && (st->st_mode & 0700) != 0700)
		chmod(path, 0700);
	return 0;
}

static void remove_all(const char *path)
{
	nftw(path, open_one, 16, FTW_PHYS);
	nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

void kit_root_with_rule(struct kit *k, const char *branch, const char *rule)
{
	struct ay_buf text = {0};
	char line[57], id[17];
	struct ay_err err = {0};
	const struct ay_secret_key *keys[1] = {&k->key};

	for (int i = 0; i < 8; i++)
		snprintf(id + 2 * i, 3, "%02x", k->key.id[i]);
	/* The id's printed form is root.c's business: let it write the text, then add the branch's line. */
	struct ay_root *root = ay_root_new();
	root->version = 1;
	snprintf(root->fleet, sizeof(root->fleet), "test");
	root->n_keys = 1;
	root->keys[0] = k->public_key;
	for (int i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1};
	if (ay_root_write(root, &text, &err) < 0)
		die("root: %s", err.msg);
	ay_root_free(root);
	/* A root with "share" is of the second version of the text. */
	if (branch && strstr(rule, "share"))
		text.data[strlen("ayni-root ")] = '2';
	ay_public_key_line(&k->public_key, line);
	if (branch && rule[0])
		ay_put_fmt(&text, "branch: %s %s\n", branch, rule);
	ay_buf_reset(&k->root);
	if (ay_envelope_write(text.data, text.len, keys, 1, "test", &k->root, &err) < 0)
		die("root: %s", err.msg);
	ay_buf_release(&text);
}

/* Directories that killed tests left in memory; their names carry the maker's pid. */
static void sweep_dead(const char *where)
{
	AY_CLOSEDIR DIR *d = opendir(where);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[512];
		int pid;
		if (sscanf(e->d_name, "ayni-kit-%d-", &pid) != 1 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", where, e->d_name);
		remove_all(path);
	}
}

void kit_init(struct kit *k)
{
	const char *tmp = getenv("AYNI_KIT_DIR");
	struct statvfs v;

	memset(k, 0, sizeof(*k));
	/* In memory where there is room: thousands of small files are made and removed. */
	if (!tmp && access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &v) == 0 &&
	    (uint64_t)v.f_bavail * v.f_frsize > (256u << 20))
		sweep_dead(tmp = "/dev/shm");
	if (!tmp)
		tmp = getenv("TMPDIR");
	snprintf(k->dir, sizeof(k->dir), "%s/ayni-kit-%d-XXXXXX", tmp ? tmp : "/tmp", (int)getpid());
	if (!mkdtemp(k->dir))
		die("mkdtemp %s: %s", k->dir, strerror(errno));
	k->fd = open(k->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ay_key_generate(&k->key, &k->public_key) < 0)
		die("cannot make a key");
	kit_root_with_rule(k, NULL, NULL);
}

void kit_release(struct kit *k)
{
	close(k->fd);
	remove_all(k->dir);
	ay_buf_release(&k->root);
}

/* ---- files ---- */

void kit_mkdir(struct kit *k, const char *path, unsigned mode)
{
	if (mkdirat(k->fd, path, 0700) < 0 || fchmodat(k->fd, path, mode, 0) < 0)
		die("mkdir %s: %s", path, strerror(errno));
}

void kit_write(struct kit *k, const char *path, const void *data, size_t len, unsigned mode, int64_t mtime_s)
{
	const struct timespec ts[2] = {{mtime_s, 0}, {mtime_s, 123456789}};
	AY_CLOSE int fd = openat(k->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || fchmod(fd, mode) < 0 || futimens(fd, ts) < 0)
		die("write %s: %s", path, strerror(errno));
}

void kit_text(struct kit *k, const char *path, const char *text, unsigned mode)
{
	kit_write(k, path, text, strlen(text), mode, 1700000000);
}

void kit_noise(struct kit *k, const char *path, size_t len, uint64_t seed, unsigned mode)
{
	struct ay_prng r;
	uint8_t *p = malloc(len + 8);

	if (!p)
		die("memory");
	ay_prng_init(&r, seed / 1000); /* seeds of one thousand share their bulk */
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = ay_prng_next(&r);
		memcpy(p + i, &v, 8);
	}
	ay_prng_init(&r, seed + 77);
	for (size_t i = 0; len > 0 && i < 1 + len / 4096; i++)
		p[ay_prng_below(&r, len)] = (uint8_t)ay_prng_next(&r);
	kit_write(k, path, p, len, mode, 1700000000 + (int64_t)(seed % 1000));
	free(p);
}

void kit_symlink(struct kit *k, const char *path, const char *target)
{
	const struct timespec ts[2] = {{1600000000, 5}, {1600000000, 5}};

	if (symlinkat(target, k->fd, path) < 0 || utimensat(k->fd, path, ts, AT_SYMLINK_NOFOLLOW) < 0)
		die("symlink %s: %s", path, strerror(errno));
}

void kit_rm(struct kit *k, const char *path)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s/%s", k->dir, path);
	remove_all(full);
}

static void settle(struct kit *k, const char *dir)
{
	const struct timespec ts[2] = {{1690000000, 1}, {1690000000, 1}};

	if (utimensat(k->fd, dir, ts, 0) < 0)
		die("utimens %s: %s", dir, strerror(errno));
}

static void one_tree(struct kit *k, const char *v, int n)
{
	char p[64];
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	kit_mkdir(k, v, 0755);
	kit_mkdir(k, AT("bin"), 0755);
	kit_mkdir(k, AT("lib"), 0755);
	kit_mkdir(k, n == 1 ? AT("lib/6.1.0-55") : AT("lib/6.1.0-56"), 0755);
	kit_mkdir(k, AT("ro"), 0555);
	kit_noise(k, AT("bin/big"), 700000, 1000 + (uint64_t)n, 0755);
	kit_noise(k, AT("bin/kept"), 50000, 5001, 0755);
	kit_noise(k, n == 1 ? AT("lib/6.1.0-55/mod.ko") : AT("lib/6.1.0-56/mod.ko"), 90000,
		  7000 + (uint64_t)n, 0644);
	kit_noise(k, n == 1 ? AT("lib/6.1.0-55/same.ko") : AT("lib/6.1.0-56/same.ko"), 20000, 8001, 0644);
	kit_text(k, AT("empty"), "", 0644);
	kit_text(k, AT("empty-too"), "", 0644);
	kit_text(k, AT("mode"), "only my mode changes", n == 1 ? 0644 : 0600);
	kit_write(k, AT("mtime"), "only my mtime changes", 21, 0644, 1700000000 + n);
	kit_text(k, AT("twice-a"), n == 1 ? "same text" : "same text, new", 0644);
	kit_text(k, AT("twice-b"), n == 1 ? "same text" : "same text, new", 0755);
	kit_text(k, AT("ro-file"), "read only", 0444);
	kit_symlink(k, AT("link"), n == 1 ? "bin/kept" : "/etc");
	kit_symlink(k, AT("out"), "../../../../../../tmp");
	if (n == 1) {
		kit_text(k, AT("goes"), "I go", 0644);
		kit_text(k, AT("becomes-dir"), "file", 0644);
		kit_mkdir(k, AT("becomes-file"), 0755);
		kit_text(k, AT("becomes-file/x"), "x", 0644);
		settle(k, AT("becomes-file"));
	} else {
		kit_text(k, AT("comes"), "I come", 0644);
		kit_mkdir(k, AT("becomes-dir"), 0755);
		kit_symlink(k, AT("becomes-dir/l"), "../bin");
		kit_text(k, AT("becomes-dir/y"), "y", 0640);
		kit_text(k, AT("becomes-file"), "now a file", 0644);
		settle(k, AT("becomes-dir"));
	}
	settle(k, AT("bin"));
	settle(k, n == 1 ? AT("lib/6.1.0-55") : AT("lib/6.1.0-56"));
	settle(k, AT("lib"));
	settle(k, AT("ro"));
	settle(k, v);
#undef AT
}

void kit_two_trees(struct kit *k)
{
	one_tree(k, "v1", 1);
	one_tree(k, "v2", 2);
}

/* ---- publishing ---- */

static const struct ay_scan_options scan_options = {.threads = 1};

static int open_dir(struct kit *k, const char *path)
{
	int fd = openat(k->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die("open %s: %s", path, strerror(errno));
	return fd;
}

void kit_publish(struct kit *k, const char *dir, const char *branch, uint32_t serial, struct kit_tree *out)
{
	struct ay_err err = {0};
	struct ay_release *r = calloc(1, sizeof(*r));
	struct ay_buf text = {0};
	const struct ay_secret_key *keys[1] = {&k->key};
	AY_CLOSE int fd = open_dir(k, dir);

	memset(out, 0, sizeof(*out));
	snprintf(out->dir, sizeof(out->dir), "%s", dir);
	out->serial = serial;
	if (ay_scan(fd, dir, &scan_options, ay_write_to_buf, &out->manifest, &out->totals, &err) < 0)
		die("scan %s: %s", dir, err.msg);
	if (!r)
		die("memory");
	snprintf(r->branch, sizeof(r->branch), "%s", branch);
	r->serial = serial;
	r->root_epoch = 1;
	snprintf(r->name, sizeof(r->name), "test %u", serial);
	r->date_s = 1700000000;
	r->manifest = out->totals.manifest;
	r->manifest_size = out->totals.manifest_size;
	r->unpacked_size = out->totals.bytes;
	r->entries = out->totals.entries;
	if (ay_release_write(r, &text, &err) < 0 ||
	    ay_envelope_write(text.data, text.len, keys, 1, "test", &out->release, &err) < 0)
		die("release: %s", err.msg);
	ay_buf_release(&text);
	free(r);
}

void kit_tree_release(struct kit_tree *t)
{
	ay_buf_release(&t->manifest);
	ay_buf_release(&t->release);
}

/* ---- the store ---- */

int kit_store(struct kit *k, struct ay_fs *fs, struct ay_store **s, struct ay_err *err)
{
	char path[300];
	int flags = AY_STORE_CREATE | (geteuid() ? AY_STORE_OWNER_ME : 0);

	snprintf(path, sizeof(path), "%s/store", k->dir);
	int r = ay_store_open(fs, path, flags, s, err);
	if (r < 0)
		return r;
	const struct ay_root *root;
	r = ay_state_root(*s, &root, err);
	if (r == -ENOENT) {
		memset(err, 0, sizeof(*err));
		r = ay_state_add_root(*s, k->root.data, k->root.len, err);
	}
	if (r < 0) {
		ay_store_close(*s);
		*s = NULL;
	}
	return r;
}

int kit_import(struct kit *k, struct ay_store *s, const char *branch, const struct kit_tree *t,
	       struct ay_err *err)
{
	AY_CLOSE int fd = open_dir(k, t->dir);
	return ay_store_import(s, branch, t->release.data, t->release.len, fd, t->manifest.data,
			       t->manifest.len, 0, err);
}

/* ---- looking ---- */

static int count_change(void *ctx, enum ay_change change, const struct ay_entry *old,
			const struct ay_entry *new_, struct ay_err *err)
{
	unsigned *bad = ctx;

	(void)err;
	if (change == AY_CHANGE_KEPT)
		return 0;
	/* Owners are not kept in a plain user's store; his own trees belong to him anyway. */
	fprintf(stderr, "store_kit: differs (%d): %s\n", change, old ? old->path : new_->path);
	(*bad)++;
	return 0;
}

bool kit_tree_is(struct kit *k, const char *branch_dir, uint32_t serial, const struct kit_tree *t)
{
	char path[300];
	struct ay_buf have = {0};
	struct ay_scan_totals totals;
	struct ay_err err = {0};
	unsigned bad = 0;

	snprintf(path, sizeof(path), "store/branches/%s/%u/root", branch_dir, serial);
	AY_CLOSE int fd = open_dir(k, path);
	if (ay_scan(fd, path, &scan_options, ay_write_to_buf, &have, &totals, &err) < 0)
		die("scan %s: %s", path, err.msg);
	struct ay_manifest_reader *a = ay_manifest_reader_new_mem(t->manifest.data, t->manifest.len);
	struct ay_manifest_reader *b = ay_manifest_reader_new_mem(have.data, have.len);
	if (ay_manifest_compare(a, b, count_change, &bad, &err) < 0)
		die("compare %s: %s", path, err.msg);
	ay_manifest_reader_free(a);
	ay_manifest_reader_free(b);
	ay_buf_release(&have);
	return bad == 0;
}

/* nftw has no context argument; this is test support, one thread. */
static unsigned n_files, n_unlinked;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)ftw;
	if (type == FTW_F || type == FTW_SL) {
		n_files++;
		n_unlinked += st->st_nlink == 1;
	}
	return 0;
}

unsigned kit_count(struct kit *k, const char *path)
{
	char full[4096];

	snprintf(full, sizeof(full), "%s/%s", k->dir, path);
	n_files = n_unlinked = 0;
	nftw(full, count_one, 16, FTW_PHYS);
	return n_files;
}

unsigned kit_objects_unlinked(struct kit *k)
{
	kit_count(k, "store/objects");
	return n_unlinked;
}

bool kit_object_of(struct ay_store *s, const struct kit_tree *t, const char *path, char out[200])
{
	struct ay_manifest_reader *m = ay_manifest_reader_new_mem(t->manifest.data, t->manifest.len);
	struct ay_entry e;

	out[0] = '\0';
	while (ay_manifest_next(m, &e, NULL) > 0) {
		struct ay__object_name name;
		if (strcmp(e.path, path) == 0 && ay__object_name_of(s, &e, &name) == 0)
			snprintf(out, 200, "store/objects/%s", name.s);
	}
	ay_manifest_reader_free(m);
	return out[0] != '\0';
}

bool kit_exists(struct kit *k, const char *path)
{
	struct stat st;
	return fstatat(k->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- bundles ---- */

static int open_source(void *ctx, const struct ay_entry *e, int *fd, struct ay_err *err)
{
	int dir = *(const int *)ctx;

	*fd = openat(dir, e->path + 1, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? ay_err_errno(err, errno, "%s", e->path) : 0;
}

int kit_bundle(struct kit *k, const struct kit_tree *from, const struct kit_tree *to, struct ay_offer *offer)
{
	AY_CLOSE int from_dir = from ? open_dir(k, from->dir) : -1;
	AY_CLOSE int to_dir = open_dir(k, to->dir);
	struct ay_make_tree old = {.open = open_source, .ctx = &from_dir};
	struct ay_make_tree new_ = {.manifest = to->manifest.data,
				    .manifest_len = to->manifest.len,
				    .manifest_digest = to->totals.manifest,
				    .open = open_source,
				    .ctx = &to_dir};
	struct ay_make_options options = {.threads = 1, .level = 3, .apply_memory = k->bundle_memory};
	struct ay_make_result res;
	struct ay_err err = {0};
	char name[64];

	if (from) {
		old.manifest = from->manifest.data;
		old.manifest_len = from->manifest.len;
		old.manifest_digest = from->totals.manifest;
	}
	snprintf(name, sizeof(name), "bundle-%u-%u", from ? from->serial : 0, to->serial);
	int fd = openat(k->fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s: %s", name, strerror(errno));
	if (ay_bundle_make(&old, &new_, &options, fd, &res, &err) < 0)
		die("make %s: %s", name, err.msg);
	memset(offer, 0, sizeof(*offer));
	/* The branch's name stands in the release; the offer says the same. */
	struct ay_envelope env;
	struct ay_release *r = malloc(sizeof(*r));
	if (!r || ay_envelope_parse(to->release.data, to->release.len, &env, &err) < 0 ||
	    ay_release_parse(env.text.data, env.text.len, r, &err) < 0)
		die("release of %s: %s", to->dir, err.msg);
	memcpy(offer->branch, r->branch, sizeof(offer->branch));
	free(r);
	offer->from = old.manifest_digest;
	offer->to = to->totals.manifest;
	offer->bundle = res.bundle;
	offer->bundle_size = res.bundle_size;
	offer->unpacked_size = res.unpacked_size;
	offer->hole_size = res.hole_size;
	offer->memory = res.apply_memory;
	return fd;
}

int kit_apply(struct ay_store *s, const char *branch, const struct kit_tree *t, int bundle_fd,
	      const struct ay_offer *offer, struct ay_err *err)
{
	const struct ay_apply a = {.branch = branch,
				   .release = t->release.data,
				   .release_len = t->release.len,
				   .bundle_fd = bundle_fd,
				   .offer = offer};
	return ay_store_apply(s, &a, err);
}
