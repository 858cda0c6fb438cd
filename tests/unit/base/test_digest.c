/* SPDX-License-Identifier: MIT */
/* The digest is what Debian's fsverity tool prints: kept constants of it always, the tool itself where it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/error.h"
#include "tests/unit/base/made.h"

#define MIB      ((size_t)1 << 20)
#define SIZE_TOP (64 * MIB + 524289)

/* `fsverity digest` (fsverity 1.5) of files of made_bytes(). */
static const struct {
	size_t size;
	const char *hex;
} known[] = {
	{0u, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
	{1u, "07a0fe2209ad199ac85e8eb9742d2e4438e1346f3e627d2d8b011d4c8a3ad6e0"},
	{4095u, "64ce28f26a1a17a28684c3572c7382efc3b1a0d8bad5853feaf4ee0eba0621e5"},
	{4096u, "de7098ff69347ead356ee53dd8a12222e4f81dd8e2923d2c3de6e2dfa3f780d7"},
	{4097u, "1406acd441da56d80b17d1d095f111f2f5ff5f9ffd6053e4cf5c848ec9087a52"},
	{8192u, "bbf77e06f84ab55a320b7c4594e3133e342ca39503d0d17591c12e59ff60760b"},
	{8193u, "00f7caed8faf2ce0f14f86ff7762c5b031d7c7b0c466a213913c2382b16a3105"},
	{524287u, "909bdfd9d304cc33d7432c26b785d03b3ceb3a1411c86c70ceda4e0d4ca5949d"},
	{524288u, "24e587ed8610cfe6a8eb840602174700c5f6dbe018615a8c30edb5a260b9bf2e"},
	{524289u, "d151adbae0d990c94e2aa1ec101c0a1b6008e5970160cadf80eb54192e7c5298"},
	{1048576u, "1e06315eb695108fe3f70dd87a3ca9f18d7ec0c260672f89cdecd7fb882f4d6a"},
	{1048577u, "09752aa40718ea3bc954c2a2ddf6efd916641bd411725de90f2f7ae870af1f36"},
	{10485763u, "3f556a5f9b2fa385600b31d9d522ac4326da8fe606a5ad36cdc24efeee622332"},
	{67108863u, "f65ece404913a8eb74bf7c99db0d54dbad8003303f25653e971f90b25ca7556b"},
	{67108864u, "4b7a787d8e1cc5c43a7baed8e6a20ff279564e36bd46c67a594aba1a022ba9be"},
	{67108865u, "b95ffeab279c9390bbe12f159d4efea61720edeb6a4297a0acbbe40062c21f27"},
	{67633152u, "a0e5a325eaa411277aa0a742089af81980e127b30364b8f07a8510efd95faae3"},
	{67633153u, "3338b68488ac9bfae7246a5510791b416506a031f330223c4e1057b09ecff1e3"},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static uint8_t *bytes; /* SIZE_TOP of them */

static void assert_digest(const struct ay_digest *d, const char *hex)
{
	char got[AY_DIGEST_HEX + 1];
	assert_string_equal(ay_digest_hex(d, got), hex);
}

static void test_known_mem(void **state)
{
	(void)state;
	for (size_t i = 0; i < KNOWN; i++) {
		struct ay_digest d;
		ay_digest_mem(bytes, known[i].size, &d);
		assert_digest(&d, known[i].hex);
	}
}

static void test_known_fd(void **state)
{
	(void)state;
	for (size_t i = 0; i < KNOWN; i++) {
		AY_CLOSE int fd = made_fd(bytes, known[i].size);
		struct ay_digest d;
		uint64_t size = 99;
		assert_int_equal(lseek(fd, 3, SEEK_SET), 3); /* the offset of the fd is nobody's business */
		assert_int_equal(ay_digest_fd(fd, &d, &size), 0);
		assert_int_equal(size, known[i].size);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
		assert_digest(&d, known[i].hex);
		assert_int_equal(ay_digest_fd(fd, &d, NULL), 0);
		assert_digest(&d, known[i].hex);
	}
}

/* In chunks of any length, one hasher for all. */
static void test_known_streamed(void **state)
{
	(void)state;
	static const size_t chunks[] = {1, 7, 4095, 4096, 4097, 65536, 524289, 8 * MIB};
	struct ay_hasher *h = ay_hasher_new();
	assert_non_null(h);
	for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
		for (size_t i = 0; i < KNOWN && known[i].size / chunks[c] < 100000; i++) {
			struct ay_digest d;
			ay_hasher_reset(h);
			for (size_t at = 0; at < known[i].size; at += chunks[c]) {
				size_t left = known[i].size - at;
				ay_hasher_update(h, bytes + at, left < chunks[c] ? left : chunks[c]);
				ay_hasher_update(h, NULL, 0);
			}
			ay_hasher_final(h, &d);
			assert_digest(&d, known[i].hex);
		}
	}
	ay_hasher_reset(h); /* a hasher thrown away in mid-file leaves nothing behind */
	ay_hasher_update(h, bytes, 12345678);
	ay_hasher_reset(h);
	struct ay_digest d;
	ay_hasher_final(h, &d);
	assert_digest(&d, known[0].hex);
	ay_hasher_free(h);
	ay_hasher_free(NULL);
}

/* Ask the real tool. 0, or -1 when there is none. */
static int tool_digest(const char *path, char hex[AY_DIGEST_HEX + 1])
{
	char cmd[128];
	snprintf(cmd, sizeof(cmd), "fsverity digest %s 2>/dev/null", path);
	FILE *f = popen(cmd, "r");
	assert_non_null(f);
	int got = fscanf(f, "sha256:%64s", hex);
	int status = pclose(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -1;
	assert_int_equal(status, 0);
	assert_int_equal(got, 1);
	return 0;
}

static int against_tool(size_t size)
{
	char path[64], hex[AY_DIGEST_HEX + 1] = "";
	AY_CLOSE int fd = made_file(bytes, size, path);
	int rc = tool_digest(path, hex);
	unlink(path);
	if (rc < 0)
		return rc;
	struct ay_digest d;
	assert_int_equal(ay_digest_fd(fd, &d, NULL), 0);
	assert_digest(&d, hex);
	return 0;
}

static void test_real_tool(void **state)
{
	(void)state;
	static const size_t sizes[] = {0,      1,      4095,         4096,         4097,
				       524288, 524289, 10 * MIB + 3, 64 * MIB + 1, 64 * MIB};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (against_tool(sizes[i]) < 0) {
			print_message(
				"SKIPPED: no fsverity tool here; only its kept digests were compared\n");
			skip();
		}
	}
	unsigned short seed[3] = {2007, 11, 30};
	for (int i = 0; i < 40; i++) {
		/* Log-uniform, so that every level count is met. */
		size_t size = (size_t)nrand48(seed) % ((size_t)1 << (1 + nrand48(seed) % 23));
		assert_int_equal(against_tool(size), 0);
	}
}

/* A changed bit, a byte more, a byte less: another name. Zeros at the end count. */
static void test_different(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 100, 4096, 5000, 524288, 600000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];
		uint8_t *copy = made_bytes(size + 1);
		struct ay_digest d, e;
		ay_digest_mem(copy, size, &d);
		copy[size] = 0;
		ay_digest_mem(copy, size + 1, &e);
		assert_false(ay_digest_eq(&d, &e));
		ay_digest_mem(copy, size - 1, &e);
		assert_false(ay_digest_eq(&d, &e));
		for (size_t at = 0; at < size; at += 1 + size / 37) {
			copy[at] ^= 1;
			ay_digest_mem(copy, size, &e);
			assert_false(ay_digest_eq(&d, &e));
			copy[at] ^= 1;
		}
		ay_digest_mem(copy, size, &e);
		assert_true(ay_digest_eq(&d, &e));
		free(copy);
	}
}

