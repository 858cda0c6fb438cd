/* SPDX-License-Identifier: MIT */
/* Bundles in collection: what is had after kills, damage, lies and failing disks. */
#include "tests/support/bundle_source.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/prng.h"
#include "store/bundles_resume.h"
#include "store/store_internal.h"

#define THREE_PIECES (3 * AY_PIECE_SIZE + 2 * AY_BLOCK_SIZE + 1234) /* 27 blocks, 4 + 1 hash blocks */

/* Exactly the blocks of @want are had, in every way of asking. */
static void assert_had(struct ay_bundle_file *f, const struct source *src, bool (*want)(uint64_t))
{
	for (uint64_t i = 0; i < ay_blocks_of(src->size); i++) {
		if (ay_bundle_file_has(f, i) != want(i))
			fail_msg("block %d is %shad", (int)i, want(i) ? "not " : "");
		assert_int_equal(ay_bundle_file_bitmap(f)[i / 8] >> (i % 8) & 1, want(i));
	}
	assert_false(ay_bundle_file_has(f, ay_blocks_of(src->size)));
}

static bool all(uint64_t i)
{
	(void)i;
	return true;
}
static bool none(uint64_t i)
{
	(void)i;
	return false;
}
static bool odd(uint64_t i)
{
	return i % 2;
}
static bool not_9(uint64_t i)
{
	return i != 9;
}
static bool not_piece_1(uint64_t i)
{
	return i / 8 != 1;
}

/* A partial bundle on disk with every hash block and the blocks of @which. */
static void make_partial(struct ay_store *s, const struct source *src, bool (*which)(uint64_t))
{
	struct ay_err err = {0};
	struct ay_bundle_file *f = open_bundle(s, src, true);
	expect_code(give_all_hashes(f, src, &err), 0);
	for (uint64_t i = 0; i < ay_blocks_of(src->size); i++)
		if (which(i))
			expect_code(give_block(f, src, i, &err), 0);
	ay_bundle_file_close(f);
}

static void flip(int dirfd, const char *name, off_t at)
{
	uint8_t b;
	int fd = openat(dirfd, name, O_RDWR);
	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

static void cut(int dirfd, const char *name, off_t to)
{
	int fd = openat(dirfd, name, O_RDWR);
	assert_int_equal(ftruncate(fd, to), 0);
	close(fd);
}

static void test_collect(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(1, THREE_PIECES), other = source_of(2, THREE_PIECES);
	struct ay_err err = {0};
	struct ay_bundle_file *f = NULL;

	expect_code(ay_bundle_file_open(s, &src.digest, src.size, false, &f, &err), -ENOENT);
	f = open_bundle(s, &src, true);
	assert_had(f, &src, none);
	expect_code(give_block(f, &src, 0, &err), -EAGAIN);
	expect_code(give_hash(f, &src, 0, 0, &err), -EAGAIN);
	expect_code(give_hash(f, &other, 1, 0, &err), AY_EDIGEST);
	expect_code(give_hash(f, &src, 1, 0, &err), 0);
	expect_code(give_hash(f, &src, 1, 0, &err), 0);
	expect_code(ay_bundle_file_add_hashes(f, 1, 1, src.data, &err), AY_EFORMAT);
	expect_code(ay_bundle_file_add_hashes(f, 0, 3, ay_merkle_get(src.merkle, 0, 2), &err), AY_EDIGEST);
	expect_code(give_all_hashes(f, &src, &err), 0);
	expect_code(give_block(f, &other, 3, &err), AY_EDIGEST);
	expect_code(ay_bundle_file_write(f, 3, src.data, 100, &err), AY_EFORMAT);
	expect_code(ay_bundle_file_write(f, 27, src.data, 1234, &err), AY_EFORMAT);
	expect_code(ay_bundle_file_write(f, 26, src.data + 26 * AY_BLOCK_SIZE, AY_BLOCK_SIZE, &err),
		    AY_EFORMAT);
	assert_had(f, &src, none);
	for (uint64_t i = 1; i < 27; i += 2)
		expect_code(give_block(f, &src, i, &err), 0);
	expect_code(give_block(f, &src, 1, &err), 0);
	assert_had(f, &src, odd);
	expect_code(ay_bundle_file_finish(f, &err), -EAGAIN);
	expect_says(&err, "14 of 27 blocks are missing");
	struct ay_bundle_file *second;
	expect_code(ay_bundle_file_open(s, &src.digest, src.size, true, &second, &err), AY_EBUSY);
	ay_bundle_file_close(f);
	complete(s, &src);
	source_release(&src);
	source_release(&other);
	ay_store_close(s);
}

static void test_small_and_odd_sizes(void **state)
{
	struct ay_store *s = open_store(*state);
	static const size_t sizes[] = {1, 4095, 4096, 4097, 65536, 65537, 524288, 524289};
	struct ay_bundle_file *f;
	struct ay_digest d = {{1}};
	struct ay_err err = {0};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct source src = source_of(i, sizes[i]);
		make_partial(s, &src, all);
		f = open_bundle(s, &src, false);
		assert_had(f, &src, all);
		assert_false(ay_bundle_file_whole(f));
		ay_bundle_file_close(f);
		complete(s, &src);
		source_release(&src);
	}
	expect_code(ay_bundle_file_open(s, &d, 0, true, &f, &err), AY_EFORMAT);
	expect_code(ay_bundle_file_open(s, &d, (1ull << 40) + 1, true, &f, &err), AY_ELIMIT);
	expect_code(ay_bundle_file_open(s, &d, UINT64_MAX, true, &f, &err), AY_ELIMIT);
	expect_code(ay_bundle_file_open(s, &d, 1ull << 39, true, &f, &err),
		    -ENOSPC); /* no disk here has half a TiB free */
	char hex[65];
	assert_false(there(s->partial, ay_digest_hex(&d, hex)));
	ay_store_close(s);
}

