/* SPDX-License-Identifier: MIT */
/* A root's text; above all the roots that would lock a fleet out or count a key twice. */
#include "tests/unit/manifest/support.h"

static int again(const void *data, size_t len, struct ay_buf *out)
{
	struct ay_root *root;
	int r = ay_root_parse(data, len, &root, NULL);

	if (r)
		return r;
	r = ay_root_write(root, out, NULL);
	ay_root_free(root);
	return r;
}

static char *root_text(void)
{
	struct ay_root *root = fleet_root(3);
	struct ay_buf out = {0};
	struct ay_err err = {0};

	assert_code(ay_root_write(root, &out, &err), 0);
	ay_root_free(root);
	char *s = strdup(ay_buf_cstr(&out));
	ay_buf_release(&out);
	return s;
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_root *root;
	char *text = root_text();
	assert_code(ay_root_parse(text, strlen(text), &root, &err), 0);
	assert_int_equal(root->version, 3);
	assert_string_equal(root->fleet, "test");
	assert_int_equal(root->n_keys, 9);
	assert_int_equal(root->roles[AY_ROLE_RELEASE].n, 3);
	assert_int_equal(root->roles[AY_ROLE_RELEASE].threshold, 2);
	const struct ay_branch_rule *own = ay_root_branch_rule(root, "one/own");
	assert_non_null(own);
	assert_int_equal(own->n_release, 2);
	assert_false(own->nosuid || own->nodev || own->nocaps || own->has_uids);
	const struct ay_branch_rule *small = ay_root_branch_rule(root, "one/small");
	assert_non_null(small);
	assert_true(small->nosuid && small->nodev && small->nocaps && small->has_uids);
	assert_int_equal(small->uid_low, 1000);
	assert_int_equal(small->uid_high, 1999);
	assert_int_equal(small->n_release, 0);
	assert_null(ay_root_branch_rule(root, "one"));
	assert_null(ay_root_branch_rule(root, "one/own2"));
	assert_int_equal(root->n_revoked, 1);
	assert_string_equal(ay_role_name(AY_ROLE_HEAD), "head");
	ay_root_free(root);
	ay_root_free(NULL);
	assert_strict(text, strlen(text), again);
	free(text);
}

static const char *const odd_lines[][2] = {
	{"ayni-root", "ayni-release"},
	{"version: 3", "version: 0"},
	{"fleet: test", "fleet:"},
	{"fleet: test", "fleet: te/st"},
	{"role: root 2", "role: root 0"}, /* nobody needs to sign */
	{"role: root 2", "role: root 3"}, /* cannot be met */
	{"role: root 2", "role: root 18446744073709551618"},
	{"role: head 1", "role: head 2"}, /* a head has room for one */
	{"role: release", "role: releases"},
	{"role: head", "role: school"},
	{"branch: one/own", "branch: one/zown"},  /* not sorted */
	{"branch: one/small", "branch: one/own"}, /* twice */
	{"nosuid nodev", "nodev nosuid"},
	{"nosuid nodev", "nosuid nosuid"},
	{"nosuid nodev", "nosuid  nodev"},
	{"nosuid", "nosuids"},
	{"uids=1000-1999", "uids=1999-1000"},
	{"uids=1000-1999", "uids=1000"},
	{"uids=1000-1999", "uids=1000-4294967295"},
	{"uids=1000-1999", "uids=01000-1999"},
	{"uids=1000-1999", "uids=1000-1999 x"},
	{"release=", "release=,"},
	{"release=", "release"},
	{"revoked: ", "revoked: X"},
	{"revoked: ", "revoked:  "},
};

/* The good root with the first of two texts made the second. */
static void refuses(const char *good, const char *const (*edits)[2], size_t n)
{
	struct ay_err err = {0};
	struct ay_root *root = NULL;

	for (size_t i = 0; i < n; i++) {
		char *bad = changed(good, edits[i][0], edits[i][1]);
		int r = ay_root_parse(bad, strlen(bad), &root, &err);
		if (r != AY_EFORMAT)
			print_error("%s -> %s\n", edits[i][0], edits[i][1]);
		assert_code(r, AY_EFORMAT);
		free(bad);
	}
	assert_null(root);
}