static void test_fd_errors(void **state)
{
	(void)state;
	struct ay_digest d;
	uint64_t size = 77;
	assert_int_equal(ay_digest_fd(-1, &d, &size), -EBADF);
	AY_CLOSE int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ay_digest_fd(dir, &d, &size), -EISDIR);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(ay_digest_fd(ends[0], &d, &size), -ESPIPE);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(size, 77);
}

static void test_hex(void **state)
{
	(void)state;
	struct ay_digest d, e;
	const char *hex = known[3].hex;
	char text[AY_DIGEST_HEX + 2];
	assert_int_equal(ay_digest_parse(&d, hex, 64), 0);
	assert_string_equal(ay_digest_hex(&d, text), hex);
	memset(&e, 0x55, sizeof(e));
	for (size_t len = 0; len < 64; len++)
		assert_int_equal(ay_digest_parse(&e, hex, len), AY_EFORMAT);
	snprintf(text, sizeof(text), "%s0", hex);
	assert_int_equal(ay_digest_parse(&e, text, 65), AY_EFORMAT);
	for (size_t at = 0; at < 64; at++) {
		for (int c = 0; c < 256; c++) {
			memcpy(text, hex, 65);
			text[at] = (char)c;
			int rc = ay_digest_parse(&e, text, 64);
			bool legal = c != 0 && strchr("0123456789abcdef", c);
			assert_int_equal(rc, legal ? 0 : AY_EFORMAT);
			assert_int_equal(ay_digest_eq(&d, &e), legal && c == hex[at]);
			memset(&e, 0x55, sizeof(e));
		}
	}
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(e.b[i], 0x55);
}

static void test_compare(void **state)
{
	(void)state;
	struct ay_digest a = {{0}}, b = {{0}};
	assert_true(ay_digest_is_zero(&a));
	for (size_t i = 0; i < 32; i++) {
		b.b[i] = 0x80;
		assert_false(ay_digest_is_zero(&b));
		assert_false(ay_digest_eq(&a, &b));
		assert_true(ay_digest_cmp(&a, &b) < 0);
		assert_true(ay_digest_cmp(&b, &a) > 0);
		b.b[i] = 0;
	}
	assert_int_equal(ay_digest_cmp(&a, &b), 0);
}

static void test_sha256(void **state)
{
	(void)state;
	/* FIPS 180-4's examples, and the empty string. */
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	for (size_t i = 0; i < 3; i++) {
		struct ay_digest d;
		ay_sha256(cases[i].text, strlen(cases[i].text), d.b);
		assert_digest(&d, cases[i].hex);
	}
	struct ay_digest d;
	ay_sha256(NULL, 0, d.b);
	assert_digest(&d, cases[0].hex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_mem),
		cmocka_unit_test(test_known_fd),
		cmocka_unit_test(test_known_streamed),
		cmocka_unit_test(test_real_tool),
		cmocka_unit_test(test_different),
		cmocka_unit_test(test_fd_errors),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_sha256),
	};
	bytes = made_bytes(SIZE_TOP);
	int failed = cmocka_run_group_tests_name("digest", tests, NULL, NULL);
	free(bytes);
	return failed;
}
