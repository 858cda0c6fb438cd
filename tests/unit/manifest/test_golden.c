/* SPDX-License-Identifier: MIT */
/*
 * The golden files of manifest/: what we write today is, to the byte, what was
 * written when a format was fixed, and what was written then is still read.
 * Made from fixed keys and times. How the files are written: tests/support/golden.h.
 */
#include "tests/support/golden.h"
#include "tests/unit/manifest/support.h"

#define FULL(t, m, p) .type = (t), .mode = (m), .path = (p), .path_len = sizeof(p) - 1
#define TIME(s, ns)   .mtime_s = (s), .mtime_ns = (ns)

/* Two trees with each type of entry and odd names; the second is the first after an update. */
static struct ay_buf tree(int version)
{
	struct ay_xattr caps = {"security.capability", (const uint8_t *)"\x01\x00\x00\x02", 4};
	struct ay_xattr labels[2] = {{"user.a=b", (const uint8_t *)"", 0},
				     {"user.label", (const uint8_t *)"blue", 4}};
	struct ay_entry e[] = {
		{FULL(AY_ENTRY_DIR, 0755, "/"), TIME(1700000000, 0)},
		{FULL(AY_ENTRY_DIR, 01777, "/dev"), TIME(1700000000, 1)},
		{FULL(AY_ENTRY_CHAR, 0666, "/dev/null"), TIME(0, 0), .dev_major = 1, .dev_minor = 3},
		{FULL(AY_ENTRY_BLOCK, 0660, "/dev/sda"), .gid = 6, TIME(0, 0), .dev_major = 8},
		{FULL(AY_ENTRY_FIFO, 0600, "/fifo"), .uid = 4294967294u, .gid = 1, TIME(-2, 500000000)},
		{FULL(AY_ENTRY_FILE, 0644, "/old only"), TIME(1700000000, 123456789), .size = 1},
		{FULL(AY_ENTRY_FILE, 04755, "/ping"), TIME(1700000000, 0), .size = 4096, .xattrs = &caps,
		 .n_xattrs = 1},
		{FULL(AY_ENTRY_SYMLINK, 0777, "/sbin"), TIME(1700000000, 0), .target = "usr/s bin",
		 .target_len = 9},
		{FULL(AY_ENTRY_FILE, 0400, "/\xc3\xa9%\n"), TIME(1700000000, 0), .xattrs = labels,
		 .n_xattrs = 2},
	};
	struct ay_buf out = {0};
	struct ay_err err = {0};
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, &out);

	assert_non_null(w);
	for (size_t i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		memset(e[i].digest.b, 0x10 + (int)i, sizeof(e[i].digest.b));
		if (version == 2 && i == 5) {
			e[i].path = "/new only";
			assert_code(ay_manifest_add(w, &e[i], &err), 0);
			continue;
		}
		if (version == 2 && i == 6)
			e[i].mtime_s++;
		assert_code(ay_manifest_add(w, &e[i], &err), 0);
	}
	assert_code(ay_manifest_finish(w, NULL, NULL, &err), 0);
	ay_manifest_writer_free(w);
	return out;
}

static void test_manifests(void **state)
{
	(void)state;
	struct ay_err err = {0};
	for (int v = 1; v <= 2; v++) {
		const char *name = v == 1 ? "tree-1.manifest" : "tree-2.manifest";
		golden_check(name, tree(v));
		struct ay_buf b = golden_read(name);
		assert_code(read_manifest(b.data, b.len, &err), 0);
		ay_buf_release(&b);
	}
	struct ay_buf b = golden_read("tree-1.manifest"), out = {0};
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(b.data, b.len);
	assert_non_null(r);
	assert_code(ay_manifest_mtree(r, ay_write_to_buf, &out, &err), 0);
	golden_check("tree-1.mtree", out);
	ay_manifest_reader_free(r);
	ay_buf_release(&b);
}

static void test_delta(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf a = golden_read("tree-1.manifest"), b = golden_read("tree-2.manifest"), delta = {0},
		      out = {0};
	struct ay_digest from = digest_of(&a), to = digest_of(&b);
	struct ay_manifest_reader *ra = ay_manifest_reader_new_mem(a.data, a.len);
	struct ay_manifest_reader *rb = ay_manifest_reader_new_mem(b.data, b.len);
	assert_true(ra && rb);
	assert_code(ay_delta_make(ra, &from, rb, &to, ay_write_to_buf, &delta, &err), 0);
	golden_check("tree-1-2.delta", delta);
	ay_manifest_reader_free(ra);
	ay_manifest_reader_free(rb);
	struct ay_buf file = golden_read("tree-1-2.delta");
	struct slow s = slow_of(file.data, file.len, 100);
	ra = ay_manifest_reader_new_mem(a.data, a.len);
	assert_non_null(ra);
	assert_code(ay_delta_apply(ra, slow_read, &s, &from, &to, NULL, NULL, ay_write_to_buf, &out, &err),
		    0);
	assert_memory_equal(out.data, b.data, b.len);
	ay_manifest_reader_free(ra);
	ay_buf_release(&a);
	ay_buf_release(&b);
	ay_buf_release(&out);
	ay_buf_release(&file);
}