/* SIGKILL after k writes, without any sync: exactly what was written is had. */
static unsigned killed_after;
static bool before_kill(uint64_t i)
{
	return i < killed_after;
}

static void test_kill(void **state)
{
	struct place *p = *state;
	struct source src = source_of(3, THREE_PIECES);
	struct ay_err err = {0};

	for (killed_after = 0; killed_after <= 27; killed_after += 3) {
		pid_t pid = fork();
		if (pid == 0) {
			struct ay_store *s = open_store(p);
			struct ay_bundle_file *f = open_bundle(s, &src, true);
			if (give_all_hashes(f, &src, &err) < 0)
				_exit(1);
			for (uint64_t i = 0; i < killed_after; i++)
				if (give_block(f, &src, i, &err) < 0)
					_exit(1);
			kill(getpid(), SIGKILL);
			_exit(1);
		}
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		struct ay_store *s = open_store(p);
		struct ay_bundle_file *f = open_bundle(s, &src, false);
		assert_had(f, &src, before_kill);
		for (uint64_t i = 0; i < 4; i++)
			assert_true(ay_merkle_has(ay_bundle_file_merkle(f), 0, i));
		ay_bundle_file_close(f);
		if (killed_after < 27)
			expect_code(ay_bundles_drop(s, &src.digest, &err), 0);
		else
			complete(s, &src);
		ay_store_close(s);
	}
	source_release(&src);
}

static void test_damaged_data(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(4, THREE_PIECES);

	make_partial(s, &src, all);
	flip(s->partial, src.hex, 9 * AY_BLOCK_SIZE + 65535);
	struct ay_bundle_file *f = open_bundle(s, &src, false);
	assert_had(f, &src, not_9);
	ay_bundle_file_close(f);

	/* Longer than the bundle: the surplus is cut, the rest holds. */
	cut(s->partial, src.hex, THREE_PIECES + 100000);
	f = open_bundle(s, &src, false);
	assert_had(f, &src, not_9);
	ay_bundle_file_close(f);
	struct stat st;
	fstatat(s->partial, src.hex, &st, 0);
	assert_int_equal(st.st_size, THREE_PIECES);

	/* Shorter: the last block lacks its last byte. */
	cut(s->partial, src.hex, THREE_PIECES - 1);
	f = open_bundle(s, &src, false);
	assert_int_equal(blocks_had(f), 25);
	assert_false(ay_bundle_file_has(f, 26));
	ay_bundle_file_close(f);
	cut(s->partial, src.hex, 0);
	f = open_bundle(s, &src, false);
	assert_had(f, &src, none);
	ay_bundle_file_close(f);
	complete(s, &src);
	source_release(&src);
	ay_store_close(s);
}

