/* SPDX-License-Identifier: MIT */
/* What survives: roots along their chain, a branch's floor and head, the install-id, documents. */
#include "tests/support/place.h"
#include "tests/support/set_branch.h"

#include <sys/file.h>
#include <sys/wait.h>

#include "store/state.h"
#include "store/store_internal.h"

static int add_root(struct ay_store *s, uint32_t version, struct ay_err *err)
{
	struct ay_buf env = {0};
	fleet_root_envelope(version, &env);
	int rc = ay_state_add_root(s, env.data, env.len, err);
	ay_buf_release(&env);
	return rc;
}

static void assert_root(struct ay_store *s, uint32_t version)
{
	const struct ay_root *root = NULL;
	struct ay_err err = {0};
	expect_code(ay_state_root(s, &root, &err), 0);
	assert_int_equal(root->version, version);
}

static void test_roots(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	const struct ay_root *root;
	struct ay_err err = {0};
	struct ay_buf env = {0};
	uint8_t *data;
	size_t len;

	expect_code(ay_state_root(s, &root, &err), -ENOENT);
	expect_says(&err, "trusts no root yet");
	expect_code(ay_state_root_envelope(s, 0, &data, &len, &err), -ENOENT);
	expect_code(ay_state_add_root(s, "rubbish", 7, &err), AY_EFORMAT);
	expect_code(add_root(s, 3, &err), 0); /* installed when the fleet was at 3 */
	assert_root(s, 3);
	expect_code(add_root(s, 3, &err), AY_ENOTHING);
	expect_code(add_root(s, 2, &err), AY_EROLLBACK);
	expect_code(add_root(s, 5, &err), AY_EFORMAT);
	expect_code(add_root(s, 4, &err), 0);
	assert_root(s, 4);

	/* Another process adds one; this one sees it when it wants to add it too. */
	struct ay_store *other = open_store(p);
	assert_root(other, 4);
	expect_code(add_root(other, 5, &err), 0);
	ay_store_close(other);
	assert_root(s, 4);
	expect_code(add_root(s, 5, &err), AY_ENOTHING);
	assert_root(s, 5);

	fleet_root_envelope(5, &env);
	expect_code(ay_state_root_envelope(s, 0, &data, &len, &err), 0);
	assert_int_equal(len, env.len);
	free(data);
	expect_code(ay_state_root_envelope(s, 3, &data, &len, &err), 0);
	free(data);
	expect_code(ay_state_root_envelope(s, 2, &data, &len, &err), -ENOENT);
	ay_buf_release(&env);
	ay_store_close(s);
	s = open_store_readonly(p);
	assert_root(s, 5);
	expect_code(add_root(s, 6, &err), -EROFS);
	ay_store_close(s);
}

/* A root on disk is believed no more than one from a stranger. */
static void test_changed_roots(void **state)
{
	struct place *p = *state;
	const struct ay_root *root;
	struct ay_err err = {0};
	size_t len;

	struct ay_store *s = open_store(p);
	for (uint32_t v = 1; v <= 3; v++)
		expect_code(add_root(s, v, &err), 0);
	ay_store_close(s);
	s = open_store(p);
	uint8_t *two = get_file(s->roots, "2", &len);
	const char *comment =
		memmem(two, len, "untrusted comment:", 18); /* the one line under no signature */
	assert_non_null(comment);
	size_t from = (size_t)(comment - (char *)two) + 18, to = from + strcspn(comment + 18, "\n");
	for (size_t i = 0; i < len; i += 7) {
		if (i >= from && i < to)
			continue;
		two[i] ^= 4;
		put_file(s->roots, "2", two, len);
		two[i] ^= 4;
		err = (struct ay_err){0};
		int rc = ay_state_root(s, &root, &err);
		if (rc != AY_EVERSION)
			expect_code(rc, AY_ESTORE);
		expect_says(&err, "roots/2: ");
		expect_code(set_branch(s, &(struct ay_branch_state){.branch = "a"}, &err),
			    0); /* needs none */
		ay_store_close(s);
		s = open_store(p);
	}
	/* Version 1 under the name 2, and the chain cut in the middle. */
	uint8_t *one = get_file(s->roots, "1", &len);
	put_file(s->roots, "2", one, len);
	expect_code(ay_state_root(s, &root, &err), AY_ESTORE);
	assert_int_equal(unlinkat(s->roots, "1", 0), 0);
	ay_store_close(s);
	s = open_store(p);
	expect_code(ay_state_root(s, &root, &err), AY_ESTORE);
	expect_says(&err, "roots/2: it holds version 1");
	free(one);
	free(two);
	/* What is no version is passed over. */
	assert_int_equal(unlinkat(s->roots, "2", 0), 0);
	put_text(s->roots, "03", "x");
	put_text(s->roots, "0", "x");
	put_text(s->roots, "4294967296", "x");
	put_text(s->roots, ".tmp-0123456789abcdef", "x");
	ay_store_close(s);
	s = open_store(p);
	assert_root(s, 3);
	ay_store_close(s);
}

