/* SPDX-License-Identifier: MIT */
/*
 * The reader against bundles made by hand: each rule of the format is broken once, with checks that fit, so that
 * nothing but the rule itself can refuse. Damage of real bundles is in test_damage.c.
 */
#include "tests/unit/diff/craft.h"

#include <stdio.h>

#include "diff/section.h"

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
		cmocka_unit_test(test_good),          cmocka_unit_test(test_record_over_two_parts),
		cmocka_unit_test(test_header_rules),  cmocka_unit_test(test_map),
		cmocka_unit_test(test_record_rules),  cmocka_unit_test(test_operation_rules),
		cmocka_unit_test(test_section_rules), cmocka_unit_test(test_section_longer_than_the_bundle),
		cmocka_unit_test(test_limits),        cmocka_unit_test(test_without_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
