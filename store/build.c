/* SPDX-License-Identifier: MIT */
/*
 * The durable commit (DESIGN section 6), in one place for all who make trees.
 *
 *     objects staged in new/, manifest in tree/     no fsync per file
 *     fs-verity on them, where there is that        the kernel refuses writes from here on
 *     syncfs                                        contents and manifest are on the disk before they get names
 *     rename new/ -> objects/                       never over an intact one
 *     link tree/root                                store lock held shared from here back to the renames
 *     syncfs                                        the whole tree is on the disk before it gets its name
 *     rename tree -> branches/B/SERIAL
 *     fsync staging, branches/B, branches
 *
 * Every directory in which a name was made or moved is synced after that: those of objects/ by the second syncfs,
 * which no name there follows; one fsync each would be up to 256 flushes of the disk for nothing.
 *
 * After the last line the tree survives a power cut; before the rename it does not
 * exist. Should the last syncs fail, the tree is moved back into staging: nobody
 * was told of it yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state.h"
#include "store/tree_internal.h"
#include "store/verity.h"
#include "store/xattr.h"

#define PUT_BATCH 32

static int sync_all(struct ay__build *b, struct ay_err *err)
{
	int r = b->s->fs->ops->syncfs(b->s->fs, b->s->dir);
	return r < 0 ? ay_err_errno(err, -r, "cannot sync the file system of %s", b->s->path) : 0;
}

/* A serial that is here already: the same release is success without work, another is not to be believed. */
static int check_present(struct ay__build *b, const char *serial, struct ay_err *err)
{
	struct ay_release have;
	struct ay_digest digest;
	AY_CLOSE int tree = ay__open_beneath(b->branch_dir, serial, O_RDONLY | O_DIRECTORY);

	if (tree == -ENOENT)
		return 0;
	if (tree < 0)
		return ay_err_errno(err, -tree, "cannot open tree %s of %s", serial, b->branch);
	int r = ay__release_read(tree, &have, &digest, err);
	if (r < 0)
		return ay_err_wrap(err, r, "tree %s of %s", serial, b->branch);
	/* Who made it may have been killed before he had it durable. */
	if (ay_digest_eq(&have.manifest, &b->release.manifest) && (r = sync_all(b, err)) < 0)
		return r;
	if (ay_digest_eq(&have.manifest, &b->release.manifest))
		return ay_err_set(err, AY_ENOTHING, "%s %s is here already", b->branch, serial);
	return ay_err_set(err, AY_EROLLBACK, "another release with serial %s of %s is here already", serial,
			  b->branch);
}

static int believe_release(struct ay__build *b, struct ay_err *err)
{
	const struct ay_root *root;
	struct ay_branch_state state;
	int r = ay_state_root(b->s, &root, err);

	if (r < 0)
		return ay_err_wrap(err, r, "no root to check the release with");
	r = ay_trust_release(root, b->branch, b->envelope, b->envelope_len, &b->release, err);
	if (r < 0)
		return ay_err_wrap(err, r, "release of %s", b->branch);
	b->rule = ay_root_branch_rule(root, b->branch);
	if ((r = ay_state_branch(b->s, b->branch, &state, err)) < 0)
		return r;
	if (b->release.serial < state.floor)
		return ay_err_set(err, AY_EROLLBACK, "%s %u is below the floor %u", b->branch,
				  b->release.serial, state.floor);
	return 0;
}

static int make_staging(struct ay__build *b, struct ay_err *err)
{
	static const char *const names[] = {"raw", "new", "tree"};
	int *fds[] = {&b->raw, &b->new_, &b->tree};
	int r = ay__staging_begin(b->s, &b->st, err);

	for (int i = 0; i < 3 && r == 0; i++) {
		*fds[i] = ay__make_dir(b->s->fs, b->st.dir, names[i], i == 2 ? 0755 : 0700, NULL);
		if (*fds[i] < 0)
			r = ay_err_errno(err, -*fds[i], "cannot make %s/tmp/%s/%s", b->s->path, b->st.name,
					 names[i]);
	}
	return r;
}

static void init(struct ay__build *b, struct ay_store *s, const char *branch)
{
	memset(b, 0, sizeof(*b));
	*b = (struct ay__build){.s = s,
				.branch = branch,
				.branch_dir = -1,
				.lock = -1,
				.st = AY__STAGING_NONE,
				.raw = -1,
				.new_ = -1,
				.buckets = -1,
				.like = -1,
				.tree = -1};
}

