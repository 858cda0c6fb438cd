/* SPDX-License-Identifier: MIT */
/*
 * Watching a repository. A publisher writes the head last, by rename, so a change of a branch's directory is the
 * sign that a release is complete; a slow poll serves file systems that give no signs (NFS), and offers that a
 * school makes for itself.
 *
 * Nothing is believed here: the core verifies each document. The scan only follows names.
 */
#include "node/repo_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "node/log.h"
#include "store/repo.h"

#define SETTLE_MS    200
#define POLL_MS      30000
#define WATCHES_MAX  (1 + AY_CORE_BRANCHES_MAX)
#define DOCS_MAX     8192 /* documents of one scan: AY_CORE_OFFERS_MAX, their releases, heads and roots */
#define RELEASES_MAX 4096 /* files looked at in releases/ */
#define TOLD_MAX     (2 * DOCS_MAX)
#define ROOTS_MAX    64 /* the newest so many; who is further behind asks the origin */

struct doc {
	enum ay_event_type type;
	uint8_t *data;
	size_t len;
	char branch[AY_BRANCH_NAME_MAX + 1]; /* of a BRANCH event */
};

struct bundle {
	struct ay_digest digest;
	uint64_t size;
	struct ay_bundle_file *file; /* NULL: was open before */
};

/* A release file, by the manifest that it names. */
struct release {
	struct ay_digest manifest;
	uint8_t *data;
	size_t len;
	bool told;
};

/* One scan: filled on the disk's thread, used on the loop's. */
struct scan {
	struct ay_repo_watch *watch;
	struct doc *docs;
	size_t n_docs;
	struct bundle bundles[AY_CORE_BUNDLES_MAX];
	size_t n_bundles;
	struct ay_digest open[AY_CORE_BUNDLES_MAX]; /* in the watch's name before the scan */
	size_t n_open;
	struct release *releases;
	size_t n_releases;
	struct ay_digest *todo; /* manifests whose offers are to be read */
	size_t n_todo, done;
	int result;
	struct ay_err err;
};

struct watch_dir {
	uv_fs_event_t handle;
	struct ay_repo_watch *watch;
	char path[512];
	bool used;
};

struct ay_repo_watch {
	uv_loop_t *loop;
	struct ay_repo *repo;
	struct ay_disk *disk;
	struct ay_events events;
	uv_timer_t timer;
	struct watch_dir dirs[WATCHES_MAX];
	bool scanning, again, closed;
	struct ay_digest *told; /* documents that the core was given; TOLD_MAX */
	size_t n_told;
	struct ay_digest open[AY_CORE_BUNDLES_MAX];
	size_t n_open;
	char problem[AY_ERR_MSG_MAX];
};

/* ---- scanning: on the disk's thread ---- */

/* Takes @data over. */
static int add_doc(struct scan *s, enum ay_event_type type, uint8_t *data, size_t len, const char *branch)
{
	if (s->n_docs == DOCS_MAX) {
		free(data);
		return ay_err_set(&s->err, AY_ELIMIT,
				  "more than %d documents; the oldest offers are left out", DOCS_MAX);
	}
	struct doc *d = &s->docs[s->n_docs++];
	*d = (struct doc){.type = type, .data = data, .len = len};
	snprintf(d->branch, sizeof(d->branch), "%s", branch ? branch : "");
	return 0;
}

static uint8_t *copy(const void *data, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);
	if (p)
		memcpy(p, data, len);
	return p;
}

static int scan_roots(struct scan *s)
{
	struct doc found[ROOTS_MAX];
	size_t n = 0;
	uint32_t version = 0;
	int r = 0;
	for (uint32_t want = 0; n < ROOTS_MAX; want = version - 1) {
		uint8_t *data;
		size_t len;
		r = ay_repo_get_root(s->watch->repo, want, &version, &data, &len, n ? NULL : &s->err);
		if (r < 0)
			break;
		found[n++] = (struct doc){.data = data, .len = len};
		if (version <= 1)
			break;
	}
	if (n == 0)
		return r;
	r = 0;
	while (n-- > 0) {
		if (r == 0)
			r = add_doc(s, AY_EV_ROOT, found[n].data, found[n].len, NULL);
		else
			free(found[n].data);
	}
	return r;
}

static int parse_release(const uint8_t *data, size_t len, struct ay_release *out)
{
	struct ay_envelope env;
	int r = ay_envelope_parse(data, len, &env, NULL);
	return r < 0 ? r : ay_release_parse(env.text.data, env.text.len, out, NULL);
}

