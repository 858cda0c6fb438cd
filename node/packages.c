/* SPDX-License-Identifier: MIT */
/*
 * Where package databases are in a tree, and what differs between two lists of packages.
 */
#include "node/packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/fs.h"

#define STATUS_FILES_MAX 100000 /* in status.d */

/* Strictly beneath @root; through the seam, which resolves like that. */
static int open_beneath(int root, const char *path, int flags)
{
	return ay_fs_real()->ops->open(ay_fs_real(), root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | flags, 0);
}

static bool is_absent(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR;
}

/* All of the regular file @fd, at most @max bytes. */
static int read_whole(int fd, size_t max, struct ay_buf *out, struct ay_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "cannot read it");
	if (!S_ISREG(st.st_mode))
		return ay_err_set(err, AY_EFORMAT, "it is no regular file");
	if ((uint64_t)st.st_size > max)
		return ay_err_set(err, AY_ELIMIT, "%lld bytes are more than any has", (long long)st.st_size);
	ay_buf_init(out, max + 1);
	for (;;) {
		uint8_t *room = ay_buf_reserve(out, (size_t)st.st_size - out->len + 1);
		if (!room)
			return ay_err_set(err, ay_buf_status(out), "%s", ay_strerror(ay_buf_status(out)));
		ssize_t n = pread(fd, room, (size_t)st.st_size - out->len, (off_t)out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot read it");
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
}

static int parse(struct ay_packages *list, enum ay_package_db db, struct ay_buf *data, struct ay_err *err)
{
	switch (db) {
	case AY_PACKAGES_APK:
		return ay_packages_apk(list, data->data, data->len, err);
	case AY_PACKAGES_RPM:
		return data->len ? ay_packages_rpm_sqlite(list, data->data, data->len, err)
				 : ay_err_set(err, AY_EFORMAT, "it is empty");
	default:
		return ay_packages_control(list, db, data->data, data->len, err);
	}
}

/* One database's file below @dir; that it is not there is fine. */
static int read_file(struct ay_packages *list, int dir, enum ay_package_db db, const char *path,
		     struct ay_err *err)
{
	AY_CLEANUP(ay_buf_release) struct ay_buf data = {0};
	AY_CLOSE int fd = open_beneath(dir, path, 0);
	int r;

	if (is_absent(fd))
		return 0;
	if (fd == -ELOOP) {
		list->linked |= 1u << db;
		return 0;
	}
	if (fd < 0)
		r = ay_err_errno(err, -fd, "cannot open it");
	else
		r = read_whole(fd, db == AY_PACKAGES_RPM ? AY_PACKAGES_RPM_MAX : AY_PACKAGES_TEXT_MAX, &data,
			       err);
	if (r == 0)
		r = parse(list, db, &data, err);
	list->dbs |= 1u << db;
	return r < 0 ? ay_err_wrap(err, r, "%s", path) : 0;
}

/* Images without dpkg have one file a package. Beside them may stand lists of checksums. */
static int read_status_d(struct ay_packages *list, int root, struct ay_err *err)
{
	int fd = open_beneath(root, "var/lib/dpkg/status.d", O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned n = 0;
	int r = 0;

	if (is_absent(fd) || fd == -ELOOP)
		return 0;
	if (!d) {
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, fd < 0 ? -fd : errno, "var/lib/dpkg/status.d: cannot list it");
	}
	while (r == 0) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (!e)
			return errno ? ay_err_errno(err, errno, "var/lib/dpkg/status.d: cannot list it") : 0;
		const char *dot = strrchr(e->d_name, '.');
		if (e->d_name[0] == '.' || (dot && strcmp(dot, ".md5sums") == 0))
			continue;
		if (++n > STATUS_FILES_MAX)
			return ay_err_set(err, AY_ELIMIT, "var/lib/dpkg/status.d: too many files");
		r = read_file(list, dirfd(d), AY_PACKAGES_DPKG, e->d_name, err);
	}
	return ay_err_wrap(err, r, "var/lib/dpkg/status.d");
}

static const struct {
	enum ay_package_db db;
	const char *path;
} places[] = {
	{AY_PACKAGES_DPKG, "var/lib/dpkg/status"},
	{AY_PACKAGES_APK, "lib/apk/db/installed"},
	{AY_PACKAGES_APK, "usr/lib/apk/db/installed"},
	{AY_PACKAGES_OPKG, "usr/lib/opkg/status"},
	{AY_PACKAGES_OPKG, "var/lib/opkg/status"},
	{AY_PACKAGES_OPKG, "opt/lib/opkg/status"},
	{AY_PACKAGES_RPM, "var/lib/rpm/rpmdb.sqlite"},
	{AY_PACKAGES_RPM, "usr/lib/sysimage/rpm/rpmdb.sqlite"},
	{AY_PACKAGES_RPM, "usr/share/rpm/rpmdb.sqlite"},
};

