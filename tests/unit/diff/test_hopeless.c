/* SPDX-License-Identifier: MIT */
/* Sampled strings: what has nothing in common is told from what has little, whatever the bytes are like. */
#include "tests/unit/diff/trees.h"

#include "diff/hopeless.h"

#define LEN (3u << 20)

/* Random bytes of an alphabet, in lines like those of xxd and base64 when @line is not 0. */
static uint8_t *letters(struct ay_prng *r, const char *alphabet, size_t line)
{
	size_t n = strlen(alphabet);
	uint8_t *p = malloc(LEN);

	assert_non_null(p);
	for (size_t i = 0; i < LEN; i++)
		p[i] = line && i % (line + 1) == line ? '\n' : (uint8_t)alphabet[ay_prng_below(r, n)];
	return p;
}

static bool hopeless(const uint8_t *p, size_t len)
{
	bool yes = false;

	assert_int_equal(ay__hopeless(p, len, &yes), 0);
	return yes;
}

static bool unrelated(const uint8_t *old, size_t old_len, const uint8_t *new_, size_t new_len)
{
	bool yes = false;

	assert_int_equal(
		ay__unrelated((struct ay_slice){old, old_len}, (struct ay_slice){new_, new_len}, &yes), 0);
	return yes;
}

static const struct {
	const char *alphabet;
	size_t line;
} kinds[] = {
	{"0123456789abcdef", 0},
	{"0123456789abcdef", 60},
	{"0123456789", 0},
	{"ACGT", 70},
	{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 76},
};

/* A length of eight would find kin in any two files of digits or of four letters. */
static void test_random_letters(void **state)
{
	struct ay_prng r;

	(void)state;
	ay_prng_init(&r, 3);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		uint8_t *a = letters(&r, kinds[k].alphabet, kinds[k].line);
		uint8_t *b = letters(&r, kinds[k].alphabet, kinds[k].line);

		assert_true(hopeless(a, LEN));
		assert_true(unrelated(a, LEN, b, LEN));
		/* A fiftieth of one is in the other, in pieces: that is worth looking for. */
		for (size_t i = 0; i < 60; i++)
			memcpy(b + i * (LEN / 60), a + ay_prng_below(&r, LEN - 1100), 1100);
		assert_false(unrelated(a, LEN, b, LEN));
		/* And what comes twice in itself. */
		for (size_t i = 0; i < 60; i++)
			memcpy(a + i * (LEN / 60), a + LEN / 120, 1100);
		assert_false(hopeless(a, LEN));
		free(a);
		free(b);
	}
}

static void test_programs_are_kin(void **state)
{
	struct ay_prng r;
	size_t len;

	(void)state;
	ay_prng_init(&r, 4);
	uint8_t *a = bytes_code(&r, LEN), *b = bytes_edit(&r, a, LEN, 3000, &len);
	assert_false(hopeless(a, LEN));
	assert_false(unrelated(a, LEN, b, len));
	/* Every twentieth byte another, as when all addresses move. */
	for (size_t i = 0; i < len; i += 20)
		b[i] ^= 0x55;
	assert_false(unrelated(a, LEN, b, len));
	free(a);
	free(b);
}

static void test_noise(void **state)
{
	struct ay_prng r;

	(void)state;
	ay_prng_init(&r, 5);
	uint8_t *a = bytes_random(&r, LEN), *b = bytes_random(&r, LEN), *zeros = calloc(LEN, 1);
	assert_true(hopeless(a, LEN));
	assert_true(unrelated(a, LEN, b, LEN));
	/* Runs of one byte say nothing, and are no reason to sort noise. */
	memcpy(zeros, b, LEN / 4);
	memset(a + LEN / 2, 0, LEN / 4);
	assert_true(unrelated(a, LEN, zeros, LEN));
	/* What is small is not judged. */
	assert_false(hopeless(a, 60000));
	assert_false(unrelated(a, LEN, b, 60000));
	assert_false(unrelated(a, 60000, b, LEN));
	assert_false(hopeless(a, 0));
	free(a);
	free(b);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_letters),
		cmocka_unit_test(test_programs_are_kin),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
