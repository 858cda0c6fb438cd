/* SPDX-License-Identifier: MIT */
/*
 * The reader against bundles made by hand: each rule of the format is broken once, with checks that fit, so that
 * nothing but the rule itself can refuse. Damage of real bundles is in test_damage.c.
 */
#include "tests/unit/diff/trees.h"

#include <stdio.h>

#include "diff/section.h"

/* A bundle whose parts' streams are stored as they are. */
struct craft {
	uint8_t version, codec; /* 0: as it should be */
	uint64_t unpacked;
	uint32_t n_records, n_parts, part_limit, flags;
	uint64_t delta_size, extra, scratch, zero64;
	uint32_t encoders, map_size; /* 0: that of .map */
	struct ay_buf map;
	struct ay_buf col[AY_STREAMS];  /* of the one part */
	struct ay_buf more[AY_STREAMS]; /* of a second one */
	struct ay_buf delta, behind;
};

static const uint8_t base_bytes[] = "The quick brown fox jumps over the lazy dog.";
#define BASE_LEN ((uint64_t)sizeof(base_bytes) - 1)

static void put_section(struct ay_buf *out, uint8_t kind, uint8_t codec, struct ay_buf *streams, unsigned n,
			unsigned id)
{
	size_t start = out->len;
	unsigned used = 0;

	for (unsigned i = 0; i < n; i++)
		used += streams[i].len > 0;
	if (!used)
		return;
	ay_put_u8(out, kind);
	ay_put_u8(out, (uint8_t)used);
	ay_put_u16(out, 0);
	for (unsigned i = 0; i < n; i++) {
		if (!streams[i].len)
			continue;
		ay_put_u8(out, (uint8_t)(id + i));
		ay_put_u8(out, codec);
		ay_put_u16(out, 0);
		ay_put_u32(out, (uint32_t)streams[i].len);
		ay_put_u32(out, (uint32_t)streams[i].len);
	}
	for (unsigned i = 0; i < n; i++)
		ay_put_bytes(out, streams[i].data, streams[i].len);
	uint8_t check[8];
	ay__check(out->data + start, out->len - start, check);
	ay_put_bytes(out, check, 8);
}

static struct ay_buf craft_bytes(struct craft *c)
{
	struct ay_buf b = {0};
	uint8_t digests[64] = {0}, check[8];

	memset(digests + 32, 7, 32);
	ay_put_bytes(&b, "AyniBn", 7);
	ay_put_u8(&b, c->version ? c->version : AY_BUNDLE_VERSION);
	ay_put_bytes(&b, digests, 64);
	ay_put_u64(&b, c->delta_size ? c->delta_size : c->delta.len);
	ay_put_u64(&b, c->unpacked);
	ay_put_u32(&b, c->n_records);
	ay_put_u32(&b, c->n_parts);
	ay_put_u32(&b, c->part_limit ? c->part_limit : AY_BUNDLE_PART_MIN);
	ay_put_u32(&b, c->flags);
	if (c->version != 1) {
		ay_put_u64(&b, c->extra);
		ay_put_u64(&b, c->scratch);
		ay_put_u32(&b, c->encoders);
		ay_put_u32(&b, c->map_size ? c->map_size : (uint32_t)c->map.len);
		ay_put_u64(&b, c->zero64);
	}
	ay__check(b.data, b.len, check);
	ay_put_bytes(&b, check, 8);
	put_section(&b, 'D', 0, &c->delta, 1, AY_STREAM_DELTA);
	put_section(&b, 'M', 0, &c->map, 1, AY_STREAM_DELTA);
	put_section(&b, 'P', c->codec, c->col, AY_STREAMS, 0);
	put_section(&b, 'P', c->codec, c->more, AY_STREAMS, 0);
	ay_put_bytes(&b, c->behind.data, c->behind.len);
	assert_int_equal(ay_buf_status(&b), 0);
	return b;
}

static void craft_release(struct craft *c)
{
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		ay_buf_release(&c->col[i]);
		ay_buf_release(&c->more[i]);
	}
	ay_buf_release(&c->delta);
	ay_buf_release(&c->map);
	ay_buf_release(&c->behind);
}

static void put_digest(struct ay_buf *b, const void *data, size_t len)
{
	struct ay_digest d;

	ay_digest_mem(data, len, &d);
	ay_put_bytes(b, d.b, sizeof(d.b));
}

