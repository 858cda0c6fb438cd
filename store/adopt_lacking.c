/* SPDX-License-Identifier: MIT */
/*
 * What a directory lacks of a release: first looked for in the directory under other names, by size before anything is
 * read; then fetched from a repository.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/adopt_internal.h"
#include "store/state.h"

int ay__match_each(struct ay__match *m,
		   int (*fn)(struct ay__match *m, const struct ay_entry *e, struct ay_err *err),
		   struct ay_err *err)
{
	struct ay__fd_reader reader = {.fd = ay__open_beneath(m->b.tree, "manifest", O_RDONLY)};
	struct ay_manifest_reader *r = ay_manifest_reader_new(ay__fd_read, &reader);
	struct ay_entry e;
	int rc = reader.fd < 0 ? ay_err_errno(err, -reader.fd, "cannot read the manifest")
		 : r           ? 1
			       : ay_err_errno(err, ENOMEM, "read manifest");

	while (rc > 0 && (rc = ay_manifest_next(r, &e, err)) > 0) {
		int q = fn(m, &e, err);
		if (q < 0)
			rc = q;
	}
	ay_manifest_reader_free(r);
	if (reader.fd >= 0)
		close(reader.fd);
	return rc;
}

/* ---- what is wanted ---- */

/* Is the content staged, in whatever variant? 1, 0, -errno. */
static int is_staged(const struct ay__match *m, const struct ay_digest *d)
{
	AY_CLOSE int fd = ay__base_index_open_in(&m->staged, m->b.buckets, d);
	return fd >= 0 ? 1 : ay__not_there(fd) ? 0 : fd;
}

static int want(struct ay__match *m, const struct ay_entry *e, struct ay_err *err)
{
	int staged = e->type == AY_ENTRY_FILE ? is_staged(m, &e->digest) : 1;
	if (staged != 0)
		return staged > 0 ? 0 : ay_err_errno(err, -staged, "%s: its staged object", e->path);
	if (m->n_wanted == m->cap_wanted) {
		size_t cap = m->cap_wanted ? 2 * m->cap_wanted : 64;
		struct ay_wanted *grown = reallocarray(m->wanted, cap, sizeof(*grown));
		if (!grown)
			return ay_err_errno(err, ENOMEM, "%s", e->path);
		m->wanted = grown;
		m->cap_wanted = cap;
	}
	m->wanted[m->n_wanted++] = (struct ay_wanted){.digest = e->digest, .size = e->size};
	return 0;
}

static int cmp_wanted(const void *a, const void *b)
{
	const struct ay_wanted *x = a, *y = b;
	return ay_digest_cmp(&x->digest, &y->digest);
}

static struct ay_wanted *find_wanted(const struct ay__match *m, const struct ay_digest *d)
{
	const struct ay_wanted key = {.digest = *d};
	return m->n_wanted ? bsearch(&key, m->wanted, m->n_wanted, sizeof(key), cmp_wanted) : NULL;
}

int ay__match_list(struct ay__match *m, struct ay_err *err)
{
	size_t kept = 0;
	int r = ay__match_each(m, want, err);

	if (r < 0)
		return r;
	if (m->n_wanted > 1)
		qsort(m->wanted, m->n_wanted, sizeof(*m->wanted), cmp_wanted);
	for (size_t i = 0; i < m->n_wanted; i++) {
		if (kept == 0 || cmp_wanted(&m->wanted[kept - 1], &m->wanted[i]) != 0)
			m->wanted[kept++] = m->wanted[i];
	}
	m->n_wanted = kept;
	return 0;
}

/* ---- besides ---- */

static bool size_is_wanted(const struct ay__match *m, uint64_t size)
{
	for (size_t i = 0; i < m->n_wanted; i++) {
		if (m->wanted[i].size == size && !m->wanted[i].got)
			return true;
	}
	return false;
}

