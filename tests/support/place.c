/* SPDX-License-Identifier: MIT */
/* A place for a test to work in: see the header. */
#include "tests/support/place.h"

#include <dirent.h>

#include "base/prng.h"
#include "store/file.h"

void expect_code_(int got, int want, const char *call, const struct ay_err *err, const char *file, int line)
{
	if (got == want)
		return;
	print_error("%s\n  gave %d (%s), not %d (%s): %s\n", call, got, ay_error_name(got), want,
		    ay_error_name(want), err->msg);
	_fail(file, line);
}

void expect_says(const struct ay_err *err, const char *part)
{
	if (!strstr(err->msg, part))
		fail_msg("\"%s\" is not in: %s", part, err->msg);
}

int open_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");

	p->fds = open_fds();
	snprintf(p->path, sizeof(p->path), "%s/ayni-place-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(p->path))
		return -1;
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return p->dir < 0 ? -1 : 0;
}

int place_remove(void **state)
{
	struct place *p = *state;
	char *name = strrchr(p->path, '/');
	*name = '\0';
	int parent = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = ay__remove_tree(ay_fs_real(), parent, name + 1);
	close(parent);
	close(p->dir);
	int leaked = open_fds() - p->fds;
	if (leaked)
		print_error("%d file descriptors were leaked\n", leaked);
	free(p);
	return rc < 0 || leaked ? -1 : 0;
}

void put_file(int dirfd, const char *path, const void *data, size_t len)
{
	unlinkat(dirfd, path, 0); /* truncating a file would make ext4 flush it, thousands of times */
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ay__write_all(ay_fs_real(), fd, data, len, 0), 0);
	close(fd);
}

void put_text(int dirfd, const char *path, const char *text)
{
	put_file(dirfd, path, text, strlen(text));
}

uint8_t *get_file(int dirfd, const char *path, size_t *len)
{
	uint8_t *data = NULL;
	size_t got;
	struct ay_err err = {0};
	expect_code(ay__read_file(dirfd, path, 1u << 30, &data, &got, &err), 0);
	if (len)
		*len = got;
	return data;
}

bool there(int dirfd, const char *path)
{
	struct stat st;
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

uint8_t *some_bytes(uint64_t seed, size_t len)
{
	struct ay_prng r;
	uint8_t *data = malloc(len + 8);

	assert_non_null(data);
	ay_prng_init(&r, seed);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = ay_prng_next(&r);
		memcpy(data + i, &v, 8);
	}
	return data;
}

static struct ay_store *open_with(const struct place *p, int flags)
{
	char path[sizeof(p->path) + 8];
	struct ay_store *s = NULL;
	struct ay_err err = {0};

	snprintf(path, sizeof(path), "%s/store", p->path);
	expect_code(ay_store_open(ay_fs_real(), path, flags, &s, &err), 0);
	return s;
}

struct ay_store *open_store(const struct place *p)
{
	return open_with(p, AY_STORE_CREATE | (geteuid() == 0 ? 0 : AY_STORE_OWNER_ME));
}

struct ay_store *open_store_readonly(const struct place *p)
{
	return open_with(p, AY_STORE_READONLY);
}

/* A key generated once a program: what it signs is checked here and nowhere else. */
struct ay_secret_key fleet_key(void)
{
	static struct ay_secret_key key;
	static bool made;
	struct ay_public_key pk;

	if (!made)
		assert_int_equal(ay_key_generate(&key, &pk), 0);
	made = true;
	return key;
}

void fleet_root_envelope(uint32_t version, struct ay_buf *out)
{
	struct ay_secret_key sk = fleet_key();
	const struct ay_secret_key *keys[] = {&sk};
	struct ay_root *root = ay_root_new();
	struct ay_buf text = {0};
	struct ay_err err = {0};

	root->version = version;
	snprintf(root->fleet, sizeof(root->fleet), "test");
	root->n_keys = 1;
	ay_secret_key_public(&sk, &root->keys[0]);
	for (int i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1, .keys = {0}};
	expect_code(ay_root_write(root, &text, &err), 0);
	expect_code(ay_envelope_write(text.data, text.len, keys, 1, "test root", out, &err), 0);
	ay_buf_release(&text);
	ay_root_free(root);
}

void fleet_head(const char *branch, uint32_t serial, uint64_t signed_at_s, uint8_t out[AY_HEAD_SIZE])
{
	struct ay_secret_key sk = fleet_key();
	struct ay_head h = {.root_epoch = 1,
			    .serial = serial,
			    .rollout = 100,
			    .release_size = 100,
			    .signed_at_s = signed_at_s};

	ay_branch_id("test", branch, &h.branch);
	memset(h.release.b, (int)serial, sizeof(h.release.b));
	assert_int_equal(ay_head_sign(&h, &sk, out), 0);
}