/*
 * One literal record "hello", and one that copies "brown fox" from the base with its 'f' made a 'b' and "!" behind:
 * two copies, one extra.
 */
static void craft_good(struct craft *c)
{
	struct ay_buf *col = c->col;

	*c = (struct craft){.unpacked = 15, .n_records = 2, .n_parts = 1};
	ay_put_bytes(&c->delta, "delta", 5);
	ay_put_bytes(&col[AY_STREAM_RECORD], "\0\0\0\5", 4);
	put_digest(&col[AY_STREAM_DIGEST], "hello", 5);
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 5);
	ay_put_bytes(&col[AY_STREAM_LITERAL], "hello", 5);

	ay_put_bytes(&col[AY_STREAM_RECORD], "\1\1\0\12", 4);
	ay_put_varint(&col[AY_STREAM_RECORD], ay_zigzag((int64_t)BASE_LEN - 10));
	put_digest(&col[AY_STREAM_DIGEST], "brown box!", 10);
	put_digest(&col[AY_STREAM_DIGEST], base_bytes, BASE_LEN);
	/* "brown " from 10 */
	ay_put_varint(&col[AY_STREAM_DIFF_LEN], 6);
	ay_put_varint(&col[AY_STREAM_SEEK], ay_zigzag(10));
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 0);
	/* "fox" goes on, 'f' - 4 */
	ay_put_varint(&col[AY_STREAM_DIFF_LEN], 3);
	ay_put_varint(&col[AY_STREAM_SEEK], ay_zigzag(0));
	ay_put_varint(&col[AY_STREAM_EXTRA_LEN], 1);
	ay_put_u8(&col[AY_STREAM_LITERAL], '!');
	ay_put_bytes(&col[AY_STREAM_ZERO_RUN], "\6\2", 2);
	ay_put_bytes(&col[AY_STREAM_DIFF_RUN], "\1\0", 2);
	ay_put_u8(&col[AY_STREAM_DIFF], (uint8_t)('b' - 'f'));
}

static struct tree *craft_tree(void)
{
	struct tree *t = tree_new();

	tree_add(t, "/base", base_bytes, BASE_LEN);
	tree_seal(t);
	return t;
}

static int craft_read(struct craft *c, const struct ay_bundle_limits *limits, struct ay_err *err)
{
	struct ay_buf b = craft_bytes(c);
	struct tree *old = craft_tree();
	struct applied a = {0};
	int fd = bundle_fd(b.data, b.len);
	int rc = bundle_apply(fd, old, NULL, limits, &a, err);

	if (rc == 0) {
		assert_int_equal(a.records, c->n_records);
		assert_int_equal(a.bytes, c->unpacked);
	}
	close(fd);
	ay_buf_release(&a.delta);
	ay_buf_release(&b);
	tree_free(old);
	return rc;
}

/* The crafted bundle must be refused with @code and a message that has @word. Releases @c. */
static void refused(struct craft *c, int code, const char *word)
{
	struct ay_err err = {0};
	int rc = craft_read(c, NULL, &err);

	if (rc != code || !strstr(err.msg, word))
		fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.msg, code, word);
	craft_release(c);
}

static void test_good(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};

	craft_good(&c);
	if (craft_read(&c, NULL, &err))
		fail_msg("%s", err.msg);
	craft_release(&c);
	/* Nothing at all is a bundle too. */
	c = (struct craft){0};
	assert_int_equal(craft_read(&c, NULL, &err), 0);
}

static void put_delta_file(struct ay_buf *b, const char *text)
{
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1], line[200];

	ay_digest_mem(text, strlen(text), &d);
	snprintf(line, sizeof(line), "+f 0644 0 0 1.000000000 %zu %s /%s\n", strlen(text),
		 ay_digest_hex(&d, hex), text);
	ay_put_bytes(b, line, strlen(line));
}