static void test_refused(void **state)
{
	(void)state;
	char *good = root_text(), id[4][17], line_a[57], line_b[57];
	for (int i = 0; i < 4; i++)
		ay_key_id_hex(key_of("ABET"[i]).id, id[i]);
	struct ay_public_key a = pub_of('A'), b = pub_of('B');
	ay_public_key_line(&a, line_a);
	ay_public_key_line(&b, line_b);
	char swapped_keys[130], in_order[130];
	char line_i[57], line_s[57];
	struct ay_public_key i_key = pub_of('I'), s_key = pub_of('S');
	ay_public_key_line(&i_key, line_i);
	ay_public_key_line(&s_key, line_s);
	/* of different roles, so that no role's own order shows it */
	snprintf(in_order, sizeof(in_order), "key: %s\nkey: %s\n", line_i, line_s);
	snprintf(swapped_keys, sizeof(swapped_keys), "key: %s\nkey: %s\n", line_s, line_i);
	struct ay_public_key b_as_a = b;
	memcpy(b_as_a.id, a.id, 8);
	char other_key_same_id[57];
	ay_public_key_line(&b_as_a, other_key_same_id);
	memcpy(a.id, b.id, 8);
	char same_key_other_id[57];
	ay_public_key_line(&a, same_key_other_id);
	char two[64];
	snprintf(two, sizeof(two), "root 2 %s %s", id[0], id[1]);
	char one_twice[64];
	snprintf(one_twice, sizeof(one_twice), "root 2 %s %s", id[0], id[0]);
	char swapped[64];
	snprintf(swapped, sizeof(swapped), "root 2 %s %s", id[1], id[0]);
	const char *const edits[][2] = {
		{line_a, line_b},            /* not sorted, twice */
		{line_b, same_key_other_id}, /* one key under two ids */
		{in_order, swapped_keys},
		{line_b, other_key_same_id}, /* two keys under one id */
		{line_a, "RWaaaa"},
		{two, one_twice}, /* one key twice for one threshold */
		{two, swapped},
		{id[0], "0000000000000000"}, /* no such key */
	};
	refuses(good, edits, sizeof(edits) / sizeof(edits[0]));
	refuses(good, odd_lines, sizeof(odd_lines) / sizeof(odd_lines[0]));
	free(good);
}

static void write_refused(struct ay_root *root)
{
	struct ay_buf out = {0};
	struct ay_err err = {0};

	assert_code(ay_root_write(root, &out, &err), AY_EFORMAT);
	assert_true(err.msg[0]);
	ay_root_free(root);
	ay_buf_release(&out);
}

static void test_rules_between_lines(void **state)
{
	(void)state;
	struct ay_root *root = fleet_root(1);
	root->branches[0].release[0] = 0; /* A has not the role release */
	root->branches[0].release[1] = 2;
	write_refused(root);
	for (uint8_t i = 2; i <= 3; i++) {
		root = fleet_root(1);
		root->branches[0].release[0] = 3; /* not sorted; then one twice */
		root->branches[0].release[1] = i;
		write_refused(root);
		root = fleet_root(1);
		root->revoked = realloc(root->revoked, 2 * sizeof(root->revoked[0]));
		assert_non_null(root->revoked);
		memset(root->revoked, 3, sizeof(root->revoked[0]));
		memset(root->revoked + 1, i, sizeof(root->revoked[0]));
		root->n_revoked = 2;
		write_refused(root);
	}
	root = fleet_root(1);
	root->branches[0].n_release = 1; /* of a role whose threshold is 2 */
	write_refused(root);
	root = fleet_root(1);
	memcpy(root->revoked[0], key_of('H').id, 8); /* revoked, and still in role head */
	write_refused(root);
	root = fleet_root(1);
	root->roles[AY_ROLE_HEAD].keys[0] = 9; /* no such key */
	write_refused(root);
	root = fleet_root(1);
	root->branches[0].release[0] = 200;
	write_refused(root);
	root = fleet_root(1);
	root->roles[AY_ROLE_ROOT].n = 0;
	root->roles[AY_ROLE_ROOT].threshold = 1; /* only role school may be empty */
	write_refused(root);

	/* No schools at all is a legal choice. */
	struct ay_buf out = {0};
	struct ay_err err = {0};
	root = fleet_root(1);
	root->roles[AY_ROLE_SCHOOL].n = 0;
	assert_code(ay_root_write(root, &out, &err), 0);
	assert_strict(out.data, out.len, again);
	ay_root_free(root);
	ay_buf_release(&out);
}

