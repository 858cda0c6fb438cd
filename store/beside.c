/* SPDX-License-Identifier: MIT */
/*
 * What grows beside its place. Only what is in our own directory is removed at the end; the name beside it may be
 * another's by then, so it goes only when it is empty.
 */
#include "store/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/file.h"

int ay__beside_begin(struct ay__beside *b, struct ay_fs *fs, int parent, const char *name, struct ay_err *err)
{
	struct stat st;

	*b = (struct ay__beside){.fs = fs, .parent = parent, .name = name, .stage = -1};
	memcpy(b->stage_name, AY__TMP_PREFIX, sizeof(AY__TMP_PREFIX));
	ay__random_name(b->stage_name + strlen(b->stage_name));
	int r = fs->ops->mkdir(fs, parent, b->stage_name, 0700);
	if (r < 0) {
		b->stage_name[0] = '\0';
		return ay_err_errno(err, -r, "cannot make a directory beside %s", name);
	}
	b->stage = ay__open_beneath(parent, b->stage_name, O_RDONLY | O_DIRECTORY);
	if (b->stage < 0 || fstat(b->stage, &st) < 0)
		return ay_err_errno(err, b->stage < 0 ? -b->stage : errno, "%s", b->stage_name);
	/* Ours, empty, and closed to all others: or somebody has put another one in its place. */
	if (st.st_uid != geteuid() || (st.st_mode & 07777) != 0700)
		return ay_err_set(err, AY_EBUSY,
				  "somebody puts other directories in the place of ours beside %s", name);
	return 0;
}

int ay__beside_commit(struct ay__beside *b, const char *what, unsigned flags, struct ay_err *err)
{
	struct ay_fs *fs = b->fs;
	bool sync = !(flags & AY__BESIDE_NO_SYNC);
	int r = sync && !(flags & AY__BESIDE_SYNCED) ? fs->ops->syncfs(fs, b->parent) : 0;

	if (r < 0)
		return ay_err_errno(err, -r, "cannot sync the file system of %s", b->name);
	r = fs->ops->rename(fs, b->stage, what, b->parent, b->name, !(flags & AY__BESIDE_REPLACE));
	if (r == -EEXIST)
		return ay_err_errno(err, EEXIST, "%s", b->name);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot give %s its name", b->name);
	r = sync ? fs->ops->fsync(fs, b->parent) : 0;
	return r < 0 ? ay_err_errno(err, -r,
				    "cannot sync the directory of %s: it may be gone after a power cut",
				    b->name)
		     : 0;
}

static void empty(struct ay__beside *b)
{
	AY_CLOSEDIR DIR *d = fdopendir(b->stage); /* takes it over */

	if (!d) {
		close(b->stage);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ay__remove_tree(b->fs, dirfd(d), e->d_name);
	}
}

void ay__beside_end(struct ay__beside *b)
{
	if (b->stage >= 0)
		empty(b);
	b->stage = -1;
	if (b->stage_name[0])
		b->fs->ops->unlink(b->fs, b->parent, b->stage_name, AT_REMOVEDIR);
	b->stage_name[0] = '\0';
}