/* A file that the manifest does not name: is it a content that is wanted? Then a copy goes to raw/. */
static int on_extra(void *ctx, int dir, const char *name, const struct stat *st, struct ay_err *err)
{
	struct ay__match *m = ctx;
	struct ay_fs *fs = m->b.s->fs;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest found;

	if (!size_is_wanted(m, (uint64_t)st->st_size))
		return 0;
	AY_CLOSE int fd = ay__look_open(dir, name, st);
	int q = fd < 0 ? fd : ay_digest_fd(fd, &found, NULL);
	if (ay__own_lack(q))
		return ay_err_errno(err, -q, "cannot look at %s in %s", name, m->a->dir);
	if (q < 0) /* it was told as one besides; what it is has no bearing on what is wanted */
		return 0;
	struct ay_wanted *w = find_wanted(m, &found);
	if (!w || w->got)
		return 0;
	ay_digest_hex(&found, hex);
	int r = ay__store_reserve(m->b.s, w->size, 1, err);
	if (r < 0)
		return r;
	AY_CLOSE int to = fs->ops->open(fs, m->b.raw, hex, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return ay_err_errno(err, -to, "cannot make a file in %s/tmp", m->b.s->path);
	bool reflinked;
	r = ay__copy_file_digest(m->b.s, fd, to, w->size, &found, &reflinked, err);
	if (r == AY_EDIGEST || (r == 0 && !ay_digest_eq(&found, &w->digest))) {
		r = fs->ops->unlink(fs, m->b.raw, hex, 0); /* it has changed just now */
		return r < 0 ? ay_err_errno(err, -r, "cannot remove a file in %s/tmp", m->b.s->path) : 0;
	}
	if (r < 0)
		return r;
	w->got = true;
	m->out->moved++;
	if (reflinked) {
		m->out->reflinked.files++;
		m->out->reflinked.bytes += w->size;
	} else {
		m->out->copied.files++;
		m->out->copied.bytes += w->size;
	}
	return 0;
}

static int cmp_hash(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

int ay__match_besides(struct ay__match *m, struct ay_err *err)
{
	qsort(m->paths, m->n_paths, sizeof(*m->paths), cmp_hash);
	const struct ay__extras x = {.s = m->b.s,
				     .a = m->a,
				     .paths = m->paths,
				     .n_paths = m->n_paths,
				     .file = m->n_wanted ? on_extra : NULL,
				     .ctx = m,
				     .out = m->out};
	return ay__extras_walk(&x, err);
}

/* ---- fetched ---- */

static int open_base(void *ctx, const struct ay_digest *d, uint64_t size, int *fd)
{
	const struct ay__match *m = ctx;

	(void)size;
	*fd = ay__base_index_open_in(&m->staged, m->b.buckets, d);
	return *fd < 0 ? *fd : 0;
}

static int on_fetched(void *ctx, uint64_t done, uint64_t total)
{
	const struct ay__match *m = ctx;

	return m->a->progress ? m->a->progress(m->a->ctx, done, total) : 0;
}

/* What is not got goes to the front of the list; its number. */
static size_t missing_first(struct ay__match *m, uint64_t *bytes)
{
	size_t n = 0;

	*bytes = 0;
	for (size_t i = 0; i < m->n_wanted; i++) {
		if (m->wanted[i].got)
			continue;
		*bytes += m->wanted[i].size;
		m->wanted[n++] = m->wanted[i];
	}
	return n;
}

int ay__match_fetch(struct ay__match *m, struct ay_err *err)
{
	const struct ay_root *root;
	struct ay_retrieved got = {0};
	struct ay_err why = {0};
	uint64_t bytes;
	size_t n = missing_first(m, &bytes);

	m->n_wanted = n;
	if (n == 0)
		return 0;
	if (!m->a->repo)
		return ay_err_set(err, AY_EBASE,
				  "%zu contents (%llu bytes) are not in %s, and no repository was named to "
				  "fetch them from",
				  n, (unsigned long long)bytes, m->a->dir);
	int r = ay__store_reserve(m->b.s, bytes, n, err);
	if (r == 0)
		r = ay_state_root(m->b.s, &root, err);
	if (r < 0)
		return r;
	const struct ay_retrieve how = {.s = m->b.s,
					.repo = m->a->repo,
					.root = root,
					.branch = m->b.branch,
					.manifest = m->b.release.manifest,
					.dirfd = m->b.raw,
					.base = open_base,
					.progress = on_fetched,
					.ctx = m};
	r = ay_retrieve(&how, m->wanted, n, &got, &why);
	m->out->fetched.files = got.contents;
	m->out->fetched.bytes = got.bytes;
	if (r == AY_ENOTHING)
		return ay_err_set(err, AY_EBASE,
				  "%llu of the %zu contents that %s lacks cannot be had from %s: %s",
				  (unsigned long long)(n - got.contents), n, m->a->dir,
				  ay_repo_path(m->a->repo), why.msg);
	return r < 0 ? ay_err_set(err, r, "%s", why.msg) : 0;
}
