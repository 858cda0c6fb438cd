/* SPDX-License-Identifier: MIT */
/*
 * A power cut: which changes are left is drawn first, then they are done once more, in
 * their order, on a disk in memory, then that is written into a directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/support/crash_log.h"

enum { GONE, LEFT, NOISE }; /* of a change; NOISE: a page's block was there, but never written */

struct draw {
	const struct crash_log *l;
	const struct crash_cut *cut;
	uint8_t *left;  /* per change */
	uint32_t *open; /* the changes that are not durable */
	uint32_t n_open;
};

static bool settled(const struct crash_change *c, uint32_t at)
{
	return c->durable <= at;
}

/* Only where the cut is behind the sync that was left out. */
static bool suspect(const struct draw *d, uint32_t i)
{
	const struct crash_change *c = &d->l->changes[i];

	return c->suspect != 0 && c->suspect <= d->cut->at;
}

/* By how each of the open changes is drawn. */
static void draw_strict(struct draw *d, struct ay_prng *r)
{
	static const unsigned chances[] = {0, 5, 20, 50, 80, 95, 100};
	unsigned chance = chances[ay_prng_below(r, sizeof(chances) / sizeof(chances[0]))];
	enum crash_choice choice = d->cut->choice;

	if (choice == CRASH_ALL_BUT_A_FEW || choice == CRASH_SUSPECTS_LOST)
		chance = 100;
	if (choice == CRASH_NONE_BUT_A_FEW)
		chance = 0;
	for (uint32_t i = 0; i < d->n_open; i++)
		d->left[d->open[i]] = ay_prng_below(r, 100) < chance ? LEFT : GONE;
	if (choice == CRASH_SUSPECTS_LOST) {
		enum { ALL, SOME, DATA, NAMES } kind = (int)ay_prng_below(r, 4);
		for (uint32_t i = 0; i < d->n_open; i++) {
			enum crash_what what = d->l->changes[d->open[i]].what;
			bool lose = kind == ALL || (kind == DATA && what == CRASH_PAGE_DATA) ||
				    (kind == NAMES && what == CRASH_SLOT) ||
				    (kind == SOME && ay_prng_below(r, 2));
			if (lose && suspect(d, d->open[i]))
				d->left[d->open[i]] = GONE;
		}
	} else if (choice != CRASH_RANDOM && d->n_open > 0) {
		for (uint64_t n = 1 + ay_prng_below(r, 3); n > 0; n--)
			d->left[d->open[ay_prng_below(r, d->n_open)]] = chance ? GONE : LEFT;
	}
}

/* A journal's commits are all changes up to some call. The last sync was one of them. */
static void draw_ordered(struct draw *d, struct ay_prng *r)
{
	uint32_t synced = 0;

	for (uint32_t i = 0; i < d->l->n_changes; i++) {
		const struct crash_change *c = &d->l->changes[i];
		if (settled(c, d->cut->at) && c->durable > synced)
			synced = c->durable;
	}
	uint32_t end = synced + (uint32_t)ay_prng_below(r, d->cut->at - synced + 1);
	for (uint32_t i = 0; i < d->n_open; i++) {
		const struct crash_change *c = &d->l->changes[d->open[i]];
		bool data = c->what == CRASH_PAGE_DATA;
		d->left[d->open[i]] = data             ? ay_prng_below(r, 2) ? LEFT : GONE
				      : c->lost        ? GONE
				      : c->time <= end ? LEFT
						       : GONE;
	}
}

/* What belongs together stays together. */
static void keep_pairs(struct draw *d)
{
	for (uint32_t i = 0; i + 1 < d->l->n_changes; i++) {
		const struct crash_change *c = &d->l->changes[i];
		if (c->time > d->cut->at)
			break;
		if (c->pair == CRASH_TOGETHER) {
			bool durable = settled(c, d->cut->at) && settled(c + 1, d->cut->at);
			bool either = !settled(c, d->cut->at) && !settled(c + 1, d->cut->at)
					      ? d->left[i]
					      : d->left[i] && d->left[i + 1];
			d->left[i] = d->left[i + 1] = durable || either;
		} else if (c[1].pair == CRASH_AFTER && !d->left[i]) {
			d->left[i + 1] = GONE;
		}
	}
}