/* Three literals, of which two are found in the manifest delta, the later one first; @refs: what their heads say. */
static void craft_targets(struct craft *c, const char refs[3])
{
	static const char *const texts[3] = {"two", "one", "hello"};
	struct ay_buf *col = c->col;

	*c = (struct craft){.unpacked = 11, .n_records = 3, .n_parts = 1, .flags = AY_BUNDLE_TARGETS};
	ay_put_bytes(&c->delta, "-/gone\n", 7);
	put_delta_file(&c->delta, "one");
	put_delta_file(&c->delta, "two");
	for (unsigned i = 0; i < 3; i++) {
		ay_put_bytes(&col[AY_STREAM_RECORD], "\0\0\0", 3);
		ay_put_varint(&col[AY_STREAM_RECORD], strlen(texts[i]));
		ay_put_u8(&col[AY_STREAM_RECORD], (uint8_t)refs[i]);
		if (refs[i] == 0)
			put_digest(&col[AY_STREAM_DIGEST], texts[i], strlen(texts[i]));
		ay_put_varint(&col[AY_STREAM_EXTRA_LEN], strlen(texts[i]));
		ay_put_bytes(&col[AY_STREAM_LITERAL], texts[i], strlen(texts[i]));
	}
}

/* Records say which content of the manifest delta they are. */
static void test_targets(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};

	craft_targets(&c, (char[]){1 + 2, 1 + 3, 0}); /* 1: +1; 0, less 2: -2 */
	assert_int_equal(craft_read(&c, NULL, &err), 0);
	craft_release(&c);
	craft_targets(&c, (char[]){0, 1, 0}); /* digests instead count for nothing */
	assert_int_equal(craft_read(&c, NULL, &err), 0);
	craft_release(&c);
	craft_targets(&c, (char[]){1, 1 + 3, 0});
	refused(&c, AY_EDIGEST, "record 0");
	craft_targets(&c, (char[]){1 + 4, 0, 0});
	refused(&c, AY_EFORMAT, "does not have");
	craft_targets(&c, (char[]){1 + 1, 0, 0}); /* before the first */
	refused(&c, AY_EFORMAT, "does not have");
	/* As many as the header declares memory for. */
	for (uint64_t extra = 0; extra < 300000; extra += 149999) {
		struct ay_bundle_limits limits = {.memory = ay_bundle_memory(1u << 20) + extra};

		craft_targets(&c, (char[]){1 + 2, 1 + 3, 0});
		for (unsigned i = 0; i < 5000; i++)
			put_delta_file(&c.delta, "more");
		c.extra = extra, c.part_limit = 1u << 20;
		assert_int_equal(craft_read(&c, &limits, &err), extra ? 0 : AY_EFORMAT);
		craft_release(&c);
	}
}

/* The good one, its base named as @ref; 0: its digest stays. */
static void craft_base(struct craft *c, uint64_t ref)
{
	craft_good(c);
	c->flags = AY_BUNDLE_BASES;
	ay_put_varint(&c->col[AY_STREAM_RECORD], ref);
	c->col[AY_STREAM_DIGEST].len -= ref ? 32 : 0;
}

/* Records say which file of the old manifest is their base; here it has one. */
static void test_bases(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};

	for (uint64_t ref = 0; ref < 2; ref++) {
		craft_base(&c, ref);
		if (craft_read(&c, NULL, &err))
			fail_msg("%s", err.msg);
		craft_release(&c);
	}
	craft_base(&c, 1 + ay_zigzag(1));
	refused(&c, AY_EFORMAT, "record 1: part 0, stream record, byte 10: a base that the old manifest");
	craft_base(&c, 1 + ay_zigzag(-1));
	refused(&c, AY_EFORMAT, "does not have");
	craft_base(&c, UINT64_MAX);
	refused(&c, AY_EFORMAT, "does not have");
	craft_base(&c, 1), ay_put_bytes(&c.col[AY_STREAM_DIGEST], base_bytes, 32);
	refused(&c, AY_EFORMAT, "left over in stream digest");
	craft_base(&c, 0), c.col[AY_STREAM_DIGEST].len -= 32;
	refused(&c, AY_EFORMAT, "no digest");
	craft_base(&c, 1), c.col[AY_STREAM_RECORD].len--;
	refused(&c, AY_EFORMAT, "no number");
}

