/* SPDX-License-Identifier: MIT */
/* minisign's key files: there and back, wrong passwords, damage. The real minisign is in test_minisign.c. */
#include <sodium.h>

#include "tests/unit/manifest/support.h"

static void test_ids(void **state)
{
	(void)state;
	char hex[17];
	uint8_t id[8] = {0xba, 0x67, 0xa2, 0xae, 0x6f, 0x22, 0x64, 0x70}, back[8];
	assert_string_equal(ay_key_id_hex(id, hex), "7064226FAEA267BA"); /* as minisign -G printed this key */
	assert_int_equal(ay_key_id_parse(hex, 16, back), 0);
	assert_memory_equal(id, back, 8);
	assert_int_equal(ay_key_id_parse("7064226faea267ba", 16, back), AY_EFORMAT);
	assert_int_equal(ay_key_id_parse(hex, 15, back), AY_EFORMAT);
	assert_int_equal(ay_key_id_parse("7064226FAEA267BAA", 17, back), AY_EFORMAT);
	assert_int_equal(ay_key_id_parse("7064226FAEA267B ", 16, back), AY_EFORMAT);
	uint8_t low[8] = {0xff, 0, 0, 0, 0, 0, 0, 0x01}, high[8] = {0x00, 0, 0, 0, 0, 0, 0, 0x02};
	assert_true(ay_key_id_cmp(low, high) < 0); /* the order of what is printed */
	assert_true(ay_key_id_cmp(high, low) > 0);
	assert_int_equal(ay_key_id_cmp(low, low), 0);
}