/* Version 2 of the text is for roots that have a branch that shares, and for no others. */
static void test_share(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf out = {0};
	struct ay_root *root = fleet_root(1), *read = NULL;

	root->branches[1].share = true;
	assert_code(ay_root_write(root, &out, &err), 0);
	assert_strict(out.data, out.len, again);
	const char *text = ay_buf_cstr(&out);
	assert_int_equal(strncmp(text, "ayni-root 2\n", 12), 0);
	assert_code(ay_root_parse(text, out.len, &read, &err), 0);
	assert_true(ay_root_branch_rule(read, root->branches[1].name)->share);
	assert_false(ay_root_branch_rule(read, root->branches[0].name)->share);
	ay_root_free(read);
	static const char *const edits[][2] = {
		{"ayni-root 2", "ayni-root 1"}, /* version 1 knows no "share" */
		{" share", ""},                 /* version 2 needs one */
		{" share", " shares"},
		{" share", " share share"},
		{" share", "  share"},
	};
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		char *bad = changed(text, edits[i][0], edits[i][1]);
		assert_code(ay_root_parse(bad, strlen(bad), &read, &err), AY_EFORMAT);
		free(bad);
	}
	char *newer = changed(text, "ayni-root 2", "ayni-root 3");
	assert_code(ay_root_parse(newer, strlen(newer), &read, &err), AY_EVERSION);
	free(newer);
	ay_root_free(root);
	ay_buf_release(&out);
}

static void test_limits(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_root *root = fleet_root(1), *back;
	struct ay_buf out = {0};
	root->n_branches = 0;
	free(root->branches);
	root->branches = calloc(AY_ROOT_BRANCHES_MAX + 1, sizeof(root->branches[0]));
	free(root->revoked);
	root->revoked = calloc(AY_ROOT_REVOKED_MAX + 1, sizeof(root->revoked[0]));
	assert_true(root->branches && root->revoked);
	for (unsigned i = 0; i <= AY_ROOT_BRANCHES_MAX; i++)
		snprintf(root->branches[i].name, sizeof(root->branches[i].name), "b%04u", i);
	for (unsigned i = 0; i <= AY_ROOT_REVOKED_MAX; i++) {
		root->revoked[i][1] = (uint8_t)(i >> 8);
		root->revoked[i][0] = (uint8_t)i;
	}
	root->n_branches = AY_ROOT_BRANCHES_MAX;
	root->n_revoked = AY_ROOT_REVOKED_MAX;
	assert_code(ay_root_write(root, &out, &err), 0);
	assert_code(ay_root_parse(out.data, out.len, &back, &err), 0);
	assert_int_equal(back->n_branches, AY_ROOT_BRANCHES_MAX);
	assert_int_equal(back->n_revoked, AY_ROOT_REVOKED_MAX);
	ay_root_free(back);
	root->n_branches++;
	assert_code(ay_root_write(root, &out, &err), AY_ELIMIT);
	root->n_branches--;
	root->n_revoked++;
	assert_code(ay_root_write(root, &out, &err), AY_ELIMIT);
	ay_root_free(root);
	ay_buf_release(&out);

	/* 64 keys, each in each role; 65 are too many */
	root = ay_root_new();
	assert_non_null(root);
	root->version = 1;
	memcpy(root->fleet, "x", 2);
	for (int i = 0; i < AY_ROOT_KEYS_MAX; i++) {
		root->keys[root->n_keys++] = pub_of((char)(i + 1));
		for (int role = 0; role < AY_ROLES; role++) {
			root->roles[role].keys[root->roles[role].n++] = (uint8_t)i;
			root->roles[role].threshold = role == AY_ROLE_HEAD ? 1 : 64;
		}
	}
	assert_code(ay_root_write(root, &out, &err), 0);
	assert_code(ay_root_parse(out.data, out.len, &back, &err), 0);
	assert_int_equal(back->roles[AY_ROLE_ROOT].n, 64);
	ay_root_free(back);
	struct ay_public_key more = pub_of(100);
	char line[57], both[128];
	ay_public_key_line(&more, line);
	snprintf(both, sizeof(both), "key: %s\nrole: root", line);
	char *bad = changed(ay_buf_cstr(&out), "role: root", both);
	assert_code(ay_root_parse(bad, strlen(bad), &back, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "64 keys"));
	free(bad);
	ay_root_free(root);
	ay_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_rules_between_lines),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests_name("manifest/root", tests, NULL, NULL);
}