static void test_keys(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('C'), back;
	struct ay_public_key pk = pub_of('C'), pback;
	struct ay_buf pub = {0}, sec = {0}, sig = {0};
	assert_code(ay_public_key_write(&pk, &pub), 0);
	assert_code(ay_secret_key_write(&sk, NULL, &sec, &err), 0);
	assert_code(ay_sign_detached(&sk, "ayni\n", 5, "golden", &sig, &err), 0);
	golden_check("test.pub", pub);
	golden_check("test.key", sec);
	golden_check("test.minisig", sig);
	pub = golden_read("test.pub");
	sec = golden_read("test.key");
	sig = golden_read("test.minisig");
	assert_code(ay_public_key_parse((char *)pub.data, pub.len, &pback, &err), 0);
	assert_memory_equal(&pk, &pback, sizeof(pk));
	assert_code(ay_secret_key_parse((char *)sec.data, sec.len, NULL, &back, &err), 0);
	assert_memory_equal(&sk, &back, sizeof(sk));
	struct ay_envelope env = {.text = {(const uint8_t *)"ayni\n", 5}, .n_signatures = 1};
	env.signatures[0].file = (struct ay_slice){sig.data, sig.len};
	assert_int_equal(ay_envelope_verify(&env, 0, &pback), 0);
	ay_buf_release(&pub);
	ay_buf_release(&sec);
	ay_buf_release(&sig);
}

static void test_signed_texts(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf root_env = {0}, release_env = {0}, offer_env = {0}, text = {0},
		      m = golden_read("tree-2.manifest");
	struct ay_root *made = fleet_root(1), *root = NULL;
	seal_root(made, "AB", &root_env);
	golden_check("test.root", root_env);
	ay_root_free(made);
	root_env = golden_read("test.root");
	assert_code(ay_trust_first_root(root_env.data, root_env.len, &root, &err), 0);

	struct ay_release r = some_release("xo/stable", 7), rback;
	r.manifest = digest_of(&m);
	r.manifest_size = m.len;
	assert_code(ay_release_write(&r, &text, &err), 0);
	seal(text.data, text.len, "CD", &release_env);
	golden_check("test.release", release_env);
	release_env = golden_read("test.release");
	assert_code(ay_trust_release(root, "xo/stable", release_env.data, release_env.len, &rback, &err), 0);
	assert_memory_equal(&r.manifest, &rback.manifest, 32);

	struct ay_offer o = some_offer("xo/stable", true), oback;
	o.to = r.manifest;
	ay_buf_reset(&text);
	assert_code(ay_offer_write(&o, &text, &err), 0);
	seal(text.data, text.len, "S", &offer_env);
	golden_check("test.offer", offer_env);
	offer_env = golden_read("test.offer");
	assert_code(ay_trust_offer(root, "xo/stable", offer_env.data, offer_env.len, &oback, &err), 0);

	struct ay_secret_key sk = key_of('H');
	struct ay_head h = {.root_epoch = 1,
			    .serial = 7,
			    .min_serial = 3,
			    .rollout = 100,
			    .release = digest_of(&release_env),
			    .release_size = (uint32_t)release_env.len,
			    .signed_at_s = 1700000000},
		       hback;
	struct ay_buf head = {0};
	ay_branch_id("test", "xo/stable", &h.branch);
	assert_int_equal(ay_head_sign(&h, &sk, ay_buf_reserve(&head, AY_HEAD_SIZE)), 0);
	head.len = AY_HEAD_SIZE;
	golden_check("test.head", head);
	head = golden_read("test.head");
	assert_code(ay_trust_head(root, head.data, head.len, &hback, &err), 0);
	assert_code(ay_trust_head_names(root, &hback, release_env.data, release_env.len, &rback, &err), 0);
	ay_root_free(root);
	ay_buf_release(&root_env);
	ay_buf_release(&release_env);
	ay_buf_release(&offer_env);
	ay_buf_release(&text);
	ay_buf_release(&head);
	ay_buf_release(&m);
}

/* Version 2 of the text, which a root has exactly when a branch shares. The file of version 1 stays. */
static void test_root_that_shares(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf root_env = {0};
	struct ay_root *made = fleet_root(1), *root = NULL;

	made->branches[1].share = true;
	seal_root(made, "AB", &root_env);
	golden_check("test-2.root", root_env);
	ay_root_free(made);
	root_env = golden_read("test-2.root");
	assert_non_null(memmem(root_env.data, root_env.len, "ayni-root 2\n", 12));
	assert_code(ay_trust_first_root(root_env.data, root_env.len, &root, &err), 0);
	assert_false(ay_root_branch_rule(root, "one/own")->share);
	assert_true(ay_root_branch_rule(root, "one/small")->share);
	ay_root_free(root);
	ay_buf_release(&root_env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_signed_texts),
		cmocka_unit_test(test_root_that_shares),
	};
	return cmocka_run_group_tests_name("manifest/golden", tests, NULL, NULL);
}
