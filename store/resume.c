/* SPDX-License-Identifier: MIT */
/* Going on with an apply: what is written down of it, and taking over what a dead one left. */
#include "store/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "store/staging.h"

#define MAGIC       "ayni-resume 2\n\0"
#define MAGIC_LEN   16
#define HEADER_READ 144 /* of the bundle, or what it has */
#define NEW_FILE    "resume.new"

/* ---- the file: fixed, little-endian, SHA-256 over the rest at its end ---- */

void ay__resume_encode(const struct ay__resume *x, uint8_t out[AY__RESUME_SIZE])
{
	const struct ay_bundle_place *p = &x->place;
	struct ay_buf b;
	uint8_t sum[32];

	ay_buf_init(&b, AY__RESUME_SIZE);
	ay_put_bytes(&b, MAGIC, MAGIC_LEN);
	ay_put_bytes(&b, x->branch.b, AY_DIGEST_LEN);
	ay_put_bytes(&b, x->bundle.b, AY_DIGEST_LEN);
	ay_put_u32(&b, p->part);
	ay_put_u32(&b, p->record);
	ay_put_u64(&b, p->at);
	ay_put_u64(&b, p->sizes);
	ay_put_u64(&b, p->done);
	ay_put_u64(&b, p->last_old);
	ay_put_u64(&b, p->work);
	ay_put_u32(&b, p->inside);
	ay_put_u32(&b, p->r.index);
	ay_put_u32(&b, (uint32_t)p->r.method);
	ay_put_u32(&b, p->r.n_bases);
	ay_put_u64(&b, p->r.size);
	ay_put_bytes(&b, p->r.target.b, AY_DIGEST_LEN);
	for (unsigned i = 0; i < AY_BUNDLE_BASES_MAX; i++) {
		ay_put_bytes(&b, p->r.bases[i].b, AY_DIGEST_LEN);
		ay_put_u64(&b, p->r.base_sizes[i]);
	}
	memset(out, 0, AY__RESUME_SIZE);
	AY_ASSERT(ay_buf_status(&b) < 0 || b.len <= AY__RESUME_SIZE - sizeof(sum));
	if (ay_buf_status(&b) == 0) {
		memcpy(out, b.data, b.len);
		ay_sha256(out, AY__RESUME_SIZE - sizeof(sum), out + AY__RESUME_SIZE - sizeof(sum));
	}
	ay_buf_release(&b);
}

int ay__resume_decode(struct ay__resume *x, const void *data, size_t len)
{
	struct ay_bundle_place *p = &x->place;
	const uint8_t *bytes = data;
	struct ay_cursor c;
	uint8_t sum[32];

	memset(x, 0, sizeof(*x));
	if (len != AY__RESUME_SIZE || memcmp(bytes, MAGIC, MAGIC_LEN) != 0)
		return AY_EFORMAT;
	ay_sha256(bytes, len - sizeof(sum), sum);
	if (memcmp(sum, bytes + len - sizeof(sum), sizeof(sum)) != 0)
		return AY_EFORMAT;
	ay_cursor_init(&c, bytes + MAGIC_LEN, len - MAGIC_LEN);
	ay_get_copy(&c, x->branch.b, AY_DIGEST_LEN);
	ay_get_copy(&c, x->bundle.b, AY_DIGEST_LEN);
	p->part = ay_get_u32(&c);
	p->record = ay_get_u32(&c);
	p->at = ay_get_u64(&c);
	p->sizes = ay_get_u64(&c);
	p->done = ay_get_u64(&c);
	p->last_old = ay_get_u64(&c);
	p->work = ay_get_u64(&c);
	p->inside = ay_get_u32(&c) != 0;
	p->r.index = ay_get_u32(&c);
	uint32_t method = ay_get_u32(&c), n_bases = ay_get_u32(&c);
	p->r.size = ay_get_u64(&c);
	ay_get_copy(&c, p->r.target.b, AY_DIGEST_LEN);
	for (unsigned i = 0; i < AY_BUNDLE_BASES_MAX; i++) {
		ay_get_copy(&c, p->r.bases[i].b, AY_DIGEST_LEN);
		p->r.base_sizes[i] = ay_get_u64(&c);
	}
	if (c.failed || method > AY_METHOD_BSDIFF || n_bases > AY_BUNDLE_BASES_MAX || p->done > p->r.size)
		return AY_EFORMAT;
	p->r.method = (enum ay_bundle_method)method;
	p->r.n_bases = n_bases;
	uint8_t again[AY__RESUME_SIZE];
	ay__resume_encode(x, again);
	return memcmp(again, bytes, sizeof(again)) == 0 ? 0 : AY_EFORMAT; /* one form only */
}

