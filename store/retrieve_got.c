/* SPDX-License-Identifier: MIT */
/*
 * What one level of a retrieval has and what it lacks: every way of getting contents ends in a file of the directory, and in
 * a mark here that it came.
 */
#include "store/retrieve_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

size_t ay__wanted_find(const struct ay_wanted *w, size_t n, const struct ay_digest *d)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = ay_digest_cmp(&w[mid].digest, d);
		if (c == 0)
			return mid;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return n;
}

void ay__retrieve_note(struct ay__retrieval *t, int code, const struct ay_err *why)
{
	if (t->why.code == 0)
		ay_err_set(&t->why, code, "%s", why->msg);
}

int ay__retrieve_got(struct ay__retrieval *t, size_t i)
{
	struct ay_wanted *w = &t->wanted[i];

	/* Should a digest have been asked for twice, one file serves both. */
	for (size_t k = i; k > 0 && ay_digest_eq(&t->wanted[k - 1].digest, &w->digest); k--)
		t->wanted[k - 1].got = true;
	for (size_t k = i; k < t->n && ay_digest_eq(&t->wanted[k].digest, &w->digest); k++)
		t->wanted[k].got = true;
	if (t->depth > 0)
		return 0;
	t->out->contents++;
	t->out->bytes += w->size;
	*t->done += w->size;
	return t->how->progress ? t->how->progress(t->how->ctx, *t->done, t->total) : 0;
}

int ay__retrieve_base(struct ay__retrieval *t, const struct ay_digest *d, uint64_t size)
{
	char hex[AY_DIGEST_HEX + 1];
	int fd = ay__open_beneath(t->how->dirfd, ay_digest_hex(d, hex), O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (ay__own_lack(fd))
		return fd;
	if (fd < 0) {
		int r = t->how->base ? t->how->base(t->how->ctx, d, size, &fd) : -ENOENT;
		if (r < 0)
			return r;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

const char *ay__retrieve_where(const struct ay__retrieval *t)
{
	return t->how->repo ? ay_repo_path(t->how->repo) : ay_store_path(t->how->s);
}

int ay__retrieve_create(struct ay__retrieval *t, const char *hex)
{
	struct ay_fs *fs = t->how->s->fs;
	int fd = fs->ops->open(fs, t->how->dirfd, hex, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd == -EEXIST) {
		fs->ops->unlink(fs, t->how->dirfd, hex, 0);
		fd = fs->ops->open(fs, t->how->dirfd, hex, O_RDWR | O_CREAT | O_EXCL, 0600);
	}
	return fd;
}