static struct ay_branch_state branch_of(const char *name, uint32_t floor, uint32_t head_serial)
{
	struct ay_branch_state b = {
		.follow = true, .floor = floor, .bad_serial = 5, .has_head = head_serial > 0};
	snprintf(b.branch, sizeof(b.branch), "%s", name);
	if (head_serial)
		fleet_head(name, head_serial, 1000, b.head);
	return b;
}

static void assert_branch(struct ay_store *s, const struct ay_branch_state *want)
{
	struct ay_branch_state got;
	struct ay_err err = {0};
	expect_code(ay_state_branch(s, want->branch, &got, &err), 0);
	assert_string_equal(got.branch, want->branch);
	assert_int_equal(got.follow, want->follow);
	assert_int_equal(got.floor, want->floor);
	assert_int_equal(got.bad_serial, want->bad_serial);
	assert_int_equal(got.has_head, want->has_head);
	assert_memory_equal(got.head, want->head, AY_HEAD_SIZE);
}

static void test_branch(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_branch_state b = branch_of("xo/stable", 7, 8), got;
	struct ay_err err = {0};

	assert_branch(s, &(struct ay_branch_state){.branch = "xo/stable"});
	expect_code(ay_state_branch(s, "Xo", &got, &err), AY_EUSAGE);
	expect_code(ay_state_branch(s, "../x", &got, &err), AY_EUSAGE);
	expect_code(ay_state_branch(s, "", &got, &err), AY_EUSAGE);
	expect_code(set_branch(s, &b, &err), 0);
	ay_store_close(s);
	s = open_store(p);
	assert_branch(s, &b);
	b.floor = 6;
	expect_code(set_branch(s, &b, &err), AY_EROLLBACK);
	expect_says(&err, "xo/stable");
	b.floor = UINT32_MAX;
	b.bad_serial = 0;
	b.follow = false;
	expect_code(set_branch(s, &b, &err), 0);
	assert_branch(s, &b);

	/* Who does not know the newest head does not take it away. */
	struct ay_branch_state stale = b;
	fleet_head("xo/stable", 6, 2000, stale.head);
	expect_code(set_branch(s, &stale, &err), 0);
	assert_branch(s, &b);
	stale.has_head = false;
	expect_code(set_branch(s, &stale, &err), 0);
	assert_branch(s, &b);
	fleet_head("xo/stable", 8, 3000, b.head); /* the same serial, signed anew */
	expect_code(set_branch(s, &b, &err), 0);
	assert_branch(s, &b);
	fleet_head("xo/stable", 9, 1, b.head);
	expect_code(set_branch(s, &b, &err), 0);
	assert_branch(s, &b);
	ay_store_close(s);
	s = open_store_readonly(p);
	assert_branch(s, &b);
	expect_code(set_branch(s, &b, &err), -EROFS);
	ay_store_close(s);
}

static int raise_floor(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	b->floor++;
	return 0;
}

static int mark_bad(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	b->bad_serial++;
	return 0;
}