static void warn_of_links(const struct ay_packages *list, const char *name,
			  void (*warn)(const char *sentence))
{
	char sentence[512];

	for (unsigned db = 0; warn && db < AY_PACKAGE_DBS; db++) {
		if ((list->linked & ~list->dbs) >> db & 1) {
			snprintf(
				sentence, sizeof(sentence),
				"%s: the way to the database of %s is a symbolic link, which is not followed",
				name, ay_package_db_name(db));
			warn(sentence);
		}
	}
}

static void warn_of_log(int root, const char *path, const char *name, void (*warn)(const char *sentence))
{
	char log[128], sentence[512];
	struct stat st;

	snprintf(log, sizeof(log), "%s-wal", path);
	AY_CLOSE int fd = open_beneath(root, log, 0);
	if (!warn || fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return;
	snprintf(
		sentence, sizeof(sentence),
		"%s: %s has entries that are not in the database yet and are not looked at: what is said of rpm's "
		"packages may be older",
		name, log);
	warn(sentence);
}

/* In a merged /usr, /lib is a link: what is behind it is found under its own name. */
static bool is_merged(int root, const char *path)
{
	struct stat st;

	return strncmp(path, "lib/", 4) == 0 && fstatat(root, "lib", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISLNK(st.st_mode);
}

int ay_packages_read(struct ay_packages *list, int root, const char *name, void (*warn)(const char *sentence),
		     struct ay_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		unsigned before = list->dbs;
		if ((before >> places[i].db & 1) || is_merged(root, places[i].path))
			continue;
		r = read_file(list, root, places[i].db, places[i].path, err);
		if (r == 0 && places[i].db == AY_PACKAGES_RPM && list->dbs != before)
			warn_of_log(root, places[i].path, name, warn);
	}
	if (r == 0)
		r = read_status_d(list, root, err);
	if (r == 0)
		warn_of_links(list, name, warn);
	return r < 0 ? ay_err_wrap(err, r, "%s", name) : 0;
}

/* ---- two lists ---- */

struct side {
	const struct ay_packages *list;
	bool *done; /* by package */
	size_t at;
};

static const char *word(const struct ay_packages *list, size_t offset)
{
	return (const char *)list->text.data + offset;
}

/* By kind and name; @arch: then by architecture and version. */
static int cmp(const struct ay_packages *la, const struct ay_package *a, const struct ay_packages *lb,
	       const struct ay_package *b, bool arch)
{
	if (a->db != b->db)
		return a->db < b->db ? -1 : 1;
	int c = strcmp(word(la, a->name), word(lb, b->name));
	return c || !arch ? c : strcmp(word(la, a->arch), word(lb, b->arch));
}

static int cmp_packages(const void *a, const void *b, void *list)
{
	const struct ay_package *x = a, *y = b;
	int c = cmp(list, x, list, y, true);
	return c ? c : strcmp(word(list, x->version), word(list, y->version));
}

static json_t *package_json(const struct ay_packages *list, const struct ay_package *p)
{
	return json_pack("{s:s, s:s, s:s}", "kind", ay_package_db_name(p->db), "name", word(list, p->name),
			 "arch", word(list, p->arch));
}

static const char *or_none(const char *version)
{
	return version[0] ? version : "(no version)";
}

static void print_name(char mark, const struct ay_packages *list, const struct ay_package *p)
{
	const char *arch = word(list, p->arch);

	printf("%c %s%s%s ", mark, word(list, p->name), arch[0] ? ":" : "", arch);
}

/* A package that is only on one side. */
static void tell_one(struct ay_packages_difference *out, bool json, bool added,
		     const struct ay_packages *list, const struct ay_package *p)
{
	*(added ? &out->added : &out->removed) += 1;
	if (json) {
		json_t *o = package_json(list, p);
		json_object_set_new(o, "version", json_string(word(list, p->version)));
		json_array_append_new(json_object_get(out->json, added ? "added" : "removed"), o);
		return;
	}
	print_name(added ? '+' : '-', list, p);
	printf("%s\n", or_none(word(list, p->version)));
}

static void tell_changed(struct ay_packages_difference *out, bool json, const struct ay_packages *old,
			 const struct ay_package *a, const struct ay_packages *new_,
			 const struct ay_package *b)
{
	bool arch = strcmp(word(old, a->arch), word(new_, b->arch)) != 0;

	out->changed++;
	if (json) {
		json_t *o = package_json(new_, b);
		json_object_set_new(o, "from", json_string(word(old, a->version)));
		json_object_set_new(o, "to", json_string(word(new_, b->version)));
		if (arch)
			json_object_set_new(o, "from_arch", json_string(word(old, a->arch)));
		json_array_append_new(json_object_get(out->json, "changed"), o);
		return;
	}
	print_name('~', old, a);
	printf("%s -> %s", or_none(word(old, a->version)), or_none(word(new_, b->version)));
	if (arch)
		printf(" (now %s)", word(new_, b->arch));
	putchar('\n');
}

/* How many are left of those from @from to @end, and the last of them. */
static size_t left(const struct side *s, size_t from, size_t end, size_t *last)
{
	size_t n = 0;

	for (size_t i = from; i < end; i++) {
		if (!s->done[i]) {
			n++;
			*last = i;
		}
	}
	return n;
}

/* Where those end that have the name (@arch: and the architecture) of the one at @from. */
static size_t end_of(const struct side *s, size_t from, bool arch)
{
	size_t end = from;

	while (end < s->list->n && cmp(s->list, &s->list->all[from], s->list, &s->list->all[end], arch) == 0)
		end++;
	return end;
}

/* What is on both sides: first the same version of the same architecture, then another version, then another architecture. */
static void tell_name(struct side *a, size_t a_end, struct side *b, size_t b_end, bool json,
		      struct ay_packages_difference *out)
{
	size_t i = 0, k = 0;

	for (i = a->at, k = b->at; i < a_end && k < b_end;) {
		const struct ay_package *x = &a->list->all[i], *y = &b->list->all[k];
		int c = cmp(a->list, x, b->list, y, true);
		if (c == 0)
			c = strcmp(word(a->list, x->version), word(b->list, y->version));
		if (c == 0) {
			a->done[i++] = b->done[k++] = true;
			out->same++;
		} else if (c < 0) {
			i++;
		} else {
			k++;
		}
	}
	for (i = a->at, k = b->at; i < a_end && k < b_end;) {
		int c = cmp(a->list, &a->list->all[i], b->list, &b->list->all[k], true);
		size_t i_end = end_of(a, i, true), k_end = end_of(b, k, true), x, y;
		if (c == 0 && left(a, i, i_end, &x) == 1 && left(b, k, k_end, &y) == 1) {
			tell_changed(out, json, a->list, &a->list->all[x], b->list, &b->list->all[y]);
			a->done[x] = b->done[y] = true;
		}
		i = c <= 0 ? i_end : i;
		k = c >= 0 ? k_end : k;
	}
	if (left(a, a->at, a_end, &i) == 1 && left(b, b->at, b_end, &k) == 1) {
		tell_changed(out, json, a->list, &a->list->all[i], b->list, &b->list->all[k]);
		a->done[i] = b->done[k] = true;
	}
}

static void tell_rest(struct side *s, size_t end, bool added, bool json, struct ay_packages_difference *out)
{
	for (; s->at < end; s->at++) {
		if (!s->done[s->at])
			tell_one(out, json, added, s->list, &s->list->all[s->at]);
	}
}

int ay_packages_compare(struct ay_packages *old, struct ay_packages *new_, bool json,
			struct ay_packages_difference *out, struct ay_err *err)
{
	AY_FREE bool *done = calloc(old->n + new_->n + 1, sizeof(bool));
	struct side a = {.list = old, .done = done}, b = {.list = new_, .done = done ? done + old->n : NULL};

	*out = (struct ay_packages_difference){0};
	if (json)
		out->json = json_pack("{s:[], s:[], s:[]}", "added", "removed", "changed");
	if (!done || (json && !out->json))
		return ay_err_set(err, -ENOMEM, "out of memory");
	if (old->n > 1)
		qsort_r(old->all, old->n, sizeof(*old->all), cmp_packages, old);
	if (new_->n > 1)
		qsort_r(new_->all, new_->n, sizeof(*new_->all), cmp_packages, new_);
	while (a.at < old->n || b.at < new_->n) {
		int c = a.at == old->n    ? 1
			: b.at == new_->n ? -1
					  : cmp(old, &old->all[a.at], new_, &new_->all[b.at], false);
		size_t a_end = c <= 0 ? end_of(&a, a.at, false) : a.at,
		       b_end = c >= 0 ? end_of(&b, b.at, false) : b.at;
		if (c == 0)
			tell_name(&a, a_end, &b, b_end, json, out);
		tell_rest(&a, a_end, false, json, out);
		tell_rest(&b, b_end, true, json, out);
	}
	return 0;
}
