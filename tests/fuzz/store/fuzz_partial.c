/* SPDX-License-Identifier: MIT */
/*
 * A partial bundle's two files hold anything: no block may count as had that is not right, no hash block be
 * known that is not the bundle's, and collecting must be able to go on to the end.
 *
 * Byte 0: bits 0-1 the bundle's size, bit 7 go on to the end. Then steps that write the two files, so that
 * the fuzzer can come near to valid ones without knowing SHA-256:
 *
 *     0 LEVEL INDEX              a right record          3 BLOCK                a right block
 *     1 LEVEL INDEX POS16 XOR    the same, damaged       4 BLOCK POS16 XOR      the same, damaged
 *     2 LEN BYTES                bytes to the log        5 OFFSET24 LEN BYTES   bytes into the data
 *     7 SIZE16                   cut the log             6 SIZE24               cut or extend the data
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"
#include "store/bundles.h"
#include "store/bundles_resume.h"
#include "store/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "not so: %s\n", #cond), abort()))
#define LOG_MAX    (64 * AY__HASH_RECORD)
#define DATA_MAX   (4u << 20)

struct source {
	size_t size;
	uint8_t *data;
	struct ay_merkle *merkle;
	char hex[AY_DIGEST_HEX + 1], hashes[AY_DIGEST_HEX + 8];
};

static struct ay_store *store;
static struct source sources[4];
static char place[64];

static void leave(void)
{
	char *name = strrchr(place, '/');

	ay_store_close(store);
	for (int i = 0; i < 4; i++) {
		free(sources[i].data);
		ay_merkle_free(sources[i].merkle);
	}
	*name = '\0';
	int parent = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ay__remove_tree(ay_fs_real(), parent, name + 1);
	close(parent);
}

static void arrive(void)
{
	static const size_t sizes[4] = {3 * AY_PIECE_SIZE + 70000, 3000, AY_PIECE_SIZE, AY_PIECE_SIZE + 1};
	struct ay_err err = {0};
	struct ay_prng r;

	snprintf(place, sizeof(place), "%s/ayni-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	MUST(mkdtemp(place));
	atexit(leave);
	MUST(ay_store_open(ay_fs_real(), place, AY_STORE_CREATE | AY_STORE_OWNER_ME, &store, &err) == 0);
	ay_prng_init(&r, 1);
	for (int i = 0; i < 4; i++) {
		struct source *s = &sources[i];
		s->size = sizes[i];
		s->data = malloc(s->size);
		MUST(s->data);
		for (size_t k = 0; k < s->size; k++)
			s->data[k] = (uint8_t)ay_prng_next(&r);
		MUST(ay_merkle_build_mem(s->data, s->size, &s->merkle) == 0);
		ay_digest_hex(ay_merkle_digest(s->merkle), s->hex);
		memcpy(s->hashes, s->hex, AY_DIGEST_HEX);
		memcpy(s->hashes + AY_DIGEST_HEX, ".hashes", sizeof(".hashes"));
	}
}

/* Record (@level, @index) of the source into @out; modulo what there is. */
static bool record_of(const struct source *s, unsigned level, unsigned index, uint8_t out[AY__HASH_RECORD])
{
	unsigned levels = ay_merkle_levels(s->merkle);
	if (levels == 0)
		return false;
	level %= levels;
	uint64_t i = index % ay_merkle_width(s->merkle, level);
	ay__hash_record(level, i, ay_merkle_get(s->merkle, level, i), out);
	return true;
}

static void log_step(struct ay_cursor *c, unsigned op, const struct source *s, int fd)
{
	uint8_t record[AY__HASH_RECORD];
	off_t end = lseek(fd, 0, SEEK_END);

	if (op == 2) {
		size_t n = ay_get_u8(c);
		const uint8_t *bytes = ay_get_bytes(c, n);
		if (bytes && end < LOG_MAX)
			MUST(pwrite(fd, bytes, n, end) == (ssize_t)n);
	} else if (op == 7) {
		MUST(ftruncate(fd, ay_get_u16(c)) == 0);
	} else {
		unsigned level = ay_get_u8(c), index = ay_get_u8(c);
		if (!record_of(s, level, index, record) || end >= LOG_MAX)
			return;
		if (op == 1) {
			unsigned pos = ay_get_u16(c);
			record[pos % sizeof(record)] ^= ay_get_u8(c);
		}
		MUST(pwrite(fd, record, sizeof(record), end) == (ssize_t)sizeof(record));
	}
}

static uint32_t get_u24(struct ay_cursor *c)
{
	uint32_t low = ay_get_u16(c);
	return (low | (uint32_t)ay_get_u8(c) << 16) % DATA_MAX;
}

