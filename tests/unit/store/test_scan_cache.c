/* SPDX-License-Identifier: MIT */
/* What the last scan knew: trusted when exactly the same, never when it may be racy, and only whole. */
#include "tests/support/place.h"

#include <time.h>

#include "store/scan.h"
#include "store/scan_cache.h"

static const struct stat some = {.st_dev = 0x801,
				 .st_ino = 12345,
				 .st_size = 4097,
				 .st_mtim = {.tv_sec = 1600000000, .tv_nsec = 5},
				 .st_ctim = {.tv_sec = 1650000000, .tv_nsec = 999999999}};

/* Two files; began on 2023-11-14. */
static void fill(struct ay_scan_cache *c)
{
	struct stat st = some;
	struct ay_digest d;

	*c = (struct ay_scan_cache){.began_s = 1700000000, .began_ns = 123456789};
	ay_digest_mem("b", 1, &d);
	st.st_ino = 99999999;
	assert_int_equal(ay_scan_cache_add(c, &st, &d), 0);
	ay_digest_mem("a", 1, &d);
	assert_int_equal(ay_scan_cache_add(c, &some, &d), 0);
	assert_int_equal(ay_scan_cache_add(c, &some, &d), 0); /* under a second name */
}

static void only_the_very_same_is_known(void **state)
{
	struct ay_scan_cache c, back;
	struct ay_buf out = {0};
	struct ay_digest d;
	struct ay_err err = {0};

	(void)state;
	fill(&c);
	assert_int_equal(ay_scan_cache_encode(&c, &out), 0);
	assert_int_equal(out.len, AY_SCAN_CACHE_HEAD + 2 * AY_SCAN_CACHE_ROW);
	assert_int_equal(ay_scan_cache_decode(out.data, out.len, &back, &err), 0);
	const struct ay_digest *found = ay_scan_cache_find(&back, &some);
	assert_non_null(found);
	ay_digest_mem("a", 1, &d);
	assert_true(ay_digest_eq(found, &d));
#define UNKNOWN(change)                                                                                      \
	do {                                                                                                 \
		struct stat st = some;                                                                       \
		change;                                                                                      \
		assert_null(ay_scan_cache_find(&back, &st));                                                 \
	} while (0)
	UNKNOWN(st.st_dev++);
	UNKNOWN(st.st_ino++);
	UNKNOWN(st.st_size++);
	UNKNOWN(st.st_mtim.tv_sec++);
	UNKNOWN(st.st_mtim.tv_nsec++);
	UNKNOWN(st.st_ctim.tv_sec++);
	UNKNOWN(st.st_ctim.tv_nsec--);
#undef UNKNOWN
	ay_scan_cache_release(&c);
	ay_scan_cache_release(&back);
	ay_buf_release(&out);
}

/* What changed in the tick in which the scan began may have changed once more unseen. */
static void racy_rows_are_neither_written_nor_believed(void **state)
{
	struct ay_scan_cache c = {.began_s = 1650000000, .began_ns = 999999999}, back;
	struct ay_buf out = {0};
	struct ay_digest d;
	struct ay_err err = {0};

	(void)state;
	ay_digest_mem("a", 1, &d);
	assert_int_equal(ay_scan_cache_add(&c, &some, &d), 0);
	assert_int_equal(c.n, 0);
	c.began_s++;
	assert_int_equal(ay_scan_cache_add(&c, &some, &d), 0);
	assert_int_equal(c.n, 1);
	c.began_s--;
	assert_int_equal(ay_scan_cache_encode(&c, &out), 0);
	assert_int_equal(ay_scan_cache_decode(out.data, out.len, &back, &err), AY_EFORMAT);
	expect_says(&err, "changed after the scan had begun");
	ay_scan_cache_release(&c);
	ay_buf_release(&out);
}

static void damage_is_found(void **state)
{
	struct ay_scan_cache c, back;
	struct ay_buf out = {0};
	struct ay_err err = {0};

	(void)state;
	fill(&c);
	assert_int_equal(ay_scan_cache_encode(&c, &out), 0);
	for (size_t len = 0; len < out.len; len++)
		assert_int_equal(ay_scan_cache_decode(out.data, len, &back, &err), AY_EFORMAT);
	for (size_t i = 0; i < out.len; i++) {
		if (i >= 32 && i < 44)
			continue; /* another time of the scan is another scan, as long as it is a time */
		out.data[i] ^= 0x80;
		int r = ay_scan_cache_decode(out.data, out.len, &back, &err);
		int want = i >= 16 && i < 20 ? AY_EVERSION : i >= 26 && i < 32 ? AY_ELIMIT : AY_EFORMAT;
		assert_int_equal(r, want);
		out.data[i] ^= 0x80;
	}
	ay_scan_cache_release(&c);
	ay_buf_release(&out);
}