static int lock_branch(struct ay__build *b, struct ay_err *err)
{
	b->branch_dir = ay__branch_open(b->s, b->branch, true, err);
	if (b->branch_dir < 0)
		return b->branch_dir;
	b->lock = ay__branch_lock(b->s, b->branch_dir, ".apply", LOCK_EX | LOCK_NB, err);
	if (b->lock == -EWOULDBLOCK)
		return ay_err_set(err, AY_EBUSY, "another process is making a tree of %s in %s", b->branch,
				  b->s->path);
	return b->lock < 0 ? b->lock : 0;
}

int ay__build_begin(struct ay__build *b, struct ay_store *s, const char *branch, const void *envelope,
		    size_t envelope_len, struct ay_err *err)
{
	char serial[AY__SERIAL_NAME_MAX];

	init(b, s, branch);
	b->envelope = envelope;
	b->envelope_len = envelope_len;
	int r = ay__store_writable(s, err);
	if (r < 0 || (r = believe_release(b, err)) < 0 || (r = lock_branch(b, err)) < 0)
		return r;
	b->crew = ay__store_crew(s);
	ay__serial_name(b->release.serial, serial);
	if ((r = check_present(b, serial, err)) < 0)
		return r;
	return make_staging(b, err);
}

int ay__build_begin_unsigned(struct ay__build *b, struct ay_store *s, const char *branch, struct ay_err *err)
{
	const struct ay_root *root;

	init(b, s, branch);
	int r = ay__store_writable(s, err);
	if (r < 0)
		return r;
	if ((r = ay_state_root(s, &root, err)) < 0)
		return ay_err_wrap(err, r, "no root that says who may sign %s", branch);
	b->rule = ay_root_branch_rule(root, branch);
	if ((r = lock_branch(b, err)) < 0)
		return r;
	b->crew = ay__store_crew(s);
	return make_staging(b, err);
}

int ay__build_sign(struct ay__build *b, const void *envelope, size_t envelope_len, struct ay_err *err)
{
	char serial[AY__SERIAL_NAME_MAX];

	b->envelope = envelope;
	b->envelope_len = envelope_len;
	int r = believe_release(b, err);
	if (r < 0)
		return r;
	ay__serial_name(b->release.serial, serial);
	return check_present(b, serial, err);
}

void ay__build_end(struct ay__build *b)
{
	int *fds[] = {&b->raw, &b->new_, &b->tree, &b->buckets, &b->like};

	ay__crew_free(b->crew);
	b->crew = NULL;
	if (b->locked)
		ay__store_unlock(b->s);
	for (int i = 0; i < 5; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
	}
	ay__staging_end(&b->st, NULL);
	if (b->lock >= 0)
		close(b->lock);
	if (b->branch_dir >= 0)
		close(b->branch_dir);
}

int ay__build_check_entry(struct ay__build *b, const struct ay_entry *e, struct ay_err *err)
{
	const struct ay_branch_rule *rule = b->rule;
	const char *why = NULL;

	for (size_t i = 0; i < e->n_xattrs; i++) {
		if (!ay__xattr_kept(e->xattrs[i].name, 0))
			return ay_err_set(err, AY_EFORMAT,
					  "%s: attribute %s belongs to a machine, not to a tree", e->path,
					  e->xattrs[i].name);
		if (rule && rule->nocaps && strcmp(e->xattrs[i].name, "security.capability") == 0)
			why = "file capabilities";
	}
	if (rule && rule->nosuid && e->type == AY_ENTRY_FILE && (e->mode & 06000))
		why = "setuid and setgid";
	if (rule && rule->nodev && (e->type == AY_ENTRY_CHAR || e->type == AY_ENTRY_BLOCK))
		why = "devices";
	if (rule && rule->has_uids &&
	    (e->uid < rule->uid_low || e->uid > rule->uid_high || e->gid < rule->uid_low ||
	     e->gid > rule->uid_high))
		why = "this owner";
	if (why)
		return ay_err_set(err, AY_EROLE, "%s: the root does not allow %s in branch %s", e->path, why,
				  b->branch);
	if (b->s && b->s->owner_me)
		ay_losses_add(&b->losses, e);
	return 0;
}

void ay__build_tell_losses(struct ay__build *b)
{
	if (b->s->on_losses && ay_losses_any(&b->losses))
		b->s->on_losses(b->s->on_losses_ctx, b->branch, b->release.serial, &b->losses);
}

/* new/ is flat: the object's name without its slash. */
static void flat_name(const struct ay__object_name *name, char out[AY__OBJECT_NAME_MAX])
{
	snprintf(out, AY__OBJECT_NAME_MAX, "%.2s%s", name->s, name->s + 3);
}