/* Every record of the log in turn: what hangs on it is not had, all else is, and the log heals. */
static void test_damaged_hashes(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(5, THREE_PIECES);
	struct ay_err err = {0};
	size_t len;

	make_partial(s, &src, all);
	uint8_t *log = get_file(s->partial, src.hashes, &len);
	assert_int_equal(len, 5 * AY__HASH_RECORD);
	for (unsigned record = 0; record < 5; record++) {
		for (unsigned where = 0; where < 3; where++) { /* in its level, its index, its block */
			put_file(s->partial, src.hashes, log, len);
			flip(s->partial, src.hashes,
			     record * AY__HASH_RECORD + (where == 0   ? 0
							 : where == 1 ? 5
								      : 100));
			struct ay_bundle_file *f = open_bundle(s, &src, false);
			uint64_t had = blocks_had(f);
			assert_int_equal(had, record == 0 ? 0 : record == 4 ? 24 : 19);
			if (record == 2)
				assert_had(f, &src, not_piece_1);
			size_t now;
			free(get_file(s->partial, src.hashes, &now));
			assert_int_equal(now, record == 0 ? 0 : 4 * AY__HASH_RECORD);
			expect_code(give_all_hashes(f, &src, &err), 0);
			ay_bundle_file_close(f);
			f = open_bundle(s, &src, false);
			assert_had(f, &src, all);
			ay_bundle_file_close(f);
		}
	}
	/* Cut off anywhere: whole records count, and the next goes where the cut one was. */
	for (size_t to = 0; to <= len; to += 1026) {
		put_file(s->partial, src.hashes, log, to);
		struct ay_bundle_file *f = open_bundle(s, &src, false);
		uint64_t records = to / AY__HASH_RECORD, pieces = records ? records - 1 : 0;
		assert_int_equal(blocks_had(f), pieces == 4 ? 27 : pieces * 8);
		expect_code(give_all_hashes(f, &src, &err), 0);
		ay_bundle_file_close(f);
		f = open_bundle(s, &src, false);
		assert_had(f, &src, all);
		ay_bundle_file_close(f);
	}
	free(log);
	complete(s, &src);
	source_release(&src);
	ay_store_close(s);
}

/* Logs that hold all that they should, but not as we write them; and one that holds nothing. */
static void test_strange_hashes(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(16, THREE_PIECES);
	size_t len;

	make_partial(s, &src, all);
	uint8_t *log = get_file(s->partial, src.hashes, &len);
	/* Upside down, as after a power cut that lost and rewrote. */
	uint8_t *turned = malloc(len);
	for (size_t i = 0; i < 5; i++)
		memcpy(turned + i * AY__HASH_RECORD, log + (4 - i) * AY__HASH_RECORD, AY__HASH_RECORD);
	put_file(s->partial, src.hashes, turned, len);
	struct ay_bundle_file *f = open_bundle(s, &src, false);
	assert_had(f, &src, all);
	ay_bundle_file_close(f);
	free(turned);

	/* Every record twice; then a log of which nearly all is a hole of a TiB, which must not be read. */
	put_file(s->partial, src.hashes, log, len);
	int fd = openat(s->partial, src.hashes, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, log, len), len);
	close(fd);
	for (int round = 0; round < 2; round++) {
		size_t now;
		f = open_bundle(s, &src, false);
		assert_had(f, &src, all);
		ay_bundle_file_close(f);
		free(get_file(s->partial, src.hashes, &now));
		assert_int_equal(now, len);
		cut(s->partial, src.hashes, 1ll << 40);
	}
	free(log);

	/* A megabyte of anything. */
	uint8_t *junk = some_bytes(6, 1 << 20);
	put_file(s->partial, src.hashes, junk, 1 << 20);
	free(junk);
	f = open_bundle(s, &src, false);
	assert_had(f, &src, none);
	ay_bundle_file_close(f);
	free(get_file(s->partial, src.hashes, &len));
	assert_int_equal(len, 0);
	complete(s, &src);
	source_release(&src);
	ay_store_close(s);
}