static int answer(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	int code = *(int *)ctx;
	b->bad_serial = 99;
	return code < 0 ? ay_err_set(err, code, "so it is") : code;
}

/* Two processes change two facts of one branch many times: no change is lost. */
static void test_change_branch(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_branch_state b = branch_of("a", 0, 3), got;
	struct ay_err err = {0};
	int status, nothing = 1, no = AY_EROLE;

	b.bad_serial = 0;
	expect_code(set_branch(s, &b, &err), 0);
	pid_t child = fork();
	if (child == 0) {
		struct ay_store *other = open_store(p);
		int rc = 0;
		for (int i = 0; i < 50 && rc == 0; i++)
			rc = ay_state_change_branch(other, "a", mark_bad, NULL, &err);
		_exit(rc == 0 ? 0 : 1);
	}
	for (int i = 0; i < 50; i++)
		expect_code(ay_state_change_branch(s, "a", raise_floor, NULL, &err), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	b.floor = b.bad_serial = 50;
	assert_branch(s, &b);
	expect_code(ay_state_change_branch(s, "a", answer, &nothing, &err), 0);
	expect_code(ay_state_change_branch(s, "a", answer, &no, &err), AY_EROLE);
	expect_says(&err, "so it is");
	assert_branch(s, &b);
	expect_code(ay_state_change_branch(s, "new", answer, &nothing, &err), 0);
	assert_false(there(s->state, "branches/new"));
	expect_code(ay_state_change_branch(s, "new", raise_floor, NULL, &err), 0);
	expect_code(ay_state_branch(s, "new", &got, &err), 0);
	assert_int_equal(got.floor, 1);
	expect_code(ay_state_change_branch(s, "../x", raise_floor, NULL, &err), AY_EUSAGE);
	ay_store_close(s);
}

/* Whoever may open a thing may lock it for good: that must stop no writer. */
static void test_lock_is_ours(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_branch_state b = branch_of("a", 1, 3);
	struct ay_err err = {0};
	struct stat st;
	int status;

	int dir = openat(p->dir, "store/state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(dir, LOCK_EX | LOCK_NB), 0);
	pid_t child = fork();
	if (child == 0) {
		alarm(10);
		_exit(set_branch(s, &b, &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(dir);
	assert_int_equal(fstatat(s->state, ".lock", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	ay_store_close(s);
}

/* Every truncation and every bit flip: refused, or it is another valid statement; never zeros. */
static void test_branch_strict(void **state)
{
	struct ay_store *s = open_store(*state);
	struct ay_branch_state b = branch_of("a/b", 70, 8), got;
	struct ay_err err = {0};
	size_t len;

	expect_code(set_branch(s, &b, &err), 0);
	uint8_t *text = get_file(s->state, "branches/a%2Fb", &len);
	for (size_t to = 0; to < len; to++) {
		put_file(s->state, "branches/a%2Fb", text, to);
		expect_code(ay_state_branch(s, "a/b", &got, &err), AY_ESTORE);
		expect_says(&err, "branches/a%2Fb is damaged");
		expect_code(set_branch(s, &b, &err), AY_ESTORE);
	}
	uint8_t *longer = malloc(len + 2000);
	memset(longer, '\n', len + 2000);
	memcpy(longer, text, len);
	put_file(s->state, "branches/a%2Fb", longer, len + 1);
	expect_code(ay_state_branch(s, "a/b", &got, &err), AY_ESTORE);
	put_file(s->state, "branches/a%2Fb", longer, len + 2000);
	expect_code(ay_state_branch(s, "a/b", &got, &err), AY_ESTORE);
	free(longer);
	for (size_t i = 0, valid = 0; i < 8 * len; i++) {
		size_t again;
		text[i / 8] ^= (uint8_t)(1 << (i % 8));
		put_file(s->state, "branches/a%2Fb", text, len);
		int rc = ay_state_branch(s, "a/b", &got, &err);
		assert_true(rc == 0 || rc == AY_ESTORE);
		if (rc == 0 &&
		    valid++ % 16 == 0) { /* then it is what we would write; not all, because writing syncs */
			assert_int_equal(unlinkat(s->state, "branches/a%2Fb", 0), 0);
			expect_code(set_branch(s, &got, &err), 0);
			uint8_t *now = get_file(s->state, "branches/a%2Fb", &again);
			assert_int_equal(again, len);
			assert_memory_equal(now, text, len);
			free(now);
		}
		text[i / 8] ^= (uint8_t)(1 << (i % 8));
	}
	/* Numbers have one form. */
	static const char *const odd[] = {"floor: 07", "floor: +7", "floor: 7 ", "floor: -7",
					  "floor: 4294967296"};
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		char other[1024];
		const char *at = memmem(text, len, "floor: 70", 9);
		int n = snprintf(other, sizeof(other), "%.*s%s%.*s", (int)(at - (char *)text), text, odd[i],
				 (int)(len - (size_t)(at + 9 - (char *)text)), at + 9);
		put_file(s->state, "branches/a%2Fb", other, (size_t)n);
		expect_code(ay_state_branch(s, "a/b", &got, &err), AY_ESTORE);
	}
	/* Another branch's file under this name. */
	put_file(s->state, "branches/c", text, len);
	expect_code(ay_state_branch(s, "c", &got, &err), AY_ESTORE);
	free(text);
	ay_store_close(s);
}

static void test_branches(void **state)
{
	struct ay_store *s = open_store(*state);
	struct ay_branch_state *all = NULL;
	struct ay_err err = {0};
	size_t n = 9;
	static const char *const names[] = {"xo/stable", ".hidden", "a", "b/c/d"};

	expect_code(ay_state_branches(s, &all, &n, &err), 0);
	assert_int_equal(n, 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct ay_branch_state b = branch_of(names[i], i, i);
		expect_code(set_branch(s, &b, &err), 0);
	}
	put_text(s->state, "branches/.tmp-0011223344556677", "half a f");
	expect_code(ay_state_branches(s, &all, &n, &err), 0);
	assert_int_equal(n, 4);
	assert_string_equal(all[0].branch, ".hidden");
	assert_string_equal(all[1].branch, "a");
	assert_string_equal(all[2].branch, "b/c/d");
	assert_string_equal(all[3].branch, "xo/stable");
	assert_int_equal(all[2].floor, 3);
	free(all);
	put_text(s->state, "branches/a", "ayni-branch-state 1\n");
	expect_code(ay_state_branches(s, &all, &n, &err), AY_ESTORE);
	ay_store_close(s);
}

static void test_install_id(void **state)
{
	struct place *p = *state;
	struct ay_store *s = open_store(p);
	struct ay_err err = {0};
	uint8_t a[16], b[16] = {0};
	static const uint8_t zeros[16];

	ay_store_close(s);
	s = open_store_readonly(p);
	expect_code(ay_state_install_id(s, a, &err), -EROFS);
	ay_store_close(s);
	s = open_store(p);
	expect_code(ay_state_install_id(s, a, &err), 0);
	ay_store_close(s);
	s = open_store(p);
	expect_code(ay_state_install_id(s, b, &err), 0);
	assert_memory_equal(a, b, 16);
	assert_memory_not_equal(a, zeros, 16);
	put_text(s->state, "install-id", "0123456789abcdef0123456789abcdeF\n");
	expect_code(ay_state_install_id(s, b, &err), AY_ESTORE);
	expect_says(&err, "delete it");
	ay_store_close(s);
}

/* Ten processes at once make one id. */
static void test_install_id_race(void **state)
{
	struct place *p = *state;
	struct ay_err err = {0};
	uint8_t ids[10][16];
	int pipes[2];

	ay_store_close(open_store(p));
	assert_int_equal(pipe(pipes), 0);
	for (int i = 0; i < 10; i++) {
		if (fork() == 0) {
			uint8_t id[16];
			struct ay_store *s = open_store(p);
			if (ay_state_install_id(s, id, &err) == 0 && write(pipes[1], id, 16) == 16)
				_exit(0);
			_exit(1);
		}
	}
	for (int i = 0; i < 10; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
		assert_int_equal(read(pipes[0], ids[i], 16), 16);
		assert_memory_equal(ids[0], ids[i], 16);
	}
	close(pipes[0]);
	close(pipes[1]);
}

struct seen {
	struct ay_store *s;
	unsigned n;
	size_t bytes;
	int stop;
};

static int see(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len)
{
	struct seen *seen = ctx;
	struct ay_err err = {0};
	struct ay_digest got;

	ay_digest_mem(data, len, &got);
	assert_true(ay_digest_eq(&got, d));
	seen->n++;
	seen->bytes += len;
	if (seen->s)
		expect_code(ay_state_drop_doc(seen->s, AY_DOC_OFFER, d, &err), 0);
	return seen->stop;
}

static void test_documents(void **state)
{
	struct ay_store *s = open_store(*state);
	struct ay_digest d, none = {{1}};
	struct ay_err err = {0};
	uint8_t *data;
	size_t len;
	char hex[65];

	for (unsigned i = 1; i <= 20; i++) {
		char text[32];
		snprintf(text, sizeof(text), "document %u", i);
		expect_code(ay_state_put_doc(s, AY_DOC_OFFER, text, strlen(text), &err), 0);
		expect_code(ay_state_put_doc(s, AY_DOC_OFFER, text, strlen(text), &err), 0);
	}
	ay_digest_mem("document 7", 10, &d);
	expect_code(ay_state_get_doc(s, AY_DOC_OFFER, &d, &data, &len, &err), 0);
	assert_int_equal(len, 10);
	assert_memory_equal(data, "document 7", 10);
	free(data);
	expect_code(ay_state_get_doc(s, AY_DOC_RELEASE, &d, &data, &len, &err), -ENOENT);
	expect_code(ay_state_get_doc(s, AY_DOC_OFFER, &none, &data, &len, &err), -ENOENT);

	ay_digest_hex(&d, hex);
	put_text(s->offers, hex, "document 8");
	expect_code(ay_state_get_doc(s, AY_DOC_OFFER, &d, &data, &len, &err), AY_EDIGEST);
	put_text(s->offers, ".tmp-0011223344556677", "x");
	struct seen seen = {0};
	err = (struct ay_err){0};
	expect_code(ay_state_each_doc(s, AY_DOC_OFFER, see, &seen, &err), 0);
	assert_int_equal(err.code, 0); /* no sentence of a thing passed over */
	assert_int_equal(seen.n, 19);
	expect_code(ay_state_put_doc(s, AY_DOC_OFFER, "document 7", 10, &err), 0); /* put again heals */
	seen = (struct seen){.stop = 42};
	expect_code(ay_state_each_doc(s, AY_DOC_OFFER, see, &seen, &err), 42);
	assert_int_equal(seen.n, 1);
	seen = (struct seen){.s = s};
	expect_code(ay_state_each_doc(s, AY_DOC_OFFER, see, &seen, &err), 0);
	assert_int_equal(seen.n, 20);
	seen = (struct seen){0};
	expect_code(ay_state_each_doc(s, AY_DOC_OFFER, see, &seen, &err), 0);
	assert_int_equal(seen.n, 0);
	expect_code(ay_state_drop_doc(s, AY_DOC_OFFER, &none, &err), 0);

	uint8_t *big = calloc(1, AY_ENVELOPE_MAX + 1);
	expect_code(ay_state_put_doc(s, AY_DOC_RELEASE, big, AY_ENVELOPE_MAX + 1, &err), AY_ELIMIT);
	expect_code(ay_state_put_doc(s, AY_DOC_RELEASE, big, AY_ENVELOPE_MAX, &err), 0);
	free(big);
	ay_store_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		T(test_roots),         T(test_changed_roots), T(test_branch),          T(test_branch_strict),
		T(test_branches),      T(test_install_id),    T(test_install_id_race), T(test_documents),
		T(test_change_branch), T(test_lock_is_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