int ay__build_has(const struct ay__build *b, const struct ay__object_name *name, struct ay_err *err)
{
	char flat[AY__OBJECT_NAME_MAX];

	flat_name(name, flat);
	int r = ay__there(b->new_, flat);
	return r < 0 ? ay_err_errno(err, -r, "cannot look at staged object %s", name->s) : r;
}

int ay__build_stage(struct ay__build *b, const struct ay_entry *e, const struct ay__object_name *name,
		    int from_fd, struct ay_err *err)
{
	struct ay__local_entry local;
	char flat[AY__OBJECT_NAME_MAX];

	flat_name(name, flat);
	AY_CLOSE int to = b->s->fs->ops->open(b->s->fs, b->new_, flat, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return ay_err_errno(err, -to, "%s: cannot make its object", e->path);
	int r = ay__copy_file(b->s, from_fd, to, e->size, &e->digest, err);
	if (r < 0)
		return ay_err_wrap(err, r, "%s", e->path);
	ay__entry_localise(b->s, e, &local);
	return ay__meta_set(b->s, to, &local.e, err);
}

int ay__build_stage_link(struct ay__build *b, const struct ay__object_name *name, int dirfd, const char *from,
			 struct ay_err *err)
{
	char flat[AY__OBJECT_NAME_MAX];

	flat_name(name, flat);
	int r = b->s->fs->ops->link(b->s->fs, dirfd, from, b->new_, flat);
	return r < 0 ? ay_err_errno(err, -r, "cannot stage object %s", name->s) : 0;
}

/* Some names on their way into objects/. */
struct put_batch {
	struct ay__task task;
	struct ay__build *b;
	struct ay__failure *failure;
	int dirfd;
	const char *prefix;
	unsigned n;
	char names[PUT_BATCH][AY__OBJECT_NAME_MAX];
};

static void put_some(struct ay__task *task)
{
	struct put_batch *x = (struct put_batch *)(void *)task;
	struct ay_err why = {0};
	int r = ay__failure_get(x->failure, NULL);

	for (unsigned i = 0; i < x->n && r == 0; i++) {
		struct ay__object_name name;
		char flat[AY__OBJECT_NAME_MAX + 3];
		snprintf(flat, sizeof(flat), "%.2s%s", x->prefix, x->names[i]);
		AY_ASSERT(strlen(flat) == AY__OBJECT_NAME_MAX - 2);
		snprintf(name.s, sizeof(name.s), "%.2s/%.79s", flat, flat + 2);
		r = ay__object_put(x->b->s, x->dirfd, x->names[i], &name, &x->b->touched, &why);
		if (r < 0)
			ay__failure_set(x->failure, r, &why);
	}
	free(x);
}

static struct put_batch *put_batch_new(struct ay__build *b, int dirfd, const char *prefix,
				       struct ay__failure *failure)
{
	struct put_batch *x = malloc(sizeof(*x));

	if (x)
		*x = (struct put_batch){
			.task.run = put_some, .b = b, .failure = failure, .dirfd = dirfd, .prefix = prefix};
	return x;
}

static int put_listed(struct ay__build *b, DIR *d, int dirfd, const char *prefix, struct ay__failure *failure,
		      struct ay_err *err)
{
	struct put_batch *x = NULL;
	struct dirent *e;

	errno = 0;

	while (ay__failure_get(failure, NULL) == 0 && (errno = 0, e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		AY_ASSERT(strlen(e->d_name) < AY__OBJECT_NAME_MAX);
		if (!x && !(x = put_batch_new(b, dirfd, prefix, failure)))
			return ay_err_errno(err, ENOMEM, "put objects");
		memcpy(x->names[x->n++], e->d_name, strlen(e->d_name) + 1);
		/* Without a crew one by one, while the directory is read. */
		if (x->n == PUT_BATCH || !b->crew) {
			ay__crew_give(b->crew, &x->task);
			x = NULL;
			errno = 0;
		}
	}
	int r = errno ? ay_err_errno(err, errno, "cannot list staged objects") : 0;
	if (x)
		ay__crew_give(b->crew, &x->task);
	return r;
}

/* Put every object in @dirfd; its name is @prefix and the file's name there. */
static int put_each(struct ay__build *b, int dirfd, const char *prefix, struct ay_err *err)
{
	int fd = ay__open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct ay__failure *failure = ay__failure_new();

	if (!d || !failure) {
		int saved = !d ? fd < 0 ? -fd : errno : ENOMEM;
		if (!d && fd >= 0)
			close(fd);
		ay__failure_free(failure);
		return ay_err_errno(err, saved, "cannot list staged objects");
	}
	int r = put_listed(b, d, dirfd, prefix, failure, err);
	ay__crew_wait(b->crew);
	if (r == 0)
		r = ay__failure_get(failure, err);
	ay__failure_free(failure);
	return r;
}

/* Content and metadata are final: what the file system can guard from now on it shall. */
static int guard_objects(struct ay__build *b, struct ay_err *err)
{
	int r = ay__verity_guard_all(b->s, b->new_, "", err);

	/* What is also somebody else's is not put under guard for good, and its times are not touched, unless he insists. */
	if (b->borrowed && b->s->verity != AY_VERITY_YES)
		return r;
	for (unsigned i = 0; b->buckets >= 0 && r == 0 && i < 256; i++) {
		char name[4];
		snprintf(name, sizeof(name), "%02x", i & 0xff);
		AY_CLOSE int fd = ay__open_beneath(b->buckets, name, O_RDONLY | O_DIRECTORY);
		if (fd == -ENOENT)
			continue;
		r = fd < 0 ? ay_err_errno(err, -fd, "cannot open staged objects")
			   : ay__verity_guard_all(b->s, fd, name, err);
	}
	return r;
}

static int put_objects(struct ay__build *b, struct ay_err *err)
{
	return put_each(b, b->new_, "", err);
}

/* Whole directories of objects, where the store has none of that name yet: 256 renames instead of one per file. */
static int put_buckets(struct ay__build *b, struct ay_err *err)
{
	for (unsigned i = 0; b->buckets >= 0 && i < 256; i++) {
		char name[4];
		snprintf(name, sizeof(name), "%02x", i & 0xff);
		AY_CLOSE int fd = ay__open_beneath(b->buckets, name, O_RDONLY | O_DIRECTORY);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return ay_err_errno(err, -fd, "cannot open staged objects");
		int r = b->s->fs->ops->rename(b->s->fs, b->buckets, name, b->s->objects, name, true);
		if (r == 0)
			b->touched.objects = b->touched.bucket[i] = true;
		else if (r != -EEXIST)
			return ay_err_errno(err, -r, "cannot put objects %s", name);
		else if ((r = put_each(b, fd, name, err)) < 0)
			return r;
	}
	return 0;
}

/* Objects and the tree made of them; the collector waits meanwhile, because an object has but one link at first. */
static int put_and_link(struct ay__build *b, struct ay_err *err)
{
	int r = ay__store_lock(b->s, LOCK_SH, err);

	if (r < 0)
		return r;
	b->locked = true;
	if ((r = put_buckets(b, err)) == 0 && (r = put_objects(b, err)) == 0)
		r = ay__tree_link(b, err);
	ay__store_unlock(b->s);
	b->locked = false;
	return r;
}

/* Of the last rename only: all other names were made before the last syncfs. */
static int sync_dirs(struct ay__build *b, struct ay_err *err)
{
	const int fds[] = {b->st.dir, b->branch_dir};
	int r = 0;

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]) && r == 0; i++) {
		if ((r = b->s->fs->ops->fsync(b->s->fs, fds[i])) < 0)
			r = ay_err_errno(err, -r, "cannot sync a directory of %s", b->s->path);
	}
	return r;
}