/* Without the old manifest records are told, but what they copy from cannot be had. */
static void test_bases_unknown(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};
	struct applied a = {.no_old = true, .skip_odd = true};
	struct tree *old = craft_tree();

	craft_base(&c, 1);
	struct ay_buf b = craft_bytes(&c);
	int fd = bundle_fd(b.data, b.len);
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), 0);
	a.skip_odd = false;
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), AY_EBASE);
	assert_non_null(strstr(err.msg, "file 0 of the manifest"));
	craft_release(&c);
	/* What no manifest has is refused all the same. */
	craft_base(&c, 1 + ay_zigzag(AY_BUNDLE_OLD_MAX));
	close(fd);
	ay_buf_release(&b);
	b = craft_bytes(&c);
	fd = bundle_fd(b.data, b.len);
	a.skip_odd = true;
	assert_int_equal(bundle_apply(fd, old, NULL, NULL, &a, &err), AY_EFORMAT);
	close(fd);
	craft_release(&c);
	ay_buf_release(&b);
	ay_buf_release(&a.delta);
	tree_free(old);
}

/* The same over two parts, cut between the operations: a part ends when all of its columns do. */
static void test_record_over_two_parts(void **state)
{
	(void)state;
	static const enum ay_stream moved[] = {AY_STREAM_DIFF_LEN, AY_STREAM_SEEK};
	struct craft c;
	struct ay_err err = {0};

	craft_good(&c);
	c.n_parts = 2;
	for (unsigned i = 0; i < 2; i++) {
		ay_put_bytes(&c.more[moved[i]], c.col[moved[i]].data + 1, 1);
		c.col[moved[i]].len = 1;
	}
	ay_put_bytes(&c.more[AY_STREAM_EXTRA_LEN], "\1", 1);
	c.col[AY_STREAM_EXTRA_LEN].len--;
	ay_put_bytes(&c.more[AY_STREAM_LITERAL], "!", 1);
	c.col[AY_STREAM_LITERAL].len--;
	ay_put_bytes(&c.more[AY_STREAM_ZERO_RUN], "\0\2", 2);
	ay_put_bytes(&c.more[AY_STREAM_DIFF_RUN], "\1\0", 2);
	ay_put_bytes(&c.more[AY_STREAM_DIFF], c.col[AY_STREAM_DIFF].data, 1);
	c.col[AY_STREAM_DIFF].len = 0;
	c.col[AY_STREAM_ZERO_RUN].len = 1;
	c.col[AY_STREAM_DIFF_RUN].data[0] = 0;
	c.col[AY_STREAM_DIFF_RUN].len = 1;
	if (craft_read(&c, NULL, &err))
		fail_msg("%s", err.msg);
	/* With the sequence of differences running over the end of the part it is refused. */
	c.col[AY_STREAM_ZERO_RUN].data[0]++;
	refused(&c, AY_EFORMAT, "goes on behind");
}

/* The map of type numbers: where the header says, of the size that it says, and of one form. */
static void test_map(void **state)
{
	static const uint8_t good[] = {1, 5, 2, 0}, same[] = {1, 5, 0, 0};
	const uint64_t need = 4 * (sizeof(good) + 1);
	struct craft c;
	struct ay_err err = {0};

	(void)state;
	craft_good(&c), c.extra = 4 * sizeof(good);
	ay_put_bytes(&c.map, good, sizeof(good));
	if (craft_read(&c, &(struct ay_bundle_limits){.memory = 64u << 20}, &err))
		fail_msg("%s", err.msg);
	c.extra = 4 * sizeof(good) - 1;
	refused(&c, AY_EFORMAT, "does not declare");
	craft_good(&c), c.extra = need, c.map_size = 4;
	refused(&c, AY_EFORMAT, "'M'");
	craft_good(&c), c.extra = need, c.map_size = 5;
	ay_put_bytes(&c.map, good, sizeof(good));
	refused(&c, AY_EFORMAT, "map");
	craft_good(&c), c.extra = need;
	ay_put_bytes(&c.map, same, sizeof(same));
	refused(&c, AY_EFORMAT, "rows that make no sense");
	craft_good(&c), c.extra = need;
	ay_put_bytes(&c.map, good, sizeof(good));
	ay_put_u8(&c.map, 0);
	refused(&c, AY_EFORMAT, "rows that make no sense");
}

