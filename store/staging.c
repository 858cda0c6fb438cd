/* SPDX-License-Identifier: MIT */
/*
 * Staging: everything that is not committed lives in one locked directory, and
 * one function takes such a directory apart, whether its owner failed, was killed,
 * lost power, or is the collector that moved an old tree in here. So there is no
 * second way to clean up that could differ from the first.
 */
#include "store/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/in_use.h"
#include "store/linked.h"
#include "store/object.h"
#include "store/remove.h"

#define PREFIX "staging-"

/* In a staging directory's name it tells a person which boot left what. */
void ay__boot_id(char out[33])
{
	char text[64] = "";
	size_t n = 0;
	AY_FCLOSE FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	for (const char *p = text; *p && *p != '\n' && n < 32; p++) {
		if (*p != '-')
			out[n++] = *p;
	}
	if (n == 0)
		out[n++] = '0';
	out[n] = '\0';
}

bool ay__staging_resumable(int dir, const char *name)
{
	char boot[33], ours[80];
	struct stat st;

	ay__boot_id(boot);
	int n = snprintf(ours, sizeof(ours), PREFIX "%s-", boot);
	return strncmp(name, ours, (size_t)n) == 0 &&
	       fstatat(dir, AY__RESUME_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int ay__staging_begin(struct ay_store *s, struct ay__staging *st, struct ay_err *err)
{
	char boot[33], rnd[17];

	ay__boot_id(boot);
	/* A sweeper may come between mkdir, open and lock: then it is gone or going, and another is made. */
	for (int tries = 0; tries < 64; tries++) {
		struct stat sb;
		ay__random_name(rnd);
		snprintf(st->name, sizeof(st->name), PREFIX "%s-%s", boot, rnd);
		int fd = ay__make_dir(s->fs, s->tmp, st->name, 0700, NULL);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return ay_err_errno(err, -fd, "cannot make %s/tmp/%s", s->path, st->name);
		if (ay__lock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &sb) == 0 && sb.st_nlink > 0) {
			st->s = s;
			st->dir = fd;
			return 0;
		}
		close(fd);
	}
	return ay_err_set(err, AY_EBUSY, "cannot keep a directory in %s/tmp: somebody removes it at once",
			  s->path);
}

/* What has links to objects: the tree, and in raw/, new/ and buckets/ too. */
static int remove_links(struct ay_store *s, int dir, int tree)
{
	static const char *const others[] = {"raw", "new", "buckets"};
	struct ay__crew *crew = ay__store_removers(s);
	int r = ay__remove_tree_by(crew, s->fs, tree, "root");

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && r == 0; i++)
		r = ay__remove_tree_by(crew, s->fs, dir, others[i]);
	ay__crew_free(crew);
	return r;
}

/*
 * The objects that only the tree links. A manifest that was not written to its end is broken; no object was renamed in then. But
 * if the disk failed, the manifest must stay: it alone knows which objects are left.
 */
static int drop_objects(struct ay_store *s, int tree, int manifest, struct ay_gc_result *res)
{
	struct stat st; /* what is no file was not written by us: there is nothing to know from it */
	bool none = ay__not_there(manifest) ||
		    (manifest >= 0 && fstat(manifest, &st) == 0 && !S_ISREG(st.st_mode));
	int r = none ? 0 : manifest < 0 ? manifest : ay__objects_drop(s, manifest, res, NULL);

	if (r < 0 && r != AY_EFORMAT && r != AY_EVERSION && r != AY_ELIMIT)
		return r;
	AY_CLOSE int linked = ay__open_beneath(tree, AY__LINKED_FILE, O_RDONLY);
	if (linked < 0)
		return ay__not_there(linked) ? 0 : linked;
	return ay__linked_drop(s, linked, res, NULL);
}

static int take_tree_apart(struct ay_store *s, int dir, int tree, int ref, struct ay_gc_result *res)
{
	(void)ref; /* held until all is gone */
	AY_CLOSE int manifest = ay__open_beneath(tree, "manifest", O_RDONLY);
	int r = remove_links(s, dir, tree);

	if (r == 0)
		r = drop_objects(s, tree, manifest, res);
	if (r == 0)
		r = ay__remove_tree(s->fs, tree, "release");
	return r == 0 ? ay__remove_tree(s->fs, tree, ".ref") : r;
}

static int try_to_take_apart(struct ay_store *s, int dir, const char *name, struct ay_gc_result *res)
{
	AY_CLOSE int tree = ay__open_beneath(dir, "tree", O_RDONLY | O_DIRECTORY);
	AY_CLOSE int ref = -1;

	if (tree < 0 && !ay__not_there(tree))
		return tree; /* which objects it has, and who uses it, is not known now */
	if (tree >= 0) {
		int used = ay__tree_in_use(tree, name, &ref);
		if (used > 0 && res)
			res->in_use++;
		if (used != 0)
			return used > 0 ? 0 : used;
		int r = take_tree_apart(s, dir, tree, ref, res);
		if (r < 0)
			return r;
	}
	return ay__remove_tree(s->fs, s->tmp, name);
}

/* What could not go stops nobody: it goes at the next opening or collection. */
static void take_apart(struct ay_store *s, int dir, const char *name, struct ay_gc_result *res)
{
	int r = try_to_take_apart(s, dir, name, res);

	if (r < 0 && res && res->left == 0)
		res->left = r;
}

void ay__staging_end(struct ay__staging *st, struct ay_gc_result *res)
{
	if (st->dir < 0)
		return;
	take_apart(st->s, st->dir, st->name, res);
	close(st->dir);
	st->dir = -1;
}

void ay__staging_leave(struct ay__staging *st)
{
	close(st->dir);
	st->dir = -1;
}

/*
 * A tree that was moved in here by somebody who died then: until that is durable, a power cut may put it
 * back where it was, and it had better be whole.
 */
static bool may_take_apart(struct ay_store *s, int dir)
{
	int there = ay__there(dir, "tree");

	return there == 0 || (there > 0 && s->fs->ops->syncfs(s->fs, s->dir) == 0);
}

void ay__staging_sweep(struct ay_store *s, bool all, struct ay_gc_result *res)
{
	int fd = ay__open_beneath(s->tmp, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		AY_CLOSE int dir = ay__open_beneath(s->tmp, e->d_name, O_RDONLY | O_DIRECTORY);
		if (dir >= 0 && !all && ay__staging_resumable(dir, e->d_name))
			continue;
		if (dir >= 0 && ay__lock(dir, LOCK_EX | LOCK_NB) == 0 && may_take_apart(s, dir))
			take_apart(s, dir, e->d_name, res);
	}
}
