/* SPDX-License-Identifier: MIT */
/*
 * Every object, read on all cores: each thread takes one of the 256 directories after the other and does all that
 * is to be done in it, so that opening and looking is shared out as hashing is. What an object should be stands in its
 * name: the content's digest, and the variant, a hash of all else that an inode has.
 *
 * An object that vanishes meanwhile was collected, one that comes meanwhile was
 * checked by who made it: neither is damage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <time.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/hash_pool.h"
#include "store/spill.h"

#define READ_SIZE (256u * 1024)
#define TELL_NS   100000000

/* ---- rows ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "cdef….variant" in bucket @b. */
static bool parse_name(unsigned b, const char *name, struct ay_digest *d, uint8_t v[AY__VARIANT_LEN])
{
	char hex[AY_DIGEST_HEX + 16];

	if (strlen(name) != 62 + 1 + 16 || name[62] != '.')
		return false;
	snprintf(hex, sizeof(hex), "%02x%.62s", b, name);
	if (ay_digest_parse(d, hex, AY_DIGEST_HEX) < 0)
		return false;
	for (int i = 0; i < AY__VARIANT_LEN; i++) {
		int high = hex_digit(name[63 + 2 * i]), low = hex_digit(name[64 + 2 * i]);
		if (high < 0 || low < 0)
			return false;
		v[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

struct rows {
	struct ay__fsck_row *rows;
	size_t n, cap;
};

static struct ay__fsck_row *add_row(struct rows *k, const struct ay_digest *d,
				    const uint8_t v[AY__VARIANT_LEN], const struct stat *st)
{
	if (k->n == k->cap) {
		size_t cap = k->cap ? k->cap + k->cap / 2 : 4096;
		struct ay__fsck_row *grown = reallocarray(k->rows, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		k->rows = grown;
		k->cap = cap;
	}
	struct ay__fsck_row *row = &k->rows[k->n++];
	*row = (struct ay__fsck_row){
		.ino = st->st_ino, .links = st->st_nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)st->st_nlink};
	memcpy(row->digest, d->b, sizeof(row->digest));
	memcpy(row->variant, v, sizeof(row->variant));
	return row;
}

static int cmp_rows(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(((struct ay__fsck_row *)0)->digest) + AY__VARIANT_LEN);
}

/* The first row that is not below digest and variant (NULL: any). */
static size_t lower_bound(const struct ay__fsck *k, const struct ay_digest *d, const uint8_t *v)
{
	static const uint8_t zeros[AY__VARIANT_LEN];
	size_t low = 0, high = k->n_rows;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = memcmp(k->rows[mid].digest, d->b, sizeof(k->rows[mid].digest));
		if (c == 0)
			c = memcmp(k->rows[mid].variant, v ? v : zeros, AY__VARIANT_LEN);
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct ay__fsck_row *ay__fsck_row(const struct ay__fsck *k, const struct ay_digest *d,
				  const uint8_t v[AY__VARIANT_LEN])
{
	size_t i = lower_bound(k, d, v);

	if (i == k->n_rows || memcmp(k->rows[i].digest, d->b, sizeof(k->rows[i].digest)) != 0 ||
	    memcmp(k->rows[i].variant, v, AY__VARIANT_LEN) != 0)
		return NULL;
	return &k->rows[i];
}

int ay__fsck_content(const struct ay__fsck *k, const struct ay_digest *d)
{
	for (size_t i = lower_bound(k, d, NULL);
	     i < k->n_rows && memcmp(k->rows[i].digest, d->b, sizeof(k->rows[i].digest)) == 0; i++) {
		struct ay__object_name name;
		uint8_t state = k->rows[i].state;
		if (state != AY__ROW_GOOD && state != AY__ROW_META && state != AY__ROW_REMADE)
			continue;
		ay__object_name(d, k->rows[i].variant, &name);
		int fd = ay__open_beneath(k->s->objects, name.s, O_RDONLY | O_NONBLOCK);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/* ---- reading ---- */

/* One thread: takes a bucket after the other. Nothing is shared while it reads but the counters. */
struct reader {
	struct reading *r;
	pthread_t thread;
	bool started;
	struct rows rows;
	uint64_t objects, bytes;
	struct ay_hasher *hasher;
	uint8_t *buf;
	int rc;
	struct ay_err err;
};

struct reading {
	struct ay__fsck *k;
	atomic_uint next; /* bucket */
	atomic_bool stop;
	atomic_uint_fast64_t done_bytes;
	pthread_mutex_t lock; /* of what is told, and of: */
	pthread_cond_t ended;
	unsigned running;
};

static DIR *open_bucket(const struct ay__fsck *k, unsigned b)
{
	static const char digits[] = "0123456789abcdef";
	const char name[3] = {digits[b >> 4 & 15], digits[b & 15], '\0'};
	int fd = ay__open_beneath(k->s->objects, name, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	if (fd < 0)
		errno = -fd;
	return d;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* What a stat of everything says there is to read: for the bar. A guess is good enough. */
static void measure(struct ay__fsck *k)
{
	for (unsigned b = 0; k->f->progress && b < 256; b++) {
		AY_CLOSEDIR DIR *d = open_bucket(k, b);
		struct dirent *e;
		struct stat st;
		while (d && (e = readdir(d))) {
			if (!is_dot(e->d_name) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
				k->total_bytes += (uint64_t)st.st_size;
		}
	}
}

static void note_odd(struct ay__fsck *k, unsigned b, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "objects/%02x/%s", b, name);
	ay__fsck_tell(
		k,
		&(struct ay_fsck_finding){.what = AY_FSCK_LEFTOVER, .outcome = AY_FSCK_NOTED, .path = path},
		"not an object's name: left alone");
}

/* The digest of the open file's first @size bytes. What is appended while we read is for the next check. */
static int hash(struct reader *w, int fd, uint64_t size, struct ay_digest *d)
{
	ay_hasher_reset(w->hasher);
	if (size > READ_SIZE)
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (uint64_t at = 0; at < size;) {
		uint64_t left = size - at;
		if (atomic_load_explicit(&w->r->stop, memory_order_relaxed))
			return -ECANCELED;
		ssize_t n = pread(fd, w->buf, left < READ_SIZE ? (size_t)left : READ_SIZE, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return AY_EBUSY; /* it got shorter under us */
		ay_hasher_update(w->hasher, w->buf, (size_t)n);
		at += (uint64_t)n;
		atomic_fetch_add_explicit(&w->r->done_bytes, (uint64_t)n, memory_order_relaxed);
	}
	ay_hasher_final(w->hasher, d);
	return 0;
}

/* What the row says, or -ENOMEM: nothing can be said. */
static int judge(struct reader *w, int fd, const struct stat *st, const struct ay_digest *want,
		 const uint8_t v[AY__VARIANT_LEN])
{
	struct ay_digest found;

	w->bytes += (uint64_t)st->st_size;
	int r = hash(w, fd, (uint64_t)st->st_size, &found);
	if (r == AY_EBUSY || (r == 0 && !ay_digest_eq(&found, want)))
		return AY__ROW_BAD; /* that somebody writes into it is as bad */
	if (r < 0)
		return AY__ROW_UNREAD;
	r = ay__fsck_variant_is(w->r->k, fd, st, v);
	return r == -ENOMEM ? r : r < 0 ? AY__ROW_UNREAD : r ? AY__ROW_GOOD : AY__ROW_META;
}

static int look_at(struct reader *w, unsigned b, int bucket, const char *name)
{
	uint8_t v[AY__VARIANT_LEN];
	struct ay_digest d;
	struct stat st;

	if (!parse_name(b, name, &d, v)) {
		pthread_mutex_lock(&w->r->lock);
		note_odd(w->r->k, b, name);
		pthread_mutex_unlock(&w->r->lock);
		return 0;
	}
	/* A single name, which the directory gave: nothing to resolve but the last step. */
	AY_CLOSE int fd = openat(bucket, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	int why = errno;
	if (fd < 0 && (why == EMFILE || why == ENFILE || why == ENOMEM))
		return ay_err_errno(&w->err, why, "objects/%02x/%s", b, name);
	if ((fd < 0 ? fstatat(bucket, name, &st, AT_SYMLINK_NOFOLLOW) : fstat(fd, &st)) < 0)
		return errno == ENOENT ? 0 : ay_err_errno(&w->err, errno, "objects/%02x/%s", b, name);
	struct ay__fsck_row *row = add_row(&w->rows, &d, v, &st);
	if (!row)
		return ay_err_errno(&w->err, ENOMEM, "fsck");
	w->objects++;
	int state = !S_ISREG(st.st_mode) ? AY__ROW_BAD
		    : fd >= 0            ? judge(w, fd, &st, &d, v)
		    : why == EACCES      ? AY__ROW_UNKNOWN
					 : AY__ROW_UNREAD;
	if (state < 0)
		return ay_err_errno(&w->err, -state, "objects/%02x/%s", b, name);
	row->state = (uint8_t)state;
	return 0;
}

static int read_bucket(struct reader *w, unsigned b)
{
	AY_CLOSEDIR DIR *d = open_bucket(w->r->k, b);
	struct dirent *e;
	int rc = 0;

	if (!d && errno != ENOENT)
		return ay_err_errno(&w->err, errno, "%s/objects/%02x", w->r->k->s->path, b);
	while (rc == 0 && d && (e = readdir(d)) && !w->r->stop) {
		if (!is_dot(e->d_name))
			rc = look_at(w, b, dirfd(d), e->d_name);
	}
	return rc;
}

static void *work(void *arg)
{
	struct reader *w = arg;
	struct reading *r = w->r;

	w->hasher = ay_hasher_new();
	w->buf = malloc(READ_SIZE);
	w->rc = w->hasher && w->buf ? 0 : ay_err_errno(&w->err, ENOMEM, "fsck");
	while (w->rc == 0 && !r->stop) {
		unsigned b = atomic_fetch_add(&r->next, 1);
		if (b >= 256)
			break;
		w->rc = read_bucket(w, b);
	}
	if (w->rc < 0)
		r->stop = true;
	ay_hasher_free(w->hasher);
	free(w->buf);
	pthread_mutex_lock(&r->lock);
	r->running--;
	pthread_cond_signal(&r->ended);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Tell how far they are, until all have ended. */
static void wait_for_all(struct reading *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->running > 0) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TELL_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&r->ended, &r->lock, &until);
		if (r->k->f->progress)
			r->k->f->progress(r->k->f->ctx, r->done_bytes, r->k->total_bytes);
	}
	pthread_mutex_unlock(&r->lock);
}

static void note_strangers(struct ay__fsck *k)
{
	int fd = ay__open_beneath(k->s->objects, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		char path[300];
		if (is_dot(e->d_name) || strcmp(e->d_name, AY__SPILL_DIR) == 0 ||
		    (strlen(e->d_name) == 2 && hex_digit(e->d_name[0]) >= 0 && hex_digit(e->d_name[1]) >= 0))
			continue;
		snprintf(path, sizeof(path), "objects/%s", e->d_name);
		ay__fsck_tell(k,
			      &(struct ay_fsck_finding){
				      .what = AY_FSCK_LEFTOVER, .outcome = AY_FSCK_NOTED, .path = path},
			      "not a store's name: left alone");
	}
}

/* The rows of all threads in one sorted array. */
static int merge(struct ay__fsck *k, struct reader *w, unsigned n, struct ay_err *err)
{
	size_t total = 0;

	for (unsigned i = 0; i < n; i++)
		total += w[i].rows.n;
	k->rows = total ? reallocarray(NULL, total, sizeof(*k->rows)) : NULL;
	if (total && !k->rows)
		return ay_err_errno(err, ENOMEM, "fsck");
	for (unsigned i = 0; i < n; i++) {
		if (k->rows && w[i].rows.n)
			memcpy(k->rows + k->n_rows, w[i].rows.rows, w[i].rows.n * sizeof(*k->rows));
		k->n_rows += w[i].rows.n;
		k->res->objects += w[i].objects;
		k->res->bytes += w[i].bytes;
	}
	if (k->rows && k->n_rows > 1)
		qsort(k->rows, k->n_rows, sizeof(*k->rows), cmp_rows);
	return 0;
}

int ay__fsck_objects(struct ay__fsck *k, struct ay_err *err)
{
	unsigned n = k->f->threads ? k->f->threads : ay__cpu_count();
	struct reading r = {.k = k, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
	AY_FREE struct reader *w = NULL;
	int rc = 0;

	if (k->s->objects < 0)
		return ay_err_set(err, -EACCES, "%s/objects cannot be read: run as its owner", k->s->path);
	n = n > AY__HASH_THREADS_MAX ? AY__HASH_THREADS_MAX : n;
	if (!(w = calloc(n, sizeof(*w))))
		return ay_err_errno(err, ENOMEM, "fsck");
	measure(k);
	note_strangers(k);
	for (unsigned i = 0; i < n; i++) {
		w[i].r = &r;
		pthread_mutex_lock(&r.lock);
		r.running++;
		pthread_mutex_unlock(&r.lock);
		w[i].started = pthread_create(&w[i].thread, NULL, work, &w[i]) == 0;
		if (!w[i].started) {
			/* Fewer threads are slower, nothing else; the last one finds nothing left to do. */
			work(&w[i]);
			break;
		}
	}
	wait_for_all(&r);
	for (unsigned i = 0; i < n; i++) {
		if (w[i].started)
			pthread_join(w[i].thread, NULL);
		if (rc == 0 && w[i].rc < 0)
			rc = ay_err_set(err, w[i].rc, "%s", w[i].err.msg);
	}
	if (rc == 0)
		rc = merge(k, w, n, err);
	for (unsigned i = 0; i < n; i++)
		free(w[i].rows.rows);
	return rc;
}

/* ---- what came of them ---- */

/* An object that no tree names and that has one link: nothing reaches it. Removed when healing, as the collector would. */
static int leftover(struct ay__fsck *k, const struct ay__object_name *name, struct ay_err *err)
{
	struct stat st;
	int r = 0;

	if (fstatat(k->s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink > 1)
		return 0;
	if (k->f->heal) {
		if ((r = ay__store_lock(k->s, LOCK_EX, err)) < 0)
			return r;
		if (fstatat(k->s->objects, name->s, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1)
			r = ay__object_drop(k->s, name);
		ay__store_unlock(k->s);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot remove object %s", name->s);
	}
	k->res->leftovers++;
	k->res->leftover_bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static void tell_object(struct ay__fsck *k, const struct ay__fsck_row *row,
			const struct ay__object_name *name)
{
	static const char *const words[] = {
		[AY__ROW_META] = "mode, owner, time or attributes are not what its name says",
		[AY__ROW_BAD] = "its content is not what its name says",
		[AY__ROW_UNREAD] = "it cannot be read",
		[AY__ROW_REMADE] = "a good copy took its place",
		[AY__ROW_UNKNOWN] = "its mode does not let us read it: not checked",
	};
	struct ay_fsck_finding f = {.what = AY_FSCK_OBJECT, .object = name->s};

	f.outcome = row->state == AY__ROW_UNKNOWN  ? AY_FSCK_NOTED
		    : !k->f->heal                  ? AY_FSCK_DAMAGED
		    : row->state == AY__ROW_REMADE ? AY_FSCK_HEALED
						   : AY_FSCK_LEFT;
	ay__fsck_tell(k, &f, "%s%s", words[row->state],
		      f.outcome == AY_FSCK_LEFT ? "; no good copy was found: name a repository that has it "
						  "(--repo), or update to a newer release"
						: "");
}

/* Rows do not have the whole name: the directories do. */
int ay__fsck_tell_objects(struct ay__fsck *k, struct ay_err *err)
{
	struct dirent *e;
	int rc = 0;

	for (unsigned b = 0; b < 256 && rc == 0; b++) {
		AY_CLOSEDIR DIR *d = open_bucket(k, b);
		while (rc == 0 && d && (e = readdir(d))) {
			struct ay__object_name name;
			uint8_t v[AY__VARIANT_LEN];
			struct ay_digest digest;
			if (!parse_name(b, e->d_name, &digest, v))
				continue;
			struct ay__fsck_row *row = ay__fsck_row(k, &digest, v);
			if (!row)
				continue;
			ay__object_name(&digest, v, &name);
			if (row->state != AY__ROW_GOOD && (row->named || row->links > 1))
				tell_object(k, row, &name);
			else if (!row->named)
				rc = leftover(k, &name, err);
		}
	}
	return rc;
}