static void test_header_rules(void **state)
{
	(void)state;
	struct craft c;

	craft_good(&c), c.version = 3;
	refused(&c, AY_EVERSION, "version 3");
	craft_good(&c), c.zero64 = 1;
	refused(&c, AY_EUNSUPPORTED, "flags");
	craft_good(&c), c.extra = 64u << 20;
	refused(&c, AY_ELIMIT, "records need");
	craft_good(&c), c.flags = 4;
	refused(&c, AY_EUNSUPPORTED, "flags");
	craft_good(&c), c.flags = 1, c.version = 1;
	refused(&c, AY_EUNSUPPORTED, "flags");
	craft_good(&c), c.flags = 2, c.version = 1;
	refused(&c, AY_EUNSUPPORTED, "flags");
	craft_good(&c), c.part_limit = AY_BUNDLE_PART_MIN - 1;
	refused(&c, AY_EFORMAT, "part limit");
	craft_good(&c), c.part_limit = AY_BUNDLE_PART_MAX + 1;
	refused(&c, AY_EFORMAT, "part limit");
	craft_good(&c), c.part_limit = AY_BUNDLE_PART_MAX;
	refused(&c, AY_ELIMIT, "memory");
	craft_good(&c), c.n_records = AY_BUNDLE_RECORDS_MAX + 1;
	refused(&c, AY_ELIMIT, "records");
	craft_good(&c), c.delta_size = 1ull << 40;
	refused(&c, AY_ELIMIT, "manifest delta");
	craft_good(&c), c.delta_size = 6;
	refused(&c, AY_EFORMAT, "manifest delta");
	craft_good(&c), c.delta_size = 4;
	refused(&c, AY_EFORMAT, "manifest delta");
	craft_good(&c), c.n_parts = 2;
	refused(&c, AY_EFORMAT, "left over");
	craft_good(&c), c.n_parts = 0;
	refused(&c, AY_EFORMAT, "last part");
	craft_good(&c), c.n_records = 3;
	refused(&c, AY_EFORMAT, "last part");
	craft_good(&c), c.n_records = 1;
	refused(&c, AY_EFORMAT, "left over");
	craft_good(&c), c.unpacked = 16;
	refused(&c, AY_EFORMAT, "less than the header");
	craft_good(&c), c.unpacked = 14;
	refused(&c, AY_EFORMAT, "more than the header");
	craft_good(&c), ay_put_u8(&c.behind, 0);
	refused(&c, AY_EFORMAT, "behind the last part");
	craft_good(&c), c.codec = 9;
	refused(&c, AY_EUNSUPPORTED, "codec 9");
	craft_good(&c), c.codec = 1;
	refused(&c, AY_EFORMAT, "no sense");
}

static void set(struct ay_buf *b, size_t at, unsigned v)
{
	assert_true(at < b->len);
	b->data[at] = (uint8_t)v;
}

static void test_record_rules(void **state)
{
	(void)state;
	struct craft c;
	struct ay_buf *record = &c.col[AY_STREAM_RECORD];

	craft_good(&c), set(record, 0, 3);
	refused(&c, AY_EUNSUPPORTED, "method 3");
	craft_good(&c), set(record, 2, 1);
	refused(&c, AY_EUNSUPPORTED, "filter 5");
	craft_good(&c), set(record, 1, 1); /* a literal with a base */
	refused(&c, AY_EFORMAT, "number of bases");
	craft_good(&c), set(record, 5, 0); /* a diff without */
	refused(&c, AY_EFORMAT, "number of bases");
	craft_good(&c), set(record, 5, 2);
	refused(&c, AY_EUNSUPPORTED, "2 bases");
	craft_good(&c), set(record, 5, AY_BUNDLE_BASES_MAX + 1);
	refused(&c, AY_EFORMAT, "number of bases");
	craft_good(&c), record->len--;
	refused(&c, AY_EFORMAT, "record 1");
	craft_good(&c), ay_put_u8(record, 0);
	refused(&c, AY_EFORMAT, "left over in stream record");
	craft_good(&c), c.col[AY_STREAM_DIGEST].len -= 32;
	refused(&c, AY_EFORMAT, "no digest");
	craft_good(&c), ay_put_bytes(&c.col[AY_STREAM_DIGEST], base_bytes, 32);
	refused(&c, AY_EFORMAT, "left over in stream digest");
	/* Sizes: the base's wraps, the record's is huge, a number has two forms. */
	craft_good(&c), record->len = 8;
	ay_put_varint(record, ay_zigzag(INT64_MIN));
	refused(&c, AY_EFORMAT, "makes no sense");
	craft_good(&c), record->len = 8;
	ay_put_varint(record, ay_zigzag(-11));
	refused(&c, AY_EFORMAT, "makes no sense");
	craft_good(&c), record->len = 3;
	ay_put_varint(record, UINT64_MAX);
	refused(&c, AY_EFORMAT, "more than the header");
	craft_good(&c), set(record, 3, 0x85);
	refused(&c, AY_EFORMAT, "record 0");
	craft_good(&c), record->len = 3;
	ay_put_bytes(record, "\x85\x00", 2);
	refused(&c, AY_EFORMAT, "no number");
	/* Right form, wrong content. */
	craft_good(&c), set(&c.col[AY_STREAM_LITERAL], 0, 'H');
	refused(&c, AY_EDIGEST, "record 0");
	craft_good(&c), set(&c.col[AY_STREAM_DIGEST], 32 + 32, 0);
	refused(&c, AY_EBASE, "record 1");
	craft_good(&c), record->len = 8;
	ay_put_varint(record, ay_zigzag((int64_t)BASE_LEN - 9));
	refused(&c, AY_EBASE, "bytes instead of");
}