/* All releases, so that the way to an older tree in a chain can be given out too. Damaged ones are as not there. */
static int scan_releases(struct scan *s)
{
	AY_FREE char *path = NULL;
	AY_FREE struct ay_release *parsed = malloc(sizeof(*parsed));
	if (!parsed || asprintf(&path, "%s/releases", ay_repo_path(s->watch->repo)) < 0) {
		path = NULL;
		return ay_err_set(&s->err, -ENOMEM, "out of memory");
	}
	AY_CLOSEDIR DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : ay_err_errno(&s->err, errno, "cannot read %s", path);
	struct dirent *e;
	while ((e = readdir(dir)) && s->n_releases < RELEASES_MAX) {
		struct ay_digest d;
		uint8_t *data;
		size_t len;
		if (ay_digest_parse(&d, e->d_name, strlen(e->d_name)) ||
		    ay_repo_get(s->watch->repo, AY_REPO_RELEASE, &d, AY_ENVELOPE_MAX, &data, &len, NULL))
			continue;
		if (parse_release(data, len, parsed)) {
			free(data);
			continue;
		}
		s->releases[s->n_releases++] =
			(struct release){.manifest = parsed->manifest, .data = data, .len = len};
	}
	return 0;
}

/* Tell a manifest's releases, and put its offers on the list. */
static int reach(struct scan *s, const struct ay_digest *manifest)
{
	if (ay_digest_is_zero(manifest))
		return 0;
	for (size_t i = 0; i < s->n_todo; i++) {
		if (ay_digest_eq(&s->todo[i], manifest))
			return 0;
	}
	if (s->n_todo == AY_CORE_OFFERS_MAX)
		return 0;
	s->todo[s->n_todo++] = *manifest;
	for (size_t i = 0; i < s->n_releases; i++) {
		struct release *r = &s->releases[i];
		if (r->told || !ay_digest_eq(&r->manifest, manifest))
			continue;
		r->told = true;
		int code = add_doc(s, AY_EV_RELEASE, r->data, r->len, NULL);
		r->data = NULL;
		if (code < 0)
			return code;
	}
	return 0;
}

/* 0: the bundle is here and open (or was); else its offer is not worth telling. */
static int scan_bundle(struct scan *s, const struct ay_digest *digest, uint64_t size)
{
	for (size_t i = 0; i < s->n_bundles; i++) {
		if (ay_digest_eq(&s->bundles[i].digest, digest))
			return 0;
	}
	if (s->n_bundles == AY_CORE_BUNDLES_MAX)
		return AY_ELIMIT;
	struct bundle b = {.digest = *digest, .size = size};
	int fd, r = ay_repo_bundle_open(s->watch->repo, digest, &fd, &s->err);
	if (r < 0)
		return r;
	bool open = false;
	for (size_t i = 0; i < s->n_open && !open; i++)
		open = ay_digest_eq(&s->open[i], digest);
	if (open)
		close(fd);
	else
		r = ay_bundle_file_open_fd(fd, digest, size, &b.file, &s->err);
	if (r == 0)
		s->bundles[s->n_bundles++] = b;
	return r;
}

static int on_offer(void *ctx, const uint8_t *data, size_t len)
{
	struct scan *s = ctx;
	struct ay_envelope env;
	struct ay_offer offer;
	if (ay_envelope_parse(data, len, &env, NULL) ||
	    ay_offer_parse(env.text.data, env.text.len, &offer, NULL))
		return 0;
	int r = scan_bundle(s, &offer.bundle, offer.bundle_size);
	if (r < 0) {
		s->result = r; /* said in status; the rest is told all the same */
		return 0;
	}
	uint8_t *c = copy(data, len);
	r = c ? add_doc(s, AY_EV_OFFER, c, len, NULL) : -ENOMEM;
	return r < 0 ? r : reach(s, &offer.from);
}

static int scan_branch(struct scan *s, const char *name, struct ay_release *release)
{
	uint8_t bytes[AY_HEAD_SIZE];
	struct ay_head head;
	AY_FREE uint8_t *data = NULL;
	size_t len;
	int r = ay_repo_get_head(s->watch->repo, name, bytes, &s->err);
	if (r == 0)
		r = ay_head_parse(bytes, sizeof(bytes), &head, &s->err);
	if (r == 0)
		r = ay_repo_get(s->watch->repo, AY_REPO_RELEASE, &head.release, AY_ENVELOPE_MAX, &data, &len,
				&s->err);
	if (r == 0 && (r = parse_release(data, len, release)) < 0)
		ay_err_set(&s->err, r, "its release is malformed");
	if (r < 0)
		return ay_err_wrap(&s->err, r, "branch %s", name);
	r = add_doc(s, AY_EV_BRANCH, NULL, 0, name);
	uint8_t *c = copy(bytes, sizeof(bytes));
	if (r == 0)
		r = c ? add_doc(s, AY_EV_HEAD, c, sizeof(bytes), name) : -ENOMEM;
	else
		free(c);
	return r < 0 ? r : reach(s, &release->manifest);
}

