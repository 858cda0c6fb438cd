/* SPDX-License-Identifier: MIT */
/*
 * With the real minisign, both ways: its keys sign here and ours there, and what
 * either signs verifies at the other. Each use of an encrypted key costs seconds and
 * 1 GiB, so wrong passwords are left to test_key.c. Skipped, aloud, where minisign is not installed.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/manifest/support.h"

static char dir[] = "/tmp/ayni-test-minisign-XXXXXX";

static const char *in_dir(const char *name)
{
	static char paths[4][200];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(paths[n], sizeof(paths[n]), "%s/%s", dir, name);
	return paths[n];
}

static void put_file(const char *name, const void *data, size_t len)
{
	FILE *f = fopen(in_dir(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static struct ay_buf get_file(const char *name)
{
	struct ay_buf b = {0};
	FILE *f = fopen(in_dir(name), "rb");

	assert_non_null(f);
	uint8_t *p = ay_buf_reserve(&b, 65536);
	assert_non_null(p);
	b.len = fread(p, 1, 65536, f);
	fclose(f);
	return b;
}

/* Run minisign in our directory with @input on its stdin (NULL: nothing); its exit code. */
static int minisign(const char *input, const char *const args[])
{
	int in[2];

	assert_int_equal(pipe(in), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *argv[16] = {strdup("minisign")};
		int null = open("/dev/null", O_WRONLY);
		for (int i = 0; args[i]; i++)
			argv[i + 1] = strdup(args[i]);
		dup2(in[0], 0);
		dup2(null, 1);
		dup2(null, 2);
		close(in[1]);
		alarm(60);
		if (chdir(dir) == 0)
			execvp("minisign", argv);
		_exit(127);
	}
	close(in[0]);
	if (input)
		assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
	close(in[1]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define MINISIGN(input, ...) minisign(input, (const char *const[]){__VA_ARGS__, NULL})

static void need_minisign(void)
{
	if (MINISIGN(NULL, "-v") == 127) {
		print_message(
			"SKIPPED: minisign is not installed, so nothing proves that its files work here\n");
		skip();
	}
}

static const char text[] = "ayni-release 1\nbranch: any\n";

static struct ay_secret_key load_secret(const char *file, const char *password)
{
	struct ay_buf b = get_file(file);
	struct ay_secret_key sk;
	struct ay_err err = {0};

	assert_code(ay_secret_key_parse((char *)b.data, b.len, password, &sk, &err), 0);
	ay_buf_release(&b);
	return sk;
}

static struct ay_public_key load_public(const char *file)
{
	struct ay_buf b = get_file(file);
	struct ay_public_key pk;
	struct ay_err err = {0};

	assert_code(ay_public_key_parse((char *)b.data, b.len, &pk, &err), 0);
	ay_buf_release(&b);
	return pk;
}

/* Sign here with @sk, verify there with @pub. */
static void ours_verifies_there(const struct ay_secret_key *sk, const char *pub)
{
	struct ay_buf sig = {0};
	struct ay_err err = {0};

	assert_code(ay_sign_detached(sk, text, strlen(text), "serial 7\tof any", &sig, &err), 0);
	put_file("text", text, strlen(text));
	put_file("text.minisig", sig.data, sig.len);
	assert_int_equal(MINISIGN(NULL, "-V", "-q", "-p", pub, "-m", "text"), 0);
	assert_int_equal(MINISIGN(NULL, "-V", "-H", "-q", "-p", pub, "-m", "text"),
			 0); /* prehashed, as asked for */
	put_file("text", text, strlen(text) - 1);
	assert_int_not_equal(MINISIGN(NULL, "-V", "-q", "-p", pub, "-m", "text"), 0);
	ay_buf_release(&sig);
}

static int verify_here(const char *sig_file, const struct ay_public_key *pk)
{
	struct ay_buf sig = get_file(sig_file), out = {0};
	struct ay_slice file = {sig.data, sig.len};
	struct ay_envelope env;
	struct ay_err err = {0};

	assert_code(ay_envelope_join(text, strlen(text), &file, 1, &out, &err), 0);
	assert_code(ay_envelope_parse(out.data, out.len, &env, &err), 0);
	int r = ay_envelope_verify(&env, 0, pk);
	ay_buf_release(&sig);
	ay_buf_release(&out);
	return r;
}

static void test_their_plain_key(void **state)
{
	(void)state;
	need_minisign();
	assert_int_equal(MINISIGN(NULL, "-G", "-W", "-f", "-p", "w.pub", "-s", "w.key"), 0);
	struct ay_secret_key sk = load_secret("w.key", NULL);
	struct ay_public_key pk = load_public("w.pub"), own;
	ay_secret_key_public(&sk, &own);
	assert_memory_equal(&pk, &own, sizeof(pk));
	/* The public key file that we would write is theirs, id in the comment included. */
	struct ay_buf ours = {0}, theirs = get_file("w.pub");
	assert_int_equal(ay_public_key_write(&pk, &ours), 0);
	assert_string_equal(ay_buf_cstr(&ours), ay_buf_cstr(&theirs));
	ay_buf_release(&ours);
	ay_buf_release(&theirs);
	ours_verifies_there(&sk, "w.pub");

	put_file("text", text, strlen(text));
	assert_int_equal(
		MINISIGN(NULL, "-S", "-s", "w.key", "-m", "text", "-x", "their.sig", "-t", "hello there"), 0);
	assert_int_equal(verify_here("their.sig", &pk), 0);
	assert_int_equal(MINISIGN(NULL, "-S", "-s", "w.key", "-m", "text", "-x", "default.sig"), 0);
	assert_int_equal(verify_here("default.sig", &pk), 0);
	/* Their older kind is a good signature there and none here. */
	assert_int_equal(MINISIGN(NULL, "-S", "-l", "-s", "w.key", "-m", "text", "-x", "legacy.sig"), 0);
	assert_int_equal(MINISIGN(NULL, "-V", "-q", "-p", "w.pub", "-m", "text", "-x", "legacy.sig"), 0);
	assert_int_equal(verify_here("legacy.sig", &pk), AY_ESIG);
}

static void test_their_encrypted_key(void **state)
{
	(void)state;
	need_minisign();
	assert_int_equal(MINISIGN("open sesame\nopen sesame\n", "-G", "-f", "-p", "e.pub", "-s", "e.key"), 0);
	struct ay_secret_key sk = load_secret("e.key", "open sesame"), no;
	struct ay_public_key pk = load_public("e.pub"), own;
	ay_secret_key_public(&sk, &own);
	assert_memory_equal(&pk, &own, sizeof(pk));
	ours_verifies_there(&sk, "e.pub");
	struct ay_buf b = get_file("e.key");
	struct ay_err err = {0};
	assert_code(ay_secret_key_parse((char *)b.data, b.len, NULL, &no, &err), AY_EUSAGE);
	ay_buf_release(&b);
}

static void our_key_there(const char *password, const char *input)
{
	struct ay_secret_key sk;
	struct ay_public_key pk;
	struct ay_buf sec = {0}, pub = {0};
	struct ay_err err = {0};

	assert_int_equal(ay_key_generate(&sk, &pk), 0);
	assert_code(ay_secret_key_write(&sk, password, &sec, &err), 0);
	assert_code(ay_public_key_write(&pk, &pub), 0);
	put_file("o.key", sec.data, sec.len);
	put_file("o.pub", pub.data, pub.len);
	put_file("text", text, strlen(text));
	assert_int_equal(MINISIGN(input, "-S", "-s", "o.key", "-m", "text", "-x", "o.sig"), 0);
	assert_int_equal(MINISIGN(NULL, "-V", "-q", "-p", "o.pub", "-m", "text", "-x", "o.sig"), 0);
	assert_int_equal(verify_here("o.sig", &pk), 0);
	ours_verifies_there(&sk, "o.pub");
	ay_buf_release(&sec);
	ay_buf_release(&pub);
}

static void test_our_plain_key(void **state)
{
	(void)state;
	need_minisign();
	our_key_there(NULL, NULL);
}

/* One key in sixteen has an id that begins with a zero digit; minisign leaves that out of its comment. */
static void test_ids_that_begin_with_zero(void **state)
{
	(void)state;
	need_minisign();
	static const uint8_t ids[][8] = {{0xe2, 0x6d, 0x11, 0xc2, 0xc1, 0xfa, 0x42, 0x0a}, {0x01, 0x20}, {0}};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct ay_secret_key sk;
		struct ay_public_key pk;
		struct ay_buf sec = {0}, pub = {0};
		struct ay_err err = {0};
		assert_int_equal(ay_key_generate(&sk, &pk), 0);
		memcpy(sk.id, ids[i], 8);
		memcpy(pk.id, ids[i], 8);
		assert_code(ay_secret_key_write(&sk, NULL, &sec, &err), 0);
		assert_code(ay_public_key_write(&pk, &pub), 0);
		put_file("o.key", sec.data, sec.len);
		assert_int_equal(MINISIGN(NULL, "-R", "-f", "-p", "o.pub", "-s", "o.key"), 0);
		struct ay_buf theirs = get_file("o.pub");
		assert_string_equal(ay_buf_cstr(&pub), ay_buf_cstr(&theirs));
		ay_buf_release(&sec);
		ay_buf_release(&pub);
		ay_buf_release(&theirs);
	}
}

static void test_our_encrypted_key(void **state)
{
	(void)state;
	need_minisign();
	our_key_there("open sesame", "open sesame\n");
}

/* What `ayni show --split` writes: the text and one file per signature, each of which stock minisign verifies. */
static void test_split_envelope(void **state)
{
	(void)state;
	need_minisign();
	struct ay_buf out = {0}, pub = {0};
	struct ay_envelope env;
	struct ay_err err = {0};
	seal(text, strlen(text), "AB", &out);
	assert_code(ay_envelope_parse(out.data, out.len, &env, &err), 0);
	put_file("text", env.text.data, env.text.len);
	for (unsigned i = 0; i < env.n_signatures; i++) {
		struct ay_public_key pk = pub_of("AB"[i]);
		ay_buf_reset(&pub);
		assert_int_equal(ay_public_key_write(&pk, &pub), 0);
		put_file("a.pub", pub.data, pub.len);
		put_file("text.minisig", env.signatures[i].file.data, env.signatures[i].file.len);
		assert_int_equal(MINISIGN(NULL, "-V", "-q", "-p", "a.pub", "-m", "text"), 0);
	}
	ay_buf_release(&out);
	ay_buf_release(&pub);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	static const char *const files[] = {"w.pub",      "w.key",       "e.pub", "e.key",        "o.pub",
					    "o.key",      "o.sig",       "text",  "text.minisig", "their.sig",
					    "legacy.sig", "default.sig", "a.pub"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in_dir(files[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_their_plain_key), cmocka_unit_test(test_their_encrypted_key),
		cmocka_unit_test(test_our_plain_key),   cmocka_unit_test(test_our_encrypted_key),
		cmocka_unit_test(test_split_envelope),  cmocka_unit_test(test_ids_that_begin_with_zero),
	};
	return cmocka_run_group_tests_name("manifest/minisign", tests, make_dir, remove_dir);
}