static void test_operation_rules(void **state)
{
	(void)state;
	struct craft c;
	struct ay_buf *diff_len = &c.col[AY_STREAM_DIFF_LEN], *extra_len = &c.col[AY_STREAM_EXTRA_LEN],
		      *seek = &c.col[AY_STREAM_SEEK], *zero = &c.col[AY_STREAM_ZERO_RUN],
		      *run = &c.col[AY_STREAM_DIFF_RUN], *diff = &c.col[AY_STREAM_DIFF],
		      *literal = &c.col[AY_STREAM_LITERAL];

	craft_good(&c), set(extra_len, 0, 0);
	refused(&c, AY_EFORMAT, "does nothing");
	craft_good(&c), set(diff_len, 0, 0);
	refused(&c, AY_EFORMAT, "does nothing");
	craft_good(&c), set(extra_len, 0, 6);
	refused(&c, AY_EFORMAT, "behind the record's end");
	craft_good(&c), set(diff_len, 1, 4);
	refused(&c, AY_EFORMAT, "behind the record's end");
	craft_good(&c), diff_len->len = 1;
	ay_put_varint(diff_len, UINT64_MAX); /* 1 + that would wrap */
	refused(&c, AY_EFORMAT, "behind the record's end");
	craft_good(&c), extra_len->len = 2;
	ay_put_varint(extra_len, UINT64_MAX - 2);
	refused(&c, AY_EFORMAT, "behind the record's end");
	/* Copies from outside the base. */
	craft_good(&c), set(seek, 0, (unsigned)ay_zigzag(-1));
	refused(&c, AY_EFORMAT, "outside the base");
	craft_good(&c), set(seek, 1, (unsigned)ay_zigzag((int64_t)BASE_LEN - 16 - 2));
	refused(&c, AY_EFORMAT, "outside the base");
	craft_good(&c), seek->len = 1;
	ay_put_varint(seek, ay_zigzag(INT64_MAX));
	refused(&c, AY_EFORMAT, "outside the base");
	craft_good(&c), seek->len = 1;
	ay_put_varint(seek, ay_zigzag(-17));
	refused(&c, AY_EFORMAT, "outside the base");
	/* A column ends early, or goes on. */
	craft_good(&c), seek->len--;
	refused(&c, AY_EFORMAT, "stream seek");
	craft_good(&c), ay_put_u8(seek, 0);
	refused(&c, AY_EFORMAT, "left over in stream seek");
	craft_good(&c), diff_len->len--;
	refused(&c, AY_EFORMAT, "stream diff-len");
	craft_good(&c), ay_put_u8(diff_len, 1);
	refused(&c, AY_EFORMAT, "left over in stream diff-len");
	craft_good(&c), extra_len->len--;
	refused(&c, AY_EFORMAT, "left over");
	craft_good(&c), literal->len--;
	refused(&c, AY_EFORMAT, "stream literal");
	craft_good(&c), ay_put_u8(literal, 1);
	refused(&c, AY_EFORMAT, "left over in stream literal");
	craft_good(&c), diff->len--;
	refused(&c, AY_EFORMAT, "stream diff");
	craft_good(&c), ay_put_u8(diff, 1);
	refused(&c, AY_EFORMAT, "left over in stream diff");
	/* The sequence of differences. */
	craft_good(&c), set(run, 0, 0), set(zero, 0, 0);
	refused(&c, AY_EFORMAT, "stands for nothing");
	craft_good(&c), zero->len--, run->len--;
	refused(&c, AY_EFORMAT, "stream zero-run");
	craft_good(&c), run->len--;
	refused(&c, AY_EFORMAT, "stream diff-run");
	craft_good(&c), set(zero, 1, 3);
	refused(&c, AY_EFORMAT, "goes on behind");
	craft_good(&c), set(run, 1, 1);
	refused(&c, AY_EFORMAT, "goes on behind");
	craft_good(&c), set(run, 0, 2);
	refused(&c, AY_EFORMAT, "fewer differences");
	craft_good(&c), zero->len = 1, ay_put_varint(zero, UINT64_MAX);
	refused(&c, AY_EFORMAT, "goes on behind");
}