int ay__resume_key(struct ay__resume *x, const char *branch, const struct ay_digest *manifest, int bundle_fd)
{
	uint8_t bytes[AY_DIGEST_LEN + sizeof(uint64_t) + HEADER_READ] = {0};
	struct stat st;

	if (fstat(bundle_fd, &st) < 0)
		return -errno;
	ay_digest_mem(branch, strlen(branch), &x->branch);
	memcpy(bytes, manifest->b, AY_DIGEST_LEN);
	memcpy(bytes + AY_DIGEST_LEN, &st.st_size, sizeof(uint64_t));
	while (pread(bundle_fd, bytes + AY_DIGEST_LEN + sizeof(uint64_t), HEADER_READ, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	ay_digest_mem(bytes, sizeof(bytes), &x->bundle);
	return 0;
}

int ay__resume_write(struct ay_fs *fs, int dir, const struct ay__resume *x)
{
	uint8_t bytes[AY__RESUME_SIZE];

	ay__resume_encode(x, bytes);
	int r = ay__write_file(fs, dir, NEW_FILE, bytes, sizeof(bytes));
	if (r == 0)
		r = fs->ops->rename(fs, dir, NEW_FILE, dir, AY__RESUME_FILE, false);
	if (r < 0)
		fs->ops->unlink(fs, dir, NEW_FILE, 0);
	return r;
}

/* ---- what a dead one left ---- */

static int read_file(int dir, struct ay__resume *x)
{
	AY_FREE uint8_t *data = NULL;
	size_t len;
	int r = ay__read_file(dir, AY__RESUME_FILE, AY__RESUME_SIZE, &data, &len, NULL);

	if (r == AY_ELIMIT)
		return AY_EFORMAT;
	return r < 0 ? r : ay__resume_decode(x, data, len);
}

/*
 * What is there of a dead one in @dir, which is locked: is it to be taken apart, and before that perhaps taken over (@x is then
 * what it says)? A file that cannot be read now says nothing; one that is torn, or of another version of this program, will never
 * say what its staging is for: nobody else would give that back before the collector.
 */
static bool is_for_us(int dir, const struct ay__resume *ours, struct ay__resume *x, bool *same)
{
	int r = read_file(dir, x);

	*same = r == 0 && ay_digest_eq(&x->bundle, &ours->bundle);
	return r == 0 ? ay_digest_eq(&x->branch, &ours->branch) : r == AY_EFORMAT;
}

/* What stays in raw/ has its room already. Of a file with holes only what is on the disk; of the one in hand what stays. */
static void hold(struct ay__resume *x, const struct stat *st, uint64_t len)
{
	uint64_t on_disk = (uint64_t)st->st_blocks * 512;

	x->held += on_disk < len ? on_disk : len;
	x->held_files++;
}

/* Keep what is what its name says, and the file in hand. 0; -EBUSY an object is among them: then it is not for us. */
static int verify(struct ay_fs *fs, int raw, struct ay__resume *x)
{
	const struct ay_bundle_place *p = &x->place;
	AY_CLOSEDIR DIR *d = ay__list_dir(raw);
	char in_hand[AY_DIGEST_HEX + 1];
	struct dirent *e;
	int end = 0;

	if (!d)
		return -errno;
	ay_digest_hex(&p->r.target, in_hand);
	while ((e = ay__dir_next(d, &end))) {
		struct ay_digest want, found;
		struct stat st;
		if (e->d_name[0] == '.')
			continue;
		AY_CLOSE int f = ay__open_beneath(raw, e->d_name, O_RDONLY);
		if (ay__own_lack(f))
			return f;
		bool is_file = f >= 0 && fstat(f, &st) == 0 && S_ISREG(st.st_mode);
		if (is_file && st.st_nlink > 1)
			return -EBUSY;
		if (is_file && p->inside && strcmp(e->d_name, in_hand) == 0) {
			hold(x, &st, p->done);
			continue;
		}
		if (!is_file || ay_digest_parse(&want, e->d_name, strlen(e->d_name)) < 0 ||
		    ay_digest_fd(f, &found, NULL) < 0 || !ay_digest_eq(&want, &found)) {
			int r = fs->ops->unlink(fs, raw, e->d_name, 0);
			if (r < 0)
				return r;
			continue;
		}
		hold(x, &st, (uint64_t)st.st_size);
	}
	return end;
}

static int take_over(struct ay__build *b, int dead, struct ay__resume *x)
{
	struct ay_fs *fs = b->s->fs;
	AY_CLOSE int raw = ay__open_beneath(dead, "raw", O_RDONLY | O_DIRECTORY);
	int r = raw < 0 ? raw : verify(fs, raw, x);

	if (r == 0) /* over our empty one */
		r = fs->ops->rename(fs, dead, "raw", b->st.dir, "raw", false);
	if (r < 0)
		return r;
	close(b->raw);
	b->raw = ay_steal_fd(&raw);
	ay__resume_write(fs, b->st.dir, x); /* should this fail, the next one begins at the beginning */
	return 0;
}

int ay__resume_find(struct ay__build *b, struct ay__resume *x)
{
	struct ay_store *s = b->s;
	int fd = ay__open_beneath(s->tmp, ".", O_RDONLY | O_DIRECTORY), found = 0;
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		struct ay__staging dead = {.s = s, .dir = -1};
		struct ay__resume y;
		bool same;
		if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(dead.name))
			continue;
		AY_CLOSE int dir = ay__open_beneath(s->tmp, e->d_name, O_RDONLY | O_DIRECTORY);
		if (dir < 0 || !ay__staging_resumable(dir, e->d_name) ||
		    ay__lock(dir, LOCK_EX | LOCK_NB) < 0 || !is_for_us(dir, x, &y, &same))
			continue;
		if (!found && same && take_over(b, dir, &y) == 0) {
			*x = y;
			found = 1;
		}
		memcpy(dead.name, e->d_name, strlen(e->d_name) + 1);
		dead.dir = ay_steal_fd(&dir);
		ay__staging_end(&dead, NULL);
	}
	return found;
}
