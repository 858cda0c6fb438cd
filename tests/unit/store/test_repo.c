/* SPDX-License-Identifier: MIT */
/* A repository: what is made where, one publisher at a time, nothing half, nothing backwards. */
#include "tests/support/place.h"

#include <signal.h>
#include <sys/wait.h>

#include "store/file.h"
#include "store/repo.h"

static int try_open(const struct place *p, const char *name, bool create, struct ay_repo **r,
		    struct ay_err *err)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", p->path, name);
	*r = NULL;
	*err = (struct ay_err){0};
	return ay_repo_open(ay_fs_real(), path, create, r, err);
}

static struct ay_repo *open_repo(const struct place *p, bool create)
{
	struct ay_repo *r;
	struct ay_err err;
	expect_code(try_open(p, "r", create, &r, &err), 0);
	return r;
}

static void test_open(void **state)
{
	struct place *p = *state;
	struct ay_repo *r;
	struct ay_err err;

	expect_code(try_open(p, "r", false, &r, &err), AY_ESTATE);
	expect_says(&err, "/r is not there");
	assert_int_equal(mkdirat(p->dir, "r", 0755), 0);
	expect_code(try_open(p, "r", false, &r, &err), AY_ESTATE);
	expect_says(&err, "/r is not a repository");
	put_text(p->dir, "r/letter.txt", "dear");
	expect_code(try_open(p, "r", true, &r, &err), AY_ESTATE);
	expect_says(&err, "not a repository and not empty");
	assert_false(there(p->dir, "r/.lock"));
	put_text(p->dir, "file", "");
	expect_code(try_open(p, "file", true, &r, &err), AY_ESTATE);
	expect_code(try_open(p, "missing/parent/r", true, &r, &err), -ENOENT);
	assert_int_equal(unlinkat(p->dir, "r/letter.txt", 0), 0);

	r = open_repo(p, true);
	assert_int_equal(strcmp(ay_repo_path(r) + strlen(p->path), "/r"), 0);
	ay_repo_close(r);
	uint8_t *marker = get_file(p->dir, "r/ayni-repo", NULL);
	assert_string_equal((char *)marker, "ayni-repo 1\n");
	free(marker);
	expect_code(try_open(p, "r2///", true, &r, &err), 0);
	ay_repo_close(r);
	r = open_repo(p, false);
	ay_repo_close(r);
	put_text(p->dir, "r/ayni-repo", "ayni-repo 2\n");
	expect_code(try_open(p, "r", true, &r, &err), AY_EVERSION);
	put_text(p->dir, "r/ayni-repo", "something\n");
	expect_code(try_open(p, "r", true, &r, &err), AY_ESTATE);
	/* Made by somebody who was killed before the marker: going on is allowed. */
	assert_int_equal(unlinkat(p->dir, "r/ayni-repo", 0), 0);
	put_text(p->dir, "r/.tmp-0011223344556677", "half");
	r = open_repo(p, true);
	assert_false(there(p->dir, "r/.tmp-0011223344556677"));
	ay_repo_close(r);
}

static void test_documents(void **state)
{
	struct place *p = *state;
	struct ay_repo *r = open_repo(p, true);
	struct ay_digest d, want;
	struct ay_err err = {0};
	uint8_t *data;
	size_t len;
	char path[128], hex[65];

	expect_code(ay_repo_put(r, AY_REPO_MANIFEST, "a manifest", 10, &d, &err), 0);
	ay_digest_mem("a manifest", 10, &want);
	assert_true(ay_digest_eq(&d, &want));
	expect_code(ay_repo_put(r, AY_REPO_MANIFEST, "a manifest", 10, &d, &err), 0);
	expect_code(ay_repo_get(r, AY_REPO_RELEASE, &d, 100, &data, &len, &err), -ENOENT);
	expect_code(ay_repo_get(r, AY_REPO_MANIFEST, &d, 9, &data, &len, &err), AY_ELIMIT);
	expect_code(ay_repo_get(r, AY_REPO_MANIFEST, &d, 10, &data, &len, &err), 0);
	assert_int_equal(len, 10);
	assert_memory_equal(data, "a manifest", 10);
	free(data);
	snprintf(path, sizeof(path), "r/manifests/%s", ay_digest_hex(&d, hex));
	put_text(p->dir, path, "a Manifest");
	expect_code(ay_repo_get(r, AY_REPO_MANIFEST, &d, 10, &data, &len, &err), AY_EDIGEST);
	expect_says(&err, hex);
	expect_code(ay_repo_put(r, AY_REPO_MANIFEST, "a manifest", 10, &d, &err), 0);
	expect_code(ay_repo_get(r, AY_REPO_MANIFEST, &d, 10, &data, &len, &err), 0);
	free(data);
	ay_repo_close(r);
}