static int scan_branches(struct scan *s)
{
	char **names;
	size_t n;
	AY_FREE struct ay_release *release = malloc(sizeof(*release));
	if (!release)
		return -ENOMEM;
	int r = ay_repo_branches(s->watch->repo, &names, &n, &s->err);
	if (r < 0)
		return r;
	/* A branch that cannot be read must not hide the others. */
	for (size_t i = 0; i < n && i < AY_CORE_BRANCHES_MAX; i++) {
		r = scan_branch(s, names[i], release);
		if (r < 0)
			s->result = r;
	}
	ay_store_names_free(names, n);
	return 0;
}

static void scan_work(void *ctx)
{
	struct scan *s = ctx;
	int r = scan_roots(s);
	if (r == 0)
		r = scan_releases(s);
	if (r == 0)
		r = scan_branches(s);
	while (r == 0 && s->done < s->n_todo)
		r = ay_repo_each_offer(s->watch->repo, &s->todo[s->done++], on_offer, s, &s->err);
	if (r < 0)
		s->result = r;
}

/* ---- telling: on the loop's thread ---- */

static void scan_free(struct scan *s)
{
	for (size_t i = 0; i < s->n_docs; i++)
		free(s->docs[i].data);
	for (size_t i = 0; i < s->n_releases; i++)
		free(s->releases[i].data);
	for (size_t i = 0; i < s->n_bundles; i++)
		ay_bundle_file_close(s->bundles[i].file);
	free(s->docs);
	free(s->releases);
	free(s->todo);
	free(s);
}

/* First time? A head, a branch's name and an envelope never have the same bytes. */
static bool remember(struct ay_repo_watch *w, const struct doc *doc)
{
	struct ay_digest d;
	if (doc->type == AY_EV_BRANCH)
		ay_digest_mem(doc->branch, strlen(doc->branch), &d);
	else
		ay_digest_mem(doc->data, doc->len, &d);
	for (size_t i = 0; i < w->n_told; i++) {
		if (ay_digest_eq(&w->told[i], &d))
			return false;
	}
	/* Heads and old offers pass by over the years; then all is told again once, which does no harm. */
	if (w->n_told == TOLD_MAX)
		w->n_told = 0;
	w->told[w->n_told++] = d;
	return true;
}

static void tell_doc(struct ay_repo_watch *w, const struct doc *doc)
{
	struct ay_event ev = {.type = doc->type, .data = {doc->data, doc->len}};
	if (!remember(w, doc))
		return;
	if (doc->type == AY_EV_BRANCH)
		ev.branch.name = doc->branch;
	else if (doc->type == AY_EV_HEAD)
		ay_log(AY_LOG_NOTICE, "branch %s has a new head in the repository", doc->branch);
	ay_events_post(&w->events, &ev);
}

static void tell_type(struct ay_repo_watch *w, const struct scan *s, enum ay_event_type type)
{
	for (size_t i = 0; i < s->n_docs; i++) {
		if (s->docs[i].type == type)
			tell_doc(w, &s->docs[i]);
	}
}

static void tell_bundles(struct ay_repo_watch *w, struct scan *s)
{
	w->n_open = 0;
	for (size_t i = 0; i < s->n_bundles; i++)
		w->open[w->n_open++] = s->bundles[i].digest;
	ay_disk_forget(w->disk, true, w->open, w->n_open);
	for (size_t i = 0; i < s->n_bundles; i++) {
		struct ay_bundle_file *f = s->bundles[i].file;
		s->bundles[i].file = NULL;
		if (f)
			ay_disk_adopt(w->disk, &s->bundles[i].digest, f);
	}
}

static void watch_dirs(struct ay_repo_watch *w, const struct scan *s);

static void scan_done(void *ctx, bool cancelled)
{
	struct scan *s = ctx;
	struct ay_repo_watch *w = s->watch;
	w->scanning = false;
	if (!cancelled && !w->closed) {
		bool bad = s->result < 0, new_problem = false;
		if (bad)
			ay_err_wrap(&s->err, s->result, "repository %s", ay_repo_path(w->repo));
		new_problem = bad && strcmp(w->problem, s->err.msg) != 0;
		snprintf(w->problem, sizeof(w->problem), "%s", bad ? s->err.msg : "");
		if (new_problem)
			ay_log(AY_LOG_WARNING, "%s", w->problem);
		/* The head last, as the publisher did: who announces it can give out all that it leads to. */
		tell_type(w, s, AY_EV_ROOT);
		tell_type(w, s, AY_EV_BRANCH);
		tell_type(w, s, AY_EV_RELEASE);
		tell_type(w, s, AY_EV_OFFER);
		tell_bundles(w, s);
		tell_type(w, s, AY_EV_HEAD);
		watch_dirs(w, s);
		if (w->again)
			ay_repo_watch_scan(w);
	}
	scan_free(s);
}