static void test_generate(void **state)
{
	(void)state;
	struct ay_secret_key a, b;
	struct ay_public_key pa, pb, own;
	assert_int_equal(ay_key_generate(&a, &pa), 0);
	assert_int_equal(ay_key_generate(&b, &pb), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
	ay_secret_key_public(&a, &own);
	assert_memory_equal(&own, &pa, sizeof(own));
	ay_secret_key_wipe(&a);
	assert_true(sodium_is_zero((const uint8_t *)&a, sizeof(a)));
}

static void test_public(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_public_key pk = pub_of('A'), back;
	struct ay_buf file = {0};
	char line[57];
	ay_public_key_line(&pk, line);
	assert_int_equal(strlen(line), 56);
	assert_true(line[0] == 'R' && line[1] == 'W');
	assert_code(ay_public_key_parse(line, 56, &back, &err), 0);
	assert_memory_equal(&pk, &back, sizeof(pk));
	assert_code(ay_public_key_write(&pk, &file), 0);
	assert_code(ay_public_key_parse((char *)file.data, file.len, &back, &err), 0);
	assert_memory_equal(&pk, &back, sizeof(pk));
	assert_code(ay_public_key_parse((char *)file.data, file.len - 1, &back, &err), 0); /* pasted */
	for (size_t i = 0; i < file.len - 1; i++)
		assert_true(ay_public_key_parse((char *)file.data, i, &back, &err) < 0);
	assert_code(ay_public_key_parse(line, 55, &back, &err), AY_EFORMAT);
	assert_code(ay_public_key_parse("", 0, &back, &err), AY_EFORMAT);
	line[10] = '!';
	assert_code(ay_public_key_parse(line, 56, &back, &err), AY_EFORMAT);
	line[10] = 'A';
	line[1] = 'X';
	assert_code(ay_public_key_parse(line, 56, &back, &err), AY_EUNSUPPORTED);
	ay_put_str(&file, "more\n");
	assert_code(ay_public_key_parse((char *)file.data, file.len, &back, &err), AY_EFORMAT);
	ay_buf_release(&file);
}

static void test_plain_secret(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A'), back;
	struct ay_buf file = {0};
	assert_code(ay_secret_key_write(&sk, NULL, &file, &err), 0);
	assert_code(ay_secret_key_parse((char *)file.data, file.len, NULL, &back, &err), 0);
	assert_memory_equal(&sk, &back, sizeof(sk));
	/* A password is not needed and does no harm. */
	assert_code(ay_secret_key_parse((char *)file.data, file.len, "x", &back, &err), 0);
	for (size_t i = 0; i < file.len - 1; i++)
		assert_true(ay_secret_key_parse((char *)file.data, i, NULL, &back, &err) < 0);
	/* Any flipped bit of what matters is noticed; only comment, salt and limits may differ. */
	char *base64 = strchr((char *)file.data, '\n') + 1;
	for (size_t i = 0; i < 8 || i < strlen("RWQAAEIy"); i++) {
		base64[i] ^= 1;
		assert_true(ay_secret_key_parse((char *)file.data, file.len, NULL, &back, &err) < 0);
		base64[i] ^= 1;
	}
	for (char *p = base64 + 54 * 4 / 3; p < (char *)file.data + file.len - 1; p++) {
		*p ^= 1;
		assert_true(ay_secret_key_parse((char *)file.data, file.len, NULL, &back, &err) < 0);
		*p ^= 1;
	}
	ay_buf_release(&file);
}

/* A second writing of minisign's secret key format, from its documentation alone, with a scrypt that is cheap. */
static void write_secret(const struct ay_secret_key *sk, const char *password, uint64_t ops, uint64_t mem,
			 bool zero_sum, char out[400])
{
	uint8_t raw[158] = {'E', 'd', 'S', 'c', 'B', '2'}, sum_in[2 + 8 + 64] = {'E', 'd'}, stream[104];

	memset(raw + 6, 0x5a, 32);
	for (int i = 0; i < 8; i++) {
		raw[38 + i] = (uint8_t)(ops >> (8 * i));
		raw[46 + i] = (uint8_t)(mem >> (8 * i));
	}
	memcpy(raw + 54, sk->id, 8);
	memcpy(raw + 62, sk->key, 64);
	memcpy(sum_in + 2, raw + 54, 72);
	if (!zero_sum)
		crypto_generichash(raw + 126, 32, sum_in, sizeof(sum_in), NULL, 0);
	if (password && mem < 1 << 30) {
		assert_int_equal(crypto_pwhash_scryptsalsa208sha256(stream, 104, password, strlen(password),
								    raw + 6, ops, (size_t)mem),
				 0);
		for (int i = 0; i < 104; i++)
			raw[54 + i] ^= stream[i];
	}
	if (!password)
		memset(raw + 2, 0, 2);
	char base64[220];
	sodium_bin2base64(base64, sizeof(base64), raw, sizeof(raw), sodium_base64_VARIANT_ORIGINAL);
	snprintf(out, 400, "untrusted comment: any\n%s\n", base64);
}

static void test_encrypted_secret(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A'), back;
	char file[400];
	write_secret(&sk, "correct horse", 32768, 16 << 20, false, file);
	assert_code(ay_secret_key_parse(file, strlen(file), "correct horse", &back, &err), 0);
	assert_memory_equal(&sk, &back, sizeof(sk));
	assert_code(ay_secret_key_parse(file, strlen(file), NULL, &back, &err), AY_EUSAGE);
	assert_code(ay_secret_key_parse(file, strlen(file), "correct horsf", &back, &err), AY_ESIG);
	assert_code(ay_secret_key_parse(file, strlen(file), "", &back, &err), AY_ESIG);
	/* The zero checksum of minisign -W counts for unencrypted keys only. */
	write_secret(&sk, "pw", 32768, 16 << 20, true, file);
	assert_code(ay_secret_key_parse(file, strlen(file), "pw", &back, &err), AY_ESIG);
	write_secret(&sk, NULL, 0, 0, true, file);
	assert_code(ay_secret_key_parse(file, strlen(file), NULL, &back, &err), 0);
	/* A file that asks for 4 GiB, or for hours. */
	write_secret(&sk, "pw", 32768, 4ull << 30, false, file);
	assert_code(ay_secret_key_parse(file, strlen(file), "pw", &back, &err), AY_ELIMIT);
	write_secret(&sk, "pw", 1ull << 40, 1 << 30, false, file);
	assert_code(ay_secret_key_parse(file, strlen(file), "pw", &back, &err), AY_ELIMIT);
}

/* Halves that do not fit: signing with them would let everybody compute the secret. */
static void test_mixed_halves(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A'), other = key_of('B'), back;
	char file[400];
	memcpy(sk.key + 32, other.key + 32, 32);
	write_secret(&sk, NULL, 0, 0, true, file);
	assert_code(ay_secret_key_parse(file, strlen(file), NULL, &back, &err), AY_EFORMAT);
	write_secret(&sk, NULL, 0, 0, false, file);
	assert_code(ay_secret_key_parse(file, strlen(file), NULL, &back, &err), AY_EFORMAT);
}

static void test_other_algorithms(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_secret_key sk = key_of('A'), back;
	char file[400];
	static const char *const heads[] = {"RWRTY0Ix", "RWRTZEIy", "RXRTY0Iy"}; /* B1, Sd, Et */
	for (int i = 0; i < 3; i++) {
		write_secret(&sk, "pw", 32768, 16 << 20, false, file);
		memcpy(strchr(file, '\n') + 1, heads[i], 8);
		assert_code(ay_secret_key_parse(file, strlen(file), "pw", &back, &err), AY_EUNSUPPORTED);
	}
	char *big = calloc(1, 5000);
	assert_non_null(big);
	assert_code(ay_secret_key_parse(big, 5000, NULL, &back, &err), AY_ELIMIT);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_generate),
		cmocka_unit_test(test_public),
		cmocka_unit_test(test_plain_secret),
		cmocka_unit_test(test_encrypted_secret),
		cmocka_unit_test(test_mixed_halves),
		cmocka_unit_test(test_other_algorithms),
	};
	return cmocka_run_group_tests_name("manifest/key", tests, NULL, NULL);
}