/* Bytes of the good bundle changed, with checks that fit: @at counts from the first part's beginning. */
static void poked(size_t at, unsigned v, int code, const char *word)
{
	struct craft c;
	struct applied a = {0};
	struct ay_err err = {0};
	struct tree *old = craft_tree();

	craft_good(&c);
	struct ay_buf b = craft_bytes(&c);
	at += AY_BUNDLE_HEADER_SIZE + AY_SECTION_HEAD_SIZE + AY_SECTION_STREAM_SIZE + 5 +
	      AY_BUNDLE_CHECK_SIZE;
	assert_true(at < b.len);
	b.data[at] = (uint8_t)v;
	bundle_fix_checks(b.data, b.len);
	int fd = bundle_fd(b.data, b.len);
	int rc = bundle_apply(fd, old, NULL, NULL, &a, &err);
	if (rc != code || !strstr(err.msg, word))
		fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.msg, code, word);
	close(fd);
	ay_buf_release(&a.delta);
	ay_buf_release(&b);
	craft_release(&c);
	tree_free(old);
}

static void test_section_rules(void **state)
{
	(void)state;
	struct craft c;
	char unknown[32];

	poked(0, 'Q', AY_EFORMAT, "no section of kind");
	poked(0, 'D', AY_EFORMAT, "no section of kind");
	poked(2, 1, AY_EFORMAT, "no section of kind");
	poked(3, 1, AY_EFORMAT, "no section of kind");
	poked(1, AY_STREAMS + 1, AY_EUNSUPPORTED, "streams");
	poked(4 + 12, AY_STREAM_RECORD, AY_EFORMAT, "out of order"); /* the second is the first's again */
	poked(4, AY_STREAM_SEEK, AY_EFORMAT, "out of order");
	snprintf(unknown, sizeof(unknown), "stream %d", AY_STREAMS);
	poked(4, AY_STREAMS, AY_EUNSUPPORTED, unknown);
	poked(4, AY_STREAM_DELTA, AY_EUNSUPPORTED, "stream 255");
	poked(4 + 2, 1, AY_EFORMAT, "no sense");
	poked(4 + 3, 1, AY_EFORMAT, "no sense");
	poked(4 + 4 + 2, 1, AY_EFORMAT, "no sense");
	/* A section without streams would be a part that nobody asks for. */
	craft_good(&c), c.n_parts = 2;
	ay_put_bytes(&c.behind, "P\0\0\0", 4);
	uint8_t check[8];
	ay__check(c.behind.data, 4, check);
	ay_put_bytes(&c.behind, check, 8);
	c.n_records = 3; /* so that it is read */
	refused(&c, AY_EFORMAT, "0 streams");
	craft_good(&c);
	while (c.col[AY_STREAM_LITERAL].len <= AY_BUNDLE_PART_MIN)
		ay_put_u8(&c.col[AY_STREAM_LITERAL], 'x');
	refused(&c, AY_EFORMAT, "part limit");
}