static void golden(void **state)
{
	struct ay_scan_cache c, back;
	struct ay_buf out = {0};
	struct ay_err err = {0};
	AY_FREE uint8_t *kept = NULL;
	size_t len = 0;

	(void)state;
	fill(&c);
	assert_int_equal(ay_scan_cache_encode(&c, &out), 0);
	if (getenv("AYNI_GOLDEN_WRITE")) {
		FILE *f = fopen("tests/golden/test.scan-cache", "w");
		assert_true(f && fwrite(out.data, 1, out.len, f) == out.len && fclose(f) == 0);
	}
	kept = get_file(AT_FDCWD, "tests/golden/test.scan-cache", &len);
	assert_int_equal(len, out.len);
	assert_memory_equal(kept, out.data, len);
	assert_int_equal(ay_scan_cache_decode(kept, len, &back, &err), 0);
	assert_int_equal(back.n, 2);
	ay_scan_cache_release(&c);
	ay_scan_cache_release(&back);
	ay_buf_release(&out);
}

/* ---- the scan that uses it ---- */

struct looked {
	struct ay_buf text;
	struct ay_scan_cache seen;
	struct ay_scan_totals totals;
};

static void look(struct place *p, struct ay_scan_cache *known, struct looked *l)
{
	const struct ay_scan_options opts = {.owner_root = true, .known = known, .seen = &l->seen};
	AY_CLOSE int fd = openat(p->dir, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ay_err err = {0};
	struct ay_buf out = {0};

	*l = (struct looked){0};
	expect_code(ay_scan(fd, "t", &opts, ay_write_to_buf, &l->text, &l->totals, &err), 0);
	assert_int_equal(ay_scan_cache_encode(&l->seen, &out), 0); /* sorted by that */
	ay_buf_release(&out);
}

static void forget(struct looked *l)
{
	ay_buf_release(&l->text);
	ay_scan_cache_release(&l->seen);
}

static void wait_a_tick(void)
{
	const struct timespec t = {.tv_nsec = 30000000};
	nanosleep(&t, NULL);
}

static void a_second_scan_reads_what_changed(void **state)
{
	struct place *p = *state;
	struct looked first, second, all;
	struct stat st;

	assert_int_equal(mkdirat(p->dir, "t", 0755), 0);
	put_text(p->dir, "t/a", "one");
	put_text(p->dir, "t/b", "two");
	put_text(p->dir, "t/c", "three");
	assert_int_equal(linkat(p->dir, "t/c", p->dir, "t/c2", 0), 0);
	wait_a_tick();
	look(p, NULL, &first);
	assert_int_equal(first.totals.read_files, 3);
	assert_int_equal(first.seen.n, 3);
	look(p, &first.seen, &second);
	assert_int_equal(second.totals.read_files, 0);
	assert_int_equal(second.totals.files, 4);
	assert_int_equal(second.seen.n, 3);
	assert_string_equal(ay_buf_cstr(&second.text), ay_buf_cstr(&first.text));
	forget(&second);

	/* The same size, the same mtime: only ctime tells. */
	assert_int_equal(fstatat(p->dir, "t/b", &st, 0), 0);
	int fd = openat(p->dir, "t/b", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "TWO", 3, 0), 3);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	look(p, &first.seen, &second);
	assert_int_equal(second.totals.read_files, 1);
	look(p, NULL, &all);
	assert_string_equal(ay_buf_cstr(&second.text), ay_buf_cstr(&all.text));
	forget(&first);
	forget(&second);
	forget(&all);
}

/* Written in the very tick of the scan: it must be read the next time, too. */
static void what_was_just_written_is_read_again(void **state)
{
	struct place *p = *state;
	struct looked first, second;

	assert_int_equal(mkdirat(p->dir, "t", 0755), 0);
	put_text(p->dir, "t/old", "one");
	wait_a_tick();
	put_text(p->dir, "t/new", "two");
	look(p, NULL, &first);
	/* Had the tick passed between writing and scanning after all, there is nothing to see: that is right as well. */
	struct stat st;
	assert_int_equal(fstatat(p->dir, "t/new", &st, 0), 0);
	bool in_tick = st.st_ctim.tv_sec > first.seen.began_s ||
		       (st.st_ctim.tv_sec == first.seen.began_s && st.st_ctim.tv_nsec >= first.seen.began_ns);
	assert_int_equal(first.seen.n, in_tick ? 1 : 2);
	look(p, &first.seen, &second);
	assert_int_equal(second.totals.read_files, in_tick ? 1 : 0);
	forget(&first);
	forget(&second);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_very_same_is_known),
		cmocka_unit_test(racy_rows_are_neither_written_nor_believed),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(golden),
		TEST(a_second_scan_reads_what_changed),
		TEST(what_was_just_written_is_read_again),
	};
	return cmocka_run_group_tests_name("store/scan_cache", tests, NULL, NULL);
}