void ay_repo_watch_scan(struct ay_repo_watch *w)
{
	if (w->closed)
		return;
	w->again = w->scanning;
	if (w->scanning)
		return;
	struct scan *s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->watch = w;
	s->docs = calloc(DOCS_MAX, sizeof(*s->docs));
	s->releases = calloc(RELEASES_MAX, sizeof(*s->releases));
	s->todo = calloc(AY_CORE_OFFERS_MAX, sizeof(*s->todo));
	memcpy(s->open, w->open, sizeof(s->open));
	s->n_open = w->n_open;
	if (!s->docs || !s->releases || !s->todo || ay_disk_job(w->disk, scan_work, scan_done, s)) {
		scan_free(s);
		return;
	}
	w->scanning = true;
}

/* ---- signs ---- */

static void on_poll_timer(uv_timer_t *t)
{
	struct ay_repo_watch *w = t->data;
	uv_timer_start(t, on_poll_timer, POLL_MS, 0);
	ay_repo_watch_scan(w);
}

static void on_change(uv_fs_event_t *h, const char *name, int events, int status)
{
	struct watch_dir *d = h->data;
	(void)name;
	(void)events;
	if (status == 0)
		uv_timer_start(&d->watch->timer, on_poll_timer, SETTLE_MS, 0);
}

static void watch_dir(struct ay_repo_watch *w, const char *path)
{
	struct watch_dir *slot = NULL;
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		struct watch_dir *d = &w->dirs[i];
		if (d->used && strcmp(d->path, path) == 0)
			return;
		if (!d->used && !slot)
			slot = d;
	}
	if (!slot || strlen(path) >= sizeof(slot->path))
		return; /* the slow poll serves */
	slot->watch = w;
	slot->handle.data = slot;
	if (uv_fs_event_init(w->loop, &slot->handle))
		return;
	slot->used = true;
	snprintf(slot->path, sizeof(slot->path), "%s", path);
	uv_fs_event_start(&slot->handle, on_change, path, 0);
}

static void watch_dirs(struct ay_repo_watch *w, const struct scan *s)
{
	struct ay_buf path = {0};
	ay_put_fmt(&path, "%s/branches", ay_repo_path(w->repo));
	size_t base = path.len;
	if (ay_buf_cstr(&path))
		watch_dir(w, (const char *)path.data);
	for (size_t i = 0; i < s->n_docs; i++) {
		if (s->docs[i].type != AY_EV_BRANCH)
			continue;
		path.len = base;
		ay_put_str(&path, "/");
		if (ay_percent_name(&path, s->docs[i].branch) == 0 && ay_buf_cstr(&path))
			watch_dir(w, (const char *)path.data);
	}
	ay_buf_release(&path);
}

/* ---- life ---- */

int ay_repo_watch_new(uv_loop_t *loop, const char *path, struct ay_disk *disk, const struct ay_events *events,
		      struct ay_repo_watch **out, struct ay_err *err)
{
	struct ay_repo *repo;
	AY_FREE uint8_t *root = NULL;
	size_t len;
	uint32_t version;
	int r = ay_repo_open(ay_fs_real(), path, false, &repo, err);
	if (r < 0)
		return ay_err_wrap(err, r, "open repository %s", path);
	r = ay_repo_get_root(repo, 0, &version, &root, &len, err);
	if (r < 0) {
		ay_repo_close(repo);
		return ay_err_wrap(err, r, "repository %s has no root (see `ayni root --help`)", path);
	}
	struct ay_repo_watch *w = calloc(1, sizeof(*w));
	if (w)
		w->told = calloc(TOLD_MAX, sizeof(w->told[0])); /* touched as it fills */
	if (!w || !w->told) {
		free(w);
		ay_repo_close(repo);
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	w->loop = loop;
	w->repo = repo;
	w->disk = disk;
	w->events = *events;
	w->timer.data = w;
	uv_timer_init(loop, &w->timer);
	uv_timer_start(&w->timer, on_poll_timer, 0, 0);
	*out = w;
	return 0;
}

const char *ay_repo_watch_problem(const struct ay_repo_watch *w)
{
	return w->problem;
}

void ay_repo_watch_close(struct ay_repo_watch *w)
{
	w->closed = true;
	uv_close((uv_handle_t *)&w->timer, NULL);
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		if (w->dirs[i].used)
			uv_close((uv_handle_t *)&w->dirs[i].handle, NULL);
	}
}

void ay_repo_watch_free(struct ay_repo_watch *w)
{
	if (!w)
		return;
	ay_repo_close(w->repo);
	free(w->told);
	free(w);
}