/* Sizes that promise more than the file has are refused before memory is taken for them. */
static void test_section_longer_than_the_bundle(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};
	struct applied a = {0};

	craft_good(&c);
	struct ay_buf b = craft_bytes(&c);
	int fd = bundle_fd(b.data, b.len - 1);
	assert_int_equal(bundle_apply(fd, NULL, NULL, NULL, &a, &err), AY_EFORMAT);
	assert_non_null(strstr(err.msg, "ends inside the section"));
	close(fd);
	ay_buf_release(&a.delta);
	ay_buf_release(&b);
	craft_release(&c);
}

static void test_limits(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};
	struct ay_bundle_limits limits = {
		.unpacked_size = 15, .delta_size = 5, .memory = ay_bundle_memory(AY_BUNDLE_PART_MIN)};

	craft_good(&c);
	assert_int_equal(craft_read(&c, &limits, &err), 0);
	limits.unpacked_size = 14;
	assert_int_equal(craft_read(&c, &limits, &err), AY_EFORMAT);
	limits.unpacked_size = 16;
	assert_int_equal(craft_read(&c, &limits, &err), AY_EFORMAT);
	limits.unpacked_size = 0;
	limits.delta_size = 4;
	assert_int_equal(craft_read(&c, &limits, &err), AY_ELIMIT);
	limits.delta_size = 0;
	limits.memory--;
	assert_int_equal(craft_read(&c, &limits, &err), AY_ELIMIT);
	craft_release(&c);
}

struct shown {
	unsigned headers, begun, parts, delta_ends;
	int stop_at_begin;
};

static int on_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	struct shown *s = ctx;

	(void)err;
	assert_int_equal(h->n_records, 2);
	assert_int_equal(h->unpacked_size, 15);
	assert_true(ay_digest_is_zero(&h->from));
	assert_int_equal(h->to.b[0], 7);
	s->headers++;
	return 0;
}

static int on_delta_end(void *ctx, struct ay_err *err)
{
	struct shown *s = ctx;

	(void)err;
	s->delta_ends++;
	return 0;
}

static int on_begin(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err)
{
	struct shown *s = ctx;

	(void)skip;
	(void)err;
	s->begun++;
	if (r->index == 1) {
		assert_int_equal(r->method, AY_METHOD_BSDIFF);
		assert_int_equal(r->size, 10);
		assert_int_equal(r->base_sizes[0], BASE_LEN);
	}
	return s->stop_at_begin;
}

static int on_part(void *ctx, uint32_t part, uint64_t packed, uint64_t unpacked, struct ay_err *err)
{
	struct shown *s = ctx;

	(void)err;
	assert_int_equal(part, s->parts);
	assert_int_equal(packed, unpacked);
	s->parts++;
	return 0;
}

/* `ayni show`: the record table alone, and what the sink says ends the reading. */
static void test_without_records(void **state)
{
	(void)state;
	struct craft c;
	struct ay_err err = {0};
	struct shown s = {0};
	const struct ay_bundle_sink sink = {.ctx = &s,
					    .header = on_header,
					    .delta_end = on_delta_end,
					    .begin = on_begin,
					    .part = on_part};

	craft_good(&c);
	c.n_parts = 2; /* the second has nothing of the table */
	c.more[AY_STREAM_LITERAL] = c.col[AY_STREAM_LITERAL];
	c.col[AY_STREAM_LITERAL] = (struct ay_buf){0};
	struct ay_buf b = craft_bytes(&c);
	int fd = bundle_fd(b.data, b.len);
	assert_int_equal(ay_bundle_read(fd, NULL, &sink, false, &err), 0);
	assert_int_equal(s.headers, 1);
	assert_int_equal(s.delta_ends, 1);
	assert_int_equal(s.begun, 2);
	assert_int_equal(s.parts, 2);
	s = (struct shown){.stop_at_begin = -ECANCELED};
	assert_int_equal(ay_bundle_read(fd, NULL, &sink, false, &err), -ECANCELED);
	assert_int_equal(s.begun, 1);
	close(fd);
	ay_buf_release(&b);
	craft_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_bases),
		cmocka_unit_test(test_bases_unknown),
		cmocka_unit_test(test_record_over_two_parts),
		cmocka_unit_test(test_header_rules),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_record_rules),
		cmocka_unit_test(test_operation_rules),
		cmocka_unit_test(test_section_rules),
		cmocka_unit_test(test_section_longer_than_the_bundle),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_without_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