static void draw_init(struct draw *d, const struct crash_log *l, const struct crash_cut *cut)
{
	struct ay_prng r;

	*d = (struct draw){.l = l, .cut = cut};
	d->left = calloc(l->n_changes + 1, 1);
	d->open = calloc(l->n_changes + 1, sizeof(*d->open));
	if (!d->left || !d->open)
		crash_die("out of memory");
	for (uint32_t i = 0; i < l->n_changes && l->changes[i].time <= cut->at; i++) {
		if (settled(&l->changes[i], cut->at))
			d->left[i] = LEFT;
		else
			d->open[d->n_open++] = i;
	}
	ay_prng_init(&r, cut->seed);
	if (cut->flavour == CRASH_ORDERED)
		draw_ordered(d, &r);
	else
		draw_strict(d, &r);
	for (uint32_t i = 0; i < d->n_open; i++) {
		if (l->changes[d->open[i]].what == CRASH_PAGE_DATA && !d->left[d->open[i]] &&
		    ay_prng_below(&r, 8) == 0)
			d->left[d->open[i]] = NOISE;
	}
	keep_pairs(d);
}

static void draw_release(struct draw *d)
{
	free(d->left);
	free(d->open);
}

/* ---- the disk in memory ---- */

struct entry {
	uint32_t name, inode;
};

struct node {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool has_mtime;
	struct timespec mtime;
	uint64_t size;
	const uint8_t **pages; /* NULL: zeros */
	uint32_t n_pages;
	const struct crash_change **xattrs;
	uint32_t n_xattrs, cap_xattrs;
	struct entry *entries;
	uint32_t n_entries, cap_entries;
	uint32_t place, place_name; /* of a directory */
	char *first;                /* the path under which it was written; later names are links to it */
};

struct disk {
	const struct crash_log *l;
	struct node *nodes;
	int top;
	char path[2048];
};

static const uint8_t noise[CRASH_PAGE] = {0x5a, 0xa5, 0xff, 0x0a, 'j', 'u', 'n', 'k'};

static void *grown(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? 2 * *cap : 8;
	if (!(p = reallocarray(p, *cap, size)))
		crash_die("out of memory");
	return p;
}

static void set_slot(struct node *n, uint32_t name, uint32_t inode)
{
	for (uint32_t i = 0; i < n->n_entries; i++) {
		if (n->entries[i].name == name) {
			n->entries[i].inode = inode;
			return;
		}
	}
	n->entries = grown(n->entries, n->n_entries, &n->cap_entries, sizeof(*n->entries));
	n->entries[n->n_entries++] = (struct entry){name, inode};
}

static void set_page(struct node *n, uint32_t page, const uint8_t *bytes)
{
	if (page >= n->n_pages) {
		n->pages = reallocarray(n->pages, page + 1, sizeof(*n->pages));
		if (!n->pages)
			crash_die("out of memory");
		memset(n->pages + n->n_pages, 0, (page + 1 - n->n_pages) * sizeof(*n->pages));
		n->n_pages = page + 1;
	}
	n->pages[page] = bytes;
}

static void set_xattr(struct node *n, const struct crash_change *c)
{
	for (uint32_t i = 0; i < n->n_xattrs; i++) {
		if (n->xattrs[i]->key == c->key) {
			n->xattrs[i] = c;
			return;
		}
	}
	n->xattrs = grown(n->xattrs, n->n_xattrs, &n->cap_xattrs, sizeof(*n->xattrs));
	n->xattrs[n->n_xattrs++] = c;
}

/* A directory is in one place: where its last move that is left put it. */
static void leave_old_place(struct disk *d, const struct crash_change *c)
{
	struct node *n = &d->nodes[c->value];

	if (c->value == 0 || !S_ISDIR(n->mode))
		return;
	if (n->place)
		set_slot(&d->nodes[n->place], n->place_name, 0);
	n->place = c->inode;
	n->place_name = c->key;
}