/* A stranger who can open a partial bundle could hold its lock; a whole one is for all to read. */
static void test_modes(void **state)
{
	struct ay_store *s = open_store(*state);
	struct ay_err err = {0};
	struct source src = source_of(77, THREE_PIECES);
	struct stat st;

	make_partial(s, &src, all);
	assert_int_equal(fstatat(s->partial, src.hex, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fchmodat(s->partial, src.hex, 0644, 0), 0); /* made by an older version */
	struct ay_bundle_file *f = open_bundle(s, &src, true);
	assert_int_equal(fstatat(s->partial, src.hex, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	expect_code(ay_bundle_file_finish(f, &err), 0);
	assert_int_equal(fstatat(s->bundles, src.hex, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	source_release(&src);
	ay_bundle_file_close(f);
	ay_store_close(s);
}

static void test_damaged_whole(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(7, THREE_PIECES);
	struct ay_err err = {0};
	struct ay_bundle_file *f = NULL;

	complete(s, &src);
	expect_code(ay_bundle_file_open(s, &src.digest, src.size - 1, true, &f, &err), AY_EFORMAT);
	expect_code(ay_bundle_file_open(s, &src.digest, src.size + 1, false, &f, &err), AY_EFORMAT);
	assert_true(there(s->bundles, src.hex)); /* a wrong size in somebody's words costs us nothing */
	flip(s->bundles, src.hex, 12345);
	struct ay_store *reader = open_store_readonly(*state);
	expect_code(ay_bundle_file_open(reader, &src.digest, src.size, false, &f, &err), AY_EDIGEST);
	ay_store_close(reader);
	assert_true(there(s->bundles, src.hex));
	expect_code(ay_bundle_file_open(s, &src.digest, src.size, false, &f, &err), AY_EDIGEST);
	expect_says(&err, "thrown away");
	assert_false(there(s->bundles, src.hex));
	expect_code(ay_bundle_file_open(s, &src.digest, src.size, false, &f, &err), -ENOENT);
	complete(s, &src);
	cut(s->bundles, src.hex, THREE_PIECES - 1);
	f = open_bundle(s, &src, true);
	assert_false(ay_bundle_file_whole(f));
	assert_had(f, &src, none);
	ay_bundle_file_close(f);
	source_release(&src);
	ay_store_close(s);
}

static void test_readonly(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source src = source_of(8, THREE_PIECES);
	struct ay_err err = {0};
	struct ay_bundle_file *f = NULL;

	make_partial(s, &src, odd);
	flip(s->partial, src.hashes, 2 * AY__HASH_RECORD + 50);
	struct ay_bundle_file *writer = open_bundle(s, &src, false); /* its lock does not keep readers out */
	struct ay_store *reader = open_store_readonly(*state);
	expect_code(ay_bundle_file_open(reader, &src.digest, src.size, true, &f, &err), -EROFS);
	f = open_bundle(reader, &src, false);
	assert_true(ay_bundle_file_has(f, 1));
	expect_code(give_block(f, &src, 0, &err), -EROFS);
	assert_int_equal(ay_bundle_file_sync(f, &err), 0);
	expect_code(ay_bundle_file_finish(f, &err), -EAGAIN);
	ay_bundle_file_close(f);
	expect_code(ay_bundles_drop(reader, &src.digest, &err), -EROFS);
	ay_store_close(reader);
	ay_bundle_file_close(writer);
	source_release(&src);
	ay_store_close(s);
}

static void test_list_and_drop(void **state)
{
	struct ay_store *s = open_store(*state);
	struct source a = source_of(9, 100000), b = source_of(10, 200000);
	struct ay_bundle_entry *list;
	struct ay_err err = {0};
	size_t n;

	expect_code(ay_bundles_list(s, &list, &n, &err), 0);
	assert_int_equal(n, 0);
	free(list);
	complete(s, &a);
	make_partial(s, &b, odd);
	put_text(s->bundles, "README", "not a bundle");
	expect_code(ay_bundles_list(s, &list, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_true(list[0].whole && ay_digest_eq(&list[0].digest, &a.digest) && list[0].size == a.size);
	assert_true(!list[1].whole && ay_digest_eq(&list[1].digest, &b.digest) && list[1].size <= b.size);
	free(list);
	expect_code(ay_bundles_drop(s, &a.digest, &err), 0);
	expect_code(ay_bundles_drop(s, &b.digest, &err), 0);
	expect_code(ay_bundles_drop(s, &b.digest, &err), 0);
	assert_false(there(s->bundles, a.hex) || there(s->partial, b.hex) || there(s->partial, b.hashes));
	source_release(&a);
	source_release(&b);
	ay_store_close(s);
}

static void test_elsewhere(void **state)
{
	struct place *p = *state;
	struct source src = source_of(11, THREE_PIECES);
	struct ay_bundle_file *f = NULL;
	struct ay_err err = {0};

	put_file(p->dir, "b", src.data, src.size);
	expect_code(ay_bundle_file_open_fd(openat(p->dir, "b", O_RDONLY), &src.digest, src.size, &f, &err),
		    0);
	assert_true(ay_bundle_file_whole(f));
	assert_had(f, &src, all);
	assert_memory_equal(ay_merkle_get(ay_bundle_file_merkle(f), 0, 2), ay_merkle_get(src.merkle, 0, 2),
			    4096);
	assert_int_equal(give_all_hashes(f, &src, &err), 0);
	assert_int_equal(give_block(f, &src, 3, &err), 0);
	assert_int_equal(ay_bundle_file_sync(f, &err), 0);
	assert_int_equal(ay_bundle_file_finish(f, &err), 0);
	ay_bundle_file_close(f);
	expect_code(ay_bundle_file_open_fd(openat(p->dir, "b", O_RDONLY), &src.digest, 5, &f, &err),
		    AY_EFORMAT);
	flip(p->dir, "b", 3);
	expect_code(ay_bundle_file_open_fd(openat(p->dir, "b", O_RDONLY), &src.digest, src.size, &f, &err),
		    AY_EDIGEST);
	expect_code(ay_bundle_file_open_fd(openat(p->dir, "b", O_RDONLY), &src.digest, 0, &f, &err),
		    AY_EFORMAT);
	source_release(&src);
}

/* Large enough for several threads; a third of the blocks, some of them damaged. */
static struct source large;
static bool a_third(uint64_t i)
{
	return i % 3 == 0 && i != 99;
}

static void test_large(void **state)
{
	struct ay_store *s = open_store(*state);

	large = source_of(12, 40 * 1000 * 1000 + 7);
	make_partial(s, &large, a_third);
	int fd = openat(s->partial, large.hex, O_RDWR);
	assert_int_equal(pwrite(fd, large.data, AY_BLOCK_SIZE, 100 * AY_BLOCK_SIZE),
			 AY_BLOCK_SIZE); /* right bytes, wrong place */
	close(fd);
	struct ay_bundle_file *f = open_bundle(s, &large, false);
	assert_had(f, &large, a_third);
	ay_bundle_file_close(f);
	complete(s, &large);
	source_release(&large);
	ay_store_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		T(test_collect),        T(test_small_and_odd_sizes),
		T(test_kill),           T(test_damaged_data),
		T(test_damaged_hashes), T(test_strange_hashes),
		T(test_damaged_whole),  T(test_readonly),
		T(test_modes),          T(test_list_and_drop),
		T(test_elsewhere),      T(test_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