static void test_bundles(void **state)
{
	struct place *p = *state;
	struct ay_repo *r = open_repo(p, true);
	struct ay_digest d, other = {{9}};
	struct ay_err err = {0};
	char name[64], hex[65], path[128];
	struct stat st;
	int fd;

	ay_digest_mem("a bundle", 8, &d);
	snprintf(path, sizeof(path), "r/bundles/%s", ay_digest_hex(&d, hex));
	expect_code(ay_repo_bundle_open(r, &d, &fd, &err), -ENOENT);
	for (int round = 0; round < 2; round++) {
		expect_code(ay_repo_bundle_begin(r, &fd, name, &err), 0);
		assert_int_equal(write(fd, "a bundle", 8), 8);
		assert_false(!round && there(p->dir, path));
		expect_code(ay_repo_bundle_commit(r, name, &d, &err), 0);
		close(fd);
		assert_int_equal(fstatat(p->dir, path, &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0644);
	}
	expect_code(ay_repo_bundle_open(r, &d, &fd, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 8);
	close(fd);
	/* Bytes that are not those announced get no name, and nothing stays. */
	expect_code(ay_repo_bundle_begin(r, &fd, name, &err), 0);
	expect_code(ay_repo_bundle_commit(r, name, &other, &err), AY_EDIGEST);
	close(fd);
	snprintf(path, sizeof(path), "r/bundles/%s", name);
	assert_false(there(p->dir, path));
	expect_code(ay_repo_bundle_begin(r, &fd, name, &err), 0);
	ay_repo_bundle_abort(r, name);
	close(fd);
	snprintf(path, sizeof(path), "r/bundles/%s", name);
	assert_false(there(p->dir, path));
	ay_repo_bundle_abort(r, hex); /* only ever a temporary file */
	expect_code(ay_repo_bundle_open(r, &d, &fd, &err), 0);
	close(fd);
	/* What a killed publisher left is swept by the next one. */
	put_text(p->dir, "r/bundles/.tmp-0123456789abcdef", "half");
	ay_repo_close(r);
	r = open_repo(p, false);
	assert_true(there(p->dir, "r/bundles/.tmp-0123456789abcdef"));
	ay_repo_close(r);
	ay_repo_close(open_repo(p, true));
	assert_false(there(p->dir, "r/bundles/.tmp-0123456789abcdef"));
}

static void test_roots(void **state)
{
	struct place *p = *state;
	struct ay_repo *r = open_repo(p, true);
	struct ay_err err = {0};
	uint8_t *data;
	size_t len;
	uint32_t found = 0;

	expect_code(ay_repo_get_root(r, 0, &found, &data, &len, &err), -ENOENT);
	expect_code(ay_repo_put_root(r, 0, "x", 1, &err), AY_EUSAGE);
	for (uint32_t v = 1; v <= 12; v++)
		expect_code(ay_repo_put_root(r, v, &v, sizeof(v), &err), 0);
	put_text(p->dir, "r/roots/13x", "");
	put_text(p->dir, "r/roots/014", "");
	put_text(p->dir, "r/roots/99999999999", "");
	expect_code(ay_repo_put_root(r, 12, &(uint32_t){12}, 4, &err), 0);
	expect_code(ay_repo_put_root(r, 12, &(uint32_t){13}, 4, &err), AY_ESTATE);
	expect_code(ay_repo_get_root(r, 0, &found, &data, &len, &err), 0);
	assert_int_equal(found, 12);
	assert_int_equal(len, 4);
	assert_int_equal(data[0], 12);
	free(data);
	expect_code(ay_repo_get_root(r, 2, NULL, &data, &len, &err), 0);
	assert_int_equal(data[0], 2);
	free(data);
	expect_code(ay_repo_get_root(r, 13, &found, &data, &len, &err), -ENOENT);
	ay_repo_close(r);
}

static int count(void *ctx, const uint8_t *data, size_t len)
{
	unsigned *n = ctx;
	assert_int_equal(len, 7);
	assert_memory_equal(data, "offer ", 6);
	return ++*n == 100 ? 100 : 0;
}

static void test_offers(void **state)
{
	struct place *p = *state;
	struct ay_repo *r = open_repo(p, true);
	struct ay_digest to = {{1}}, none = {{2}}, d;
	struct ay_err err = {0};
	char path[256], to_hex[65], hex[65];
	unsigned n = 0;

	expect_code(ay_repo_each_offer(r, &to, count, &n, &err), 0);
	assert_int_equal(n, 0);
	for (char c = '0'; c < '9'; c++) {
		char text[8] = "offer ";
		text[6] = c;
		expect_code(ay_repo_put_offer(r, &to, text, 7, &err), 0);
		expect_code(ay_repo_put_offer(r, &to, text, 7, &err), 0);
	}
	expect_code(ay_repo_each_offer(r, &to, count, &n, &err), 0);
	assert_int_equal(n, 9);
	expect_code(ay_repo_each_offer(r, &none, count, &n, &err), 0);
	assert_int_equal(n, 9);
	ay_digest_mem("offer 3", 7, &d);
	snprintf(path, sizeof(path), "r/offers/%s/%s", ay_digest_hex(&to, to_hex), ay_digest_hex(&d, hex));
	put_text(p->dir, path, "offer x"); /* damaged: left out */
	n = 0;
	expect_code(ay_repo_each_offer(r, &to, count, &n, &err), 0);
	assert_int_equal(n, 8);
	n = 97;
	expect_code(ay_repo_each_offer(r, &to, count, &n, &err), 100);
	ay_repo_close(r);
}

static void test_heads(void **state)
{
	struct place *p = *state;
	struct ay_repo *r = open_repo(p, true);
	struct ay_err err = {0};
	uint8_t head[AY_HEAD_SIZE], got[AY_HEAD_SIZE];
	char **names;
	size_t n;

	expect_code(ay_repo_get_head(r, "xo/stable", got, &err), -ENOENT);
	expect_code(ay_repo_get_head(r, "../x", got, &err), AY_EUSAGE);
	fleet_head("xo/stable", 7, 1000, head);
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), 0);
	expect_code(ay_repo_get_head(r, "xo/stable", got, &err), 0);
	assert_memory_equal(got, head, sizeof(head));
	assert_true(there(p->dir, "r/branches/xo%2Fstable/head"));

	/* Never back, never two releases of one serial; the same release may be signed anew. */
	fleet_head("xo/stable", 6, 2000, head);
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), AY_EROLLBACK);
	expect_says(&err, "serial 7 already");
	fleet_head("xo/stable", 7, 3000, head);
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), 0);
	head[40] ^= 1; /* in the release's digest */
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), AY_EROLLBACK);
	memset(head, 0, sizeof(head));
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), AY_EFORMAT);
	fleet_head("xo/stable", 8, 1, head);
	expect_code(ay_repo_put_head(r, "xo/stable", head, &err), 0);

	fleet_head("a", 1, 1, head);
	expect_code(ay_repo_put_head(r, "a", head, &err), 0);
	assert_int_equal(mkdirat(p->dir, "r/branches/no-head-yet", 0755), 0);
	assert_int_equal(mkdirat(p->dir, "r/branches/No Branch", 0755), 0);
	expect_code(ay_repo_branches(r, &names, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(names[0], "a");
	assert_string_equal(names[1], "xo/stable");
	ay_store_names_free(names, n);

	put_text(p->dir, "r/branches/a/head", "short");
	expect_code(ay_repo_get_head(r, "a", got, &err), AY_EFORMAT);
	expect_code(ay_repo_put_head(r, "a", head, &err), 0); /* a damaged one is replaced */
	uint8_t longer[AY_HEAD_SIZE + 1] = {0};
	put_file(p->dir, "r/branches/a/head", longer, sizeof(longer));
	expect_code(ay_repo_get_head(r, "a", got, &err), AY_EFORMAT);
	ay_repo_close(r);
}

static void test_one_publisher(void **state)
{
	struct place *p = *state;
	struct ay_repo *first = open_repo(p, true), *second, *reader;
	struct ay_digest d;
	struct ay_err err;
	uint8_t head[AY_HEAD_SIZE];

	expect_code(try_open(p, "r", true, &second, &err), AY_EBUSY);
	expect_says(&err, "another process is publishing");
	reader = open_repo(p, false);
	fleet_head("a", 1, 1, head);
	expect_code(ay_repo_put_head(first, "a", head, &err), 0);
	expect_code(ay_repo_get_head(reader, "a", head, &err), 0);
	expect_code(ay_repo_put(reader, AY_REPO_RELEASE, "x", 1, &d, &err), AY_EBUSY);
	expect_code(ay_repo_put_head(reader, "a", head, &err), AY_EBUSY);
	int fd;
	char name[64];
	expect_code(ay_repo_bundle_begin(reader, &fd, name, &err), AY_EBUSY);
	ay_repo_close(first);
	expect_code(ay_repo_put(reader, AY_REPO_RELEASE, "x", 1, &d, &err), 0);
	expect_code(try_open(p, "r", true, &second, &err), AY_EBUSY); /* its first write made it the writer */
	ay_repo_close(reader);
	second = open_repo(p, true);
	ay_repo_close(second);
}

/* A publisher killed at any moment: readers see the old head or the new one, with all that it names. */
static void test_kill(void **state)
{
	struct place *p = *state;
	struct ay_err err = {0};
	uint32_t last = 0;

	ay_repo_close(open_repo(p, true));
	struct ay_repo *reader = open_repo(p, false);
	for (unsigned round = 0; round < 12; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct ay_repo *r = open_repo(p, true);
			for (uint32_t serial = last + 1;; serial++) {
				uint8_t head[AY_HEAD_SIZE];
				struct ay_digest d;
				fleet_head("a", serial, 1, head);
				if (ay_repo_put(r, AY_REPO_RELEASE, &serial, sizeof(serial), &d, &err) < 0 ||
				    ay_repo_put_head(r, "a", head, &err) < 0)
					_exit(1);
			}
		}
		uint32_t newest = last;
		while (newest < last + 1 + round % 3) {
			uint8_t data[AY_HEAD_SIZE], *doc;
			struct ay_head h;
			struct ay_digest d;
			size_t len;
			int rc = ay_repo_get_head(reader, "a", data, &err);
			if (rc == -ENOENT)
				continue;
			expect_code(rc, 0);
			expect_code(ay_head_parse(data, sizeof(data), &h, &err), 0);
			assert_true(h.serial >= newest);
			newest = h.serial;
			ay_digest_mem(&newest, sizeof(newest), &d);
			expect_code(ay_repo_get(reader, AY_REPO_RELEASE, &d, 4, &doc, &len, &err), 0);
			free(doc);
		}
		usleep(round * 300);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		uint8_t data[AY_HEAD_SIZE];
		struct ay_head h;
		expect_code(ay_repo_get_head(reader, "a", data, &err), 0);
		expect_code(ay_head_parse(data, sizeof(data), &h, &err), 0);
		last = h.serial;
	}
	ay_repo_close(reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		T(test_open),   T(test_documents), T(test_bundles),       T(test_roots),
		T(test_offers), T(test_heads),     T(test_one_publisher), T(test_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