static void data_step(struct ay_cursor *c, unsigned op, const struct source *s, int fd)
{
	if (op == 5) {
		uint32_t offset = get_u24(c);
		size_t n = ay_get_u8(c);
		const uint8_t *bytes = ay_get_bytes(c, n);
		if (bytes)
			MUST(pwrite(fd, bytes, n, offset) == (ssize_t)n);
	} else if (op == 6) {
		MUST(ftruncate(fd, get_u24(c)) == 0);
	} else {
		uint64_t block = ay_get_u8(c) % ay_blocks_of(s->size);
		uint32_t n = ay_block_len(s->size, block);
		off_t at = (off_t)(block * AY_BLOCK_SIZE);
		MUST(pwrite(fd, s->data + at, n, at) == (ssize_t)n);
		if (op == 4) {
			uint32_t pos = ay_get_u16(c) % n;
			uint8_t b = s->data[(size_t)at + pos] ^ ay_get_u8(c);
			MUST(pwrite(fd, &b, 1, at + pos) == 1);
		}
	}
}

/* Nothing is believed that is not so. Returns how many blocks there are. */
static uint64_t check_truth(const struct source *s, struct ay_bundle_file *f)
{
	static uint8_t buf[AY_BLOCK_SIZE];
	uint64_t had = 0;

	MUST(!ay_bundle_file_whole(f));
	for (uint64_t i = 0; i < ay_blocks_of(s->size); i++) {
		uint32_t n = ay_block_len(s->size, i);
		if (!ay_bundle_file_has(f, i))
			continue;
		had++;
		MUST(pread(ay_bundle_file_fd(f), buf, n, (off_t)(i * AY_BLOCK_SIZE)) == (ssize_t)n);
		MUST(memcmp(buf, s->data + i * AY_BLOCK_SIZE, n) == 0);
	}
	for (unsigned level = 0; level < ay_merkle_levels(s->merkle); level++) {
		for (uint64_t i = 0; i < ay_merkle_width(s->merkle, level); i++) {
			const uint8_t *block = ay_merkle_get(ay_bundle_file_merkle(f), level, i);
			MUST(!block || memcmp(block, ay_merkle_get(s->merkle, level, i), AY_LEAF_SIZE) == 0);
		}
	}
	return had;
}

static void complete(const struct source *s, struct ay_bundle_file *f)
{
	struct ay_err err = {0};

	for (unsigned level = ay_merkle_levels(s->merkle); level-- > 0;)
		for (uint64_t i = 0; i < ay_merkle_width(s->merkle, level); i++)
			MUST(ay_bundle_file_add_hashes(f, level, i, ay_merkle_get(s->merkle, level, i),
						       &err) == 0);
	for (uint64_t i = 0; i < ay_blocks_of(s->size); i++)
		MUST(ay_bundle_file_write(f, i, s->data + i * AY_BLOCK_SIZE, ay_block_len(s->size, i),
					  &err) == 0);
	MUST(ay_bundle_file_finish(f, &err) == 0);
	ay_bundle_file_close(f);
	MUST(ay_bundle_file_open(store, ay_merkle_digest(s->merkle), s->size, false, &f, &err) == 0);
	MUST(ay_bundle_file_whole(f));
	ay_bundle_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_bundle_file *f = NULL;
	struct ay_err err = {0};
	struct ay_cursor c;

	if (!store)
		arrive();
	ay_cursor_init(&c, data, len);
	uint8_t mode = ay_get_u8(&c);
	const struct source *s = &sources[mode & 3];
	int bytes = openat(store->partial, s->hex, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	int log = openat(store->partial, s->hashes, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	MUST(bytes >= 0 && log >= 0);
	for (unsigned steps = 0; steps < 64 && ay_cursor_left(&c) > 0; steps++) {
		unsigned op = ay_get_u8(&c) & 7;
		if (op <= 2 || op == 7)
			log_step(&c, op, s, log);
		else
			data_step(&c, op, s, bytes);
	}
	close(bytes);
	close(log);

	MUST(ay_bundle_file_open(store, ay_merkle_digest(s->merkle), s->size, false, &f, &err) == 0);
	uint64_t had = check_truth(s, f);
	ay_bundle_file_close(f);
	/* Opening may have tidied the files; it must not have lost anything. */
	MUST(ay_bundle_file_open(store, ay_merkle_digest(s->merkle), s->size, true, &f, &err) == 0);
	MUST(check_truth(s, f) == had);
	if (mode & 0x80)
		complete(s, f);
	else
		ay_bundle_file_close(f);
	MUST(ay_bundles_drop(store, ay_merkle_digest(s->merkle), &err) == 0);
	return 0;
}