/*
 * Nobody knows whether the tree would be in its branch after a power cut, so it must not stay there; and it must be
 * whole until it is known to be back in staging. If that cannot be known, the next start finds it there.
 */
static void take_back(struct ay__build *b, const char *serial)
{
	struct ay_fs *fs = b->s->fs;

	if (fs->ops->rename(fs, b->branch_dir, serial, b->st.dir, "tree", true) < 0 ||
	    fs->ops->fsync(fs, b->st.dir) < 0 || fs->ops->fsync(fs, b->branch_dir) < 0)
		ay__staging_leave(&b->st);
}

int ay__build_commit(struct ay__build *b, struct ay_err *err)
{
	struct ay_fs *fs = b->s->fs;
	char serial[AY__SERIAL_NAME_MAX];
	int r = ay__write_file(fs, b->tree, "release", b->envelope, b->envelope_len);

	if (r == 0)
		r = ay__write_file(fs, b->tree, ".ref", "", 0);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot write beside the tree in %s/tmp", b->s->path);
	if ((r = guard_objects(b, err)) < 0 || (r = sync_all(b, err)) < 0 || (r = put_and_link(b, err)) < 0 ||
	    (r = sync_all(b, err)) < 0)
		return r;
	ay__serial_name(b->release.serial, serial);
	r = fs->ops->rename(fs, b->st.dir, "tree", b->branch_dir, serial, true);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot move tree %s into branch %s", serial, b->branch);
	if ((r = sync_dirs(b, err)) < 0)
		take_back(b, serial);
	return r;
}