static void redo(struct disk *d, const struct crash_change *c, int how)
{
	struct node *n = &d->nodes[c->inode];

	switch (c->what) {
	case CRASH_SLOT:
		leave_old_place(d, c);
		set_slot(n, c->key, (uint32_t)c->value);
		break;
	case CRASH_PAGE_DATA: /* a block that was there before is the old or the new one */
		if (how != NOISE)
			set_page(n, c->key, c->bytes);
		else if (c->key >= n->n_pages || !n->pages[c->key])
			set_page(n, c->key, noise);
		break;
	case CRASH_SIZE:
		n->size = c->value;
		break;
	case CRASH_MODE:
		n->mode = (n->mode & S_IFMT) | (mode_t)c->value;
		break;
	case CRASH_OWNER:
		n->uid = (uid_t)c->value;
		n->gid = (gid_t)c->value2;
		break;
	case CRASH_MTIME:
		n->has_mtime = true;
		n->mtime = (struct timespec){(time_t)c->value, (long)c->value2};
		break;
	case CRASH_XATTR:
		set_xattr(n, c);
		break;
	default:
		crash_die("no such change");
	}
}

/* ---- writing it ---- */

static void must(bool ok, const struct disk *d, const char *what)
{
	if (!ok)
		crash_die("%s %s: %s", what, d->path, strerror(errno));
}

static void write_content(struct disk *d, int fd, const struct node *n)
{
	for (uint32_t i = 0; i < n->n_pages && (uint64_t)i * CRASH_PAGE < n->size; i++) {
		uint64_t at = (uint64_t)i * CRASH_PAGE, len = n->size - at;
		if (len > CRASH_PAGE)
			len = CRASH_PAGE;
		if (n->pages[i])
			must(pwrite(fd, n->pages[i], len, (off_t)at) == (ssize_t)len, d, "write");
	}
	must(ftruncate(fd, (off_t)n->size) == 0, d, "truncate");
}

static void write_meta(struct disk *d, int fd, const struct node *n)
{
	const struct timespec ts[2] = {n->mtime, n->mtime};

	must(geteuid() != 0 || (n->uid == 0 && n->gid == 0) || fchown(fd, n->uid, n->gid) == 0, d, "chown");
	must(fchmod(fd, n->mode & 07777) == 0, d, "chmod");
	for (uint32_t i = 0; i < n->n_xattrs; i++) {
		const struct crash_change *x = n->xattrs[i];
		must(fsetxattr(fd, d->l->names[x->key], x->bytes, x->value, 0) == 0, d, "setxattr");
	}
	must(!n->has_mtime || futimens(fd, ts) == 0, d, "utimens");
}

static void write_special(struct disk *d, int dir, const char *name, uint32_t id, const struct node *n)
{
	const struct timespec ts[2] = {n->mtime, n->mtime};

	if (S_ISLNK(n->mode))
		must(symlinkat(d->l->inodes[id].target, dir, name) == 0, d, "symlink");
	else
		must(mknodat(dir, name, n->mode, d->l->inodes[id].rdev) == 0, d, "mknod");
	must(geteuid() != 0 || (n->uid == 0 && n->gid == 0) ||
		     fchownat(dir, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) == 0,
	     d, "chown");
	must(S_ISLNK(n->mode) || fchmodat(dir, name, n->mode & 07777, 0) == 0, d, "chmod");
	must(!n->has_mtime || utimensat(dir, name, ts, AT_SYMLINK_NOFOLLOW) == 0, d, "utimens");
}

static void write_dir(struct disk *d, int fd, uint32_t id);

