/* SPDX-License-Identifier: MIT */
/*
 * The durable commit, line by line: in which order names are made and what is synced before them.
 *
 * That a process was killed shows no missing sync (the kernel still has the data), so
 * the order itself is the test: leave out or move any sync in store/build.c, store/switch.c, store/gc.c
 * or store/file.c and a line here differs. Why each stands where it does: DESIGN section 6.
 *
 * A line also says how the store's lock is held.
 * Random and digest parts of names are shortened: S the staging directory, # a digest, % a variant or temporary name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>

#include "store/state.h"
#include "tests/support/fs_fault.h"
#include "tests/support/store_kit.h"

#define B "b"

struct state {
	struct kit k;
	struct fs_fault f;
	struct ay_store *s;
	struct kit_tree v1, v2;
	struct ay_offer offer;
	int bundle;
	struct ay_err err;
	char *text;
	size_t len;
	char root[300];
};

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));

	kit_init(&t->k);
	fs_fault_init(&t->f);
	t->f.syncs_off = true;
	kit_mkdir(&t->k, "v", 0755);
	kit_text(&t->k, "v/kept", "kept", 0644);
	kit_text(&t->k, "v/own", "first", 0644);
	kit_publish(&t->k, "v", B, 1, &t->v1);
	if (kit_store(&t->k, &t->f.fs, &t->s, &t->err) < 0 || kit_import(&t->k, t->s, B, &t->v1, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	kit_mkdir(&t->k, "w", 0755);
	kit_text(&t->k, "w/kept", "kept", 0644);
	kit_text(&t->k, "w/own", "second", 0644);
	kit_publish(&t->k, "w", B, 2, &t->v2);
	t->bundle = kit_bundle(&t->k, &t->v1, &t->v2, &t->offer);
	snprintf(t->root, sizeof(t->root), "%s/store", t->k.dir);
	t->f.trace_root = t->root;
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

/* Runs of hex digits: 62 and more are a digest, 14 to 32 a variant or a temporary name; a bucket is "ab". */
static void shorten(char *text)
{
	char *out = text;

	for (char *p = text; *p;) {
		char *s;
		if (strncmp(p, "staging-", 8) == 0) {
			*out++ = 'S';
			p += strcspn(p, "/ \n");
			continue;
		}
		size_t n = strspn(p, "0123456789abcdef");
		if (n >= 14) {
			*out++ = n >= 62 ? '#' : '%';
			p += n;
		} else if (strncmp(p, "objects/", 8) == 0 && isxdigit((unsigned char)p[8])) {
			s = p;
			memmove(out, s, 8);
			out += 8;
			*out++ = 'a';
			*out++ = 'b';
			p += 10;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
}

/* Files are removed in the directory's own order: one line for a run of them. And no blank before a line's end. */
static void merge_unlinks(char *text)
{
	char *out = text;
	bool before = false;

	for (char *p = text; *p;) {
		size_t n = strcspn(p, "\n") + 1;
		bool now = strncmp(p, "unlink tmp/S", 12) == 0;
		size_t keep = n >= 2 && p[n - 2] == ' ' ? n - 2 : n - 1;
		if (now && !before) {
			memcpy(out, "unlink tmp/S\n", 13);
			out += 13;
		} else if (!now) {
			memmove(out, p, keep);
			out += keep;
			*out++ = '\n';
		}
		before = now;
		p += n;
	}
	*out = '\0';
}

static void begin(struct state *t)
{
	t->f.trace = open_memstream(&t->text, &t->len);
	assert_non_null(t->f.trace);
}

static void assert_trace(struct state *t, const char *expected)
{
	fclose(t->f.trace);
	t->f.trace = NULL;
	shorten(t->text);
	merge_unlinks(t->text);
	if (strcmp(t->text, expected) != 0)
		fail_msg("the trace is\n%s\nand should be\n%s", t->text, expected);
	free(t->text);
}

static void an_update_is_durable_before_it_is_said(void **arg)
{
	struct state *t = *arg;

	begin(t);
	assert_int_equal(kit_apply(t->s, B, &t->v2, t->bundle, &t->offer, &t->err), 0);
	assert_trace(t, "mkdir branches/b\n"
			"open branches/b/.apply\n"
			"mkdir tmp/S\n"
			"mkdir tmp/S/raw\n"
			"mkdir tmp/S/new\n"
			"mkdir tmp/S/tree\n"
			"open tmp/S/delta\n"
			"open tmp/S/tree/manifest\n"
			"open tmp/S/raw/#\n"
			"link tmp/S/raw/# -> tmp/S/new/#.%\n"
			"unlink tmp/S\n" /* of the place to go on from: from here on it would lie */
			"open tmp/S/tree/release\n"
			"open tmp/S/tree/.ref\n"
			"syncfs\n"
			"rename tmp/S/new/#.% -> objects/ab/#.% (shared)\n"
			"mkdir objects/ab (shared)\n"
			"rename tmp/S/new/#.% -> objects/ab/#.% (shared)\n"
			"mkdir tmp/S/tree/root (shared)\n"
			"link objects/ab/#.% -> tmp/S/tree/root/kept (shared)\n"
			"link objects/ab/#.% -> tmp/S/tree/root/own (shared)\n"
			"syncfs\n"
			"rename tmp/S/tree -> branches/b/2\n"
			"fsync tmp/S\n"
			"fsync branches/b\n"
			"unlink tmp/S\n");
}

static void a_switch_is_one_rename_after_the_state(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(ay_store_switch(t->s, B, 1, false, &t->err), 0);
	assert_int_equal(kit_apply(t->s, B, &t->v2, t->bundle, &t->offer, &t->err), 0);
	begin(t);
	assert_int_equal(ay_store_switch(t->s, B, 2, false, &t->err), 0);
	assert_trace(t, "open branches/b/.switch\n"
			"open state/.lock\n"
			"mkdir state/branches\n"
			"open state/branches/.tmp-%\n"
			"fsync state/branches/.tmp-%\n"
			"rename state/branches/.tmp-% -> state/branches/b\n"
			"fsync state/branches\n"
			"symlink 2/root -> branches/b/.tmp-%\n"
			"rename branches/b/.tmp-% -> branches/b/current\n"
			"fsync branches/b\n");
	begin(t);
	uint32_t to;
	assert_int_equal(ay_store_rollback(t->s, B, 0, &to, &t->err), 0);
	assert_trace(t, "open branches/b/.switch\n"
			"open state/.lock\n"
			"mkdir state/branches\n"
			"open state/branches/.tmp-%\n"
			"fsync state/branches/.tmp-%\n"
			"rename state/branches/.tmp-% -> state/branches/b\n"
			"fsync state/branches\n"
			"symlink 1/root -> branches/b/.tmp-%\n"
			"rename branches/b/.tmp-% -> branches/b/current\n"
			"fsync branches/b\n");
}

static void a_tree_is_gone_for_good_before_its_files_go(void **arg)
{
	struct state *t = *arg;

	assert_int_equal(kit_apply(t->s, B, &t->v2, t->bundle, &t->offer, &t->err), 0);
	begin(t);
	assert_int_equal(ay_store_gc(t->s, 1, NULL, &t->err), 0);
	assert_trace(t, "open branches/b/.apply\n"
			"open branches/b/.switch\n"
			"mkdir tmp/S\n"
			"rename branches/b/1 -> tmp/S/tree\n"
			"fsync tmp/S\n"
			"fsync branches/b\n"
			"unlink tmp/S\n"
			"unlink objects/ab/#.% (exclusive)\n"
			"unlink tmp/S\n"
			"open branches/b/.switch\n"
			"unlink state/swept\n" /* the first collection of this boot */
			"open state/swept\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_update_is_durable_before_it_is_said),
		TEST(a_switch_is_one_rename_after_the_state),
		TEST(a_tree_is_gone_for_good_before_its_files_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