static void write_entry(struct disk *d, int dir, const char *name, uint32_t id)
{
	struct node *n = &d->nodes[id];

	if (n->first) {
		if (S_ISDIR(n->mode))
			crash_die("%s: a directory with two names, %s is the other", d->path, n->first);
		must(linkat(d->top, n->first, dir, name, 0) == 0, d, "link");
		return;
	}
	n->first = strdup(d->path);
	if (S_ISDIR(n->mode)) {
		must(mkdirat(dir, name, 0700) == 0, d, "mkdir");
		AY_CLOSE int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(fd >= 0, d, "open");
		write_dir(d, fd, id);
		write_meta(d, fd, n);
	} else if (S_ISREG(n->mode)) {
		AY_CLOSE int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		must(fd >= 0, d, "create");
		write_content(d, fd, n);
		write_meta(d, fd, n);
	} else {
		write_special(d, dir, name, id, n);
	}
}

static void write_dir(struct disk *d, int fd, uint32_t id)
{
	const struct node *n = &d->nodes[id];
	size_t len = strlen(d->path);

	for (uint32_t i = 0; i < n->n_entries; i++) {
		const char *name = d->l->names[n->entries[i].name];
		if (n->entries[i].inode == 0)
			continue;
		if (snprintf(d->path + len, sizeof(d->path) - len, "%s%s", len ? "/" : "", name) >=
		    (int)(sizeof(d->path) - len))
			crash_die("path too long");
		write_entry(d, fd, name, n->entries[i].inode);
		d->path[len] = '\0';
	}
}

void crash_build(const struct crash_log *l, const struct crash_cut *cut, int dirfd)
{
	struct disk d = {.l = l, .top = dirfd};
	struct draw draw;

	draw_init(&draw, l, cut);
	d.nodes = calloc(l->n_inodes, sizeof(*d.nodes));
	if (!d.nodes)
		crash_die("out of memory");
	for (uint32_t i = 1; i < l->n_inodes; i++) {
		d.nodes[i].mode = l->inodes[i].mode;
		d.nodes[i].uid = l->inodes[i].uid;
		d.nodes[i].gid = l->inodes[i].gid;
	}
	for (uint32_t i = 0; i < l->n_changes && l->changes[i].time <= cut->at; i++) {
		if (draw.left[i])
			redo(&d, &l->changes[i], draw.left[i]);
	}
	write_dir(&d, dirfd, 1);
	for (uint32_t i = 1; i < l->n_inodes; i++) {
		struct node *n = &d.nodes[i];
		free(n->pages);
		free(n->xattrs);
		free(n->entries);
		free(n->first);
	}
	free(d.nodes);
	draw_release(&draw);
}

void crash_tell(const struct crash_log *l, const struct crash_cut *cut)
{
	static const char *const words[] = {"name", "page", "size", "mode", "owner", "mtime", "xattr"};
	struct draw d;
	unsigned told = 0;

	draw_init(&d, l, cut);
	for (uint32_t i = 0; getenv("AYNI_CRASH_LOG") && i < l->n_changes; i++) {
		const struct crash_change *c = &l->changes[i];
		char path[1024];
		crash_path(l, c->inode, path, sizeof(path));
		fprintf(stderr, "%u durable %d%s %s %s%s%s = %llu pair %d %s\n", c->time, (int)c->durable,
			c->lost ? " LOST" : "", words[c->what], path, c->what == CRASH_SLOT ? "/" : "",
			c->what == CRASH_SLOT ? l->names[c->key] : "", (unsigned long long)c->value, c->pair,
			d.left[i] ? "left" : "gone");
	}
	fprintf(stderr, "power cut behind call %u, flavour %d, choice %d; not durable were %u changes:\n",
		cut->at, cut->flavour, cut->choice, d.n_open);
	for (uint32_t i = d.n_open; i-- > 0 && told < 60; told++) {
		const struct crash_change *c = &l->changes[d.open[i]];
		char path[1024];
		crash_path(l, c->inode, path, sizeof(path));
		fprintf(stderr, "  %s call %u %s%s %s", d.left[d.open[i]] == GONE ? "lost" : "left", c->time,
			words[c->what], c->suspect ? " (its sync was left out)" : "", path);
		if (c->what == CRASH_SLOT)
			fprintf(stderr, "/%s%s", l->names[c->key], c->value ? "" : " is gone");
		fputc('\n', stderr);
	}
	draw_release(&d);
}
