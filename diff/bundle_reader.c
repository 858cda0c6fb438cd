/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_reader.c - a bundle, read in one pass (step 4 on the data's way; before: proto/swarm, which
 * collected its blocks; after: store/tree, which links the objects that come out).
 *
 * The bundle's digest was signed, but its maker may be broken or hostile all the same: nothing here trusts a
 * number. Output is bounded by the record sizes, whose sum the header states and the offer signs; memory by the part
 * limit; and no file counts before its own digest was found right. Bases are read by pread, never mapped: a file
 * that shrinks under a map would kill the process.
 */
#include "diff/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/section.h"
#include "manifest/release.h"

#define OUT_SIZE   (256u << 10) /* bytes given to the sink at once, mostly */
#define DIRECT_MIN (64u << 10)  /* literals of that many bytes are given as they lie */
#define BASE_SIZE  (256u << 10) /* bytes of the base kept; most files fit whole */

struct reader {
	int fd;
	uint64_t size, at;
	struct ay_bundle_header header;
	const struct ay_bundle_sink *sink;
	bool records;
	struct ay__section section;
	uint32_t next_part;
	uint64_t sizes; /* of the records so far */
	/* the sequence of differences: what is left of the pair in hand */
	uint64_t zeros, literals;
	/* the record in hand */
	struct ay_bundle_record r;
	bool skip;
	uint64_t done; /* bytes of it written */
	uint64_t last_old;
	int base_fd;
	uint8_t *base;
	uint64_t base_at, base_len;
	uint8_t *out;
	size_t out_len;
	struct ay_hasher *hasher;
	struct ay_err *err;
};

/* ---- header, delta, parts ---- */

static int header_parse(struct reader *r, const struct ay_bundle_limits *limits)
{
	uint8_t raw[AY_BUNDLE_HEADER_SIZE], check[AY_BUNDLE_CHECK_SIZE];
	struct ay_bundle_header *h = &r->header;
	struct ay_cursor c;

	if (r->size < sizeof(raw))
		return ay_err_set(r->err, AY_EFORMAT, "%llu bytes are too few for a bundle's header",
				  (unsigned long long)r->size);
	int rc = ay__pread_all(r->fd, raw, sizeof(raw), 0, AY_EFORMAT, r->err);
	if (rc)
		return rc;
	if (memcmp(raw, AY_BUNDLE_MAGIC, AY_BUNDLE_MAGIC_LEN) != 0)
		return ay_err_set(r->err, AY_EFORMAT, "this is no bundle: it does not begin with \"AyniBn\"");
	if (raw[AY_BUNDLE_MAGIC_LEN] != AY_BUNDLE_VERSION)
		return ay_err_set(r->err, AY_EVERSION,
				  "version %u of the bundle format is unknown to this version of ayni",
				  raw[AY_BUNDLE_MAGIC_LEN]);
	ay__check(raw, sizeof(raw) - sizeof(check), check);
	if (memcmp(check, raw + sizeof(raw) - sizeof(check), sizeof(check)) != 0)
		return ay_err_set(r->err, AY_EFORMAT, "the header's check does not fit: damaged");
	ay_cursor_init(&c, raw + 8, sizeof(raw) - 8);
	ay_get_copy(&c, h->from.b, AY_DIGEST_LEN);
	ay_get_copy(&c, h->to.b, AY_DIGEST_LEN);
	h->delta_size = ay_get_u64(&c);
	h->unpacked_size = ay_get_u64(&c);
	h->n_records = ay_get_u32(&c);
	h->n_parts = ay_get_u32(&c);
	h->part_limit = ay_get_u32(&c);
	if (ay_get_u32(&c) != 0)
		return ay_err_set(r->err, AY_EUNSUPPORTED,
				  "the header has flags unknown to this version of ayni");
	if (h->part_limit < AY_BUNDLE_PART_MIN || h->part_limit > AY_BUNDLE_PART_MAX)
		return ay_err_set(r->err, AY_EFORMAT, "part limit %u is not within %u and %u", h->part_limit,
				  AY_BUNDLE_PART_MIN, AY_BUNDLE_PART_MAX);
	uint64_t memory = limits->memory ? limits->memory : ay_bundle_memory(AY_BUNDLE_PART_DEFAULT);
	if (ay_bundle_memory(h->part_limit) > memory)
		return ay_err_set(r->err, AY_ELIMIT,
				  "parts of %u bytes need %llu bytes of memory, %llu are allowed",
				  h->part_limit, (unsigned long long)ay_bundle_memory(h->part_limit),
				  (unsigned long long)memory);
	uint64_t delta_max = limits->delta_size ? limits->delta_size : AY_MANIFEST_SIZE_MAX;
	if (h->delta_size > delta_max)
		return ay_err_set(r->err, AY_ELIMIT,
				  "a manifest delta of %llu bytes is over the limit of %llu",
				  (unsigned long long)h->delta_size, (unsigned long long)delta_max);
	if (h->n_records > AY_BUNDLE_RECORDS_MAX)
		return ay_err_set(r->err, AY_ELIMIT, "%u records are over the limit of %u", h->n_records,
				  AY_BUNDLE_RECORDS_MAX);
	if (limits->unpacked_size && h->unpacked_size != limits->unpacked_size)
		return ay_err_set(r->err, AY_EFORMAT, "unpacks to %llu bytes, but the offer says %llu",
				  (unsigned long long)h->unpacked_size,
				  (unsigned long long)limits->unpacked_size);
	r->at = sizeof(raw);
	return r->sink->header ? r->sink->header(r->sink->ctx, h, r->err) : 0;
}

static int section_next(struct reader *r, enum ay_section_kind kind, uint32_t wanted)
{
	int rc = ay__section_read(r->fd, r->at, r->size, kind, r->header.part_limit, wanted, &r->section,
				  r->err);

	if (rc == 0)
		r->at = r->section.end;
	return rc;
}

static int delta_read(struct reader *r)
{
	for (uint64_t left = r->header.delta_size; left > 0;) {
		uint64_t offset = r->at;
		size_t want = left < r->header.part_limit ? (size_t)left : r->header.part_limit;
		int rc = section_next(r, AY_SECTION_DELTA, 0);

		if (rc == 0 && r->section.delta.len != want)
			rc = ay_err_set(r->err, AY_EFORMAT, "%zu bytes of manifest delta instead of %zu",
					r->section.delta.len, want);
		if (rc)
			return ay_err_wrap(r->err, rc, "manifest delta, offset %llu",
					   (unsigned long long)offset);
		left -= want;
		if (r->sink->delta) {
			rc = r->sink->delta(r->sink->ctx, r->section.delta.data, want, r->err);
			if (rc)
				return rc;
		}
	}
	return r->sink->delta_end ? r->sink->delta_end(r->sink->ctx, r->err) : 0;
}

static struct ay_cursor *col(struct reader *r, enum ay_stream stream)
{
	return &r->section.col[stream];
}

/* The part in hand must be used up to the last byte. */
static int part_done(struct reader *r)
{
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		if (!ay_cursor_done(&r->section.col[i]))
			return ay_err_set(r->err, AY_EFORMAT, "%zu bytes are left over in stream %s",
					  ay_cursor_left(&r->section.col[i]), ay_stream_name(i));
	}
	if (r->zeros || r->literals)
		return ay_err_set(r->err, AY_EFORMAT,
				  "the sequence of differences goes on behind its last copy");
	return 0;
}

static int part_next(struct reader *r)
{
	uint32_t wanted = r->records ? AY__STREAMS_ALL : 1u << AY_STREAM_RECORD | 1u << AY_STREAM_DIGEST;
	uint64_t offset = r->at;
	int rc = part_done(r);

	if (rc == 0 && r->next_part == r->header.n_parts)
		rc = ay_err_set(r->err, AY_EFORMAT, "the last part ends before its records do");
	if (rc == 0)
		rc = section_next(r, AY_SECTION_PART, wanted);
	if (rc)
		return ay_err_wrap(r->err, rc, "part %u, offset %llu", r->next_part,
				   (unsigned long long)offset);
	r->next_part++;
	return r->sink->part ? r->sink->part(r->sink->ctx, r->next_part - 1, r->section.packed,
					     r->section.unpacked, r->err)
			     : 0;
}

/*
 * Make sure that @stream, from which the next unit begins, has bytes. A part without them but with others is refused
 * when it is left; only where the record table alone is read are such parts passed over.
 */
static int part_for(struct reader *r, enum ay_stream stream)
{
	int rc = 0;

	while (rc == 0 && ay_cursor_left(col(r, stream)) == 0)
		rc = part_next(r);
	return rc;
}

/* ---- one record ---- */

static int bad(struct reader *r, enum ay_stream stream, const char *what)
{
	return ay_err_set(r->err, AY_EFORMAT, "part %u, stream %s, byte %zu: %s", r->next_part - 1,
			  ay_stream_name(stream), ay_cursor_offset(col(r, stream)), what);
}

static int number(struct reader *r, enum ay_stream stream, uint64_t *v)
{
	*v = ay_get_varint(col(r, stream));
	return col(r, stream)->failed ? bad(r, stream, "no number here") : 0;
}

static int head_digests(struct reader *r)
{
	struct ay_cursor *digests = col(r, AY_STREAM_DIGEST);

	ay_get_copy(digests, r->r.target.b, AY_DIGEST_LEN);
	for (unsigned i = 0; i < r->r.n_bases; i++)
		ay_get_copy(digests, r->r.bases[i].b, AY_DIGEST_LEN);
	return digests->failed ? bad(r, AY_STREAM_DIGEST, "no digest here") : 0;
}

static int head_read(struct reader *r)
{
	struct ay_cursor *c = col(r, AY_STREAM_RECORD);
	unsigned method = ay_get_u8(c), n_bases = ay_get_u8(c), n_filters = ay_get_u8(c);
	uint64_t id = 0, v;
	int rc;

	if (c->failed)
		return bad(r, AY_STREAM_RECORD, "the record's head is cut short");
	if (method != AY_METHOD_LITERAL && method != AY_METHOD_BSDIFF)
		return ay_err_set(r->err, AY_EUNSUPPORTED, "method %u is unknown to this version of ayni",
				  method);
	if (n_filters > 0) {
		rc = number(r, AY_STREAM_RECORD, &id);
		return rc ? rc
			  : ay_err_set(r->err, AY_EUNSUPPORTED,
				       "filter %llu is unknown to this version of ayni",
				       (unsigned long long)id);
	}
	if (n_bases > AY_BUNDLE_BASES_MAX || (method == AY_METHOD_LITERAL) != (n_bases == 0))
		return bad(r, AY_STREAM_RECORD, "the number of bases does not fit the method");
	if (n_bases > 1)
		return ay_err_set(r->err, AY_EUNSUPPORTED, "%u bases: this version of ayni knows one",
				  n_bases);
	r->r.method = (enum ay_bundle_method)method;
	r->r.n_bases = n_bases;
	rc = number(r, AY_STREAM_RECORD, &r->r.size);
	for (unsigned i = 0; rc == 0 && i < n_bases; i++) {
		rc = number(r, AY_STREAM_RECORD, &v);
		/* Sizes stay below 2^62, so that no sum of a few of them wraps. */
		r->r.base_sizes[i] = r->r.size + (uint64_t)ay_unzigzag(v);
		if (rc == 0 && r->r.base_sizes[i] >> 62)
			rc = bad(r, AY_STREAM_RECORD, "the base's size makes no sense");
	}
	if (rc == 0 && r->r.size > r->header.unpacked_size - r->sizes)
		rc = bad(r, AY_STREAM_RECORD, "the records' sizes are more than the header says");
	if (rc)
		return rc;
	r->sizes += r->r.size;
	return head_digests(r);
}

static int out_flush(struct reader *r)
{
	size_t len = r->out_len;

	r->out_len = 0;
	if (len == 0)
		return 0;
	ay_hasher_update(r->hasher, r->out, len);
	return r->sink->data(r->sink->ctx, &r->r, r->out, len, r->err);
}

/* @n bytes of the base to @dst, of which the caller knows that they are inside the size it should have. */
static int base_read(struct reader *r, uint64_t at, uint8_t *dst, size_t n)
{
	while (n > 0) {
		if (at < r->base_at || at >= r->base_at + r->base_len) {
			uint64_t size = r->r.base_sizes[0];

			r->base_at = size <= BASE_SIZE ? 0 : at / 4096 * 4096;
			r->base_len = 0;
			size_t len = size - r->base_at < BASE_SIZE ? (size_t)(size - r->base_at) : BASE_SIZE;
			int rc = ay__pread_all(r->base_fd, r->base, len, r->base_at, AY_EBASE, r->err);
			if (rc)
				return ay_err_wrap(r->err, rc, "base");
			r->base_len = len;
		}
		uint64_t have = r->base_at + r->base_len - at;
		size_t step = have < n ? (size_t)have : n;
		memcpy(dst, r->base + (at - r->base_at), step);
		dst += step;
		at += step;
		n -= step;
	}
	return 0;
}

/* Add the sequence's next @n differences to @dst, which may be NULL (the record is skipped). */
static int differences(struct reader *r, uint8_t *dst, size_t n)
{
	while (n > 0) {
		if (r->zeros == 0 && r->literals == 0) {
			int rc = number(r, AY_STREAM_ZERO_RUN, &r->zeros);

			if (rc == 0)
				rc = number(r, AY_STREAM_DIFF_RUN, &r->literals);
			if (rc)
				return rc;
			if (r->zeros == 0 && r->literals == 0)
				return bad(r, AY_STREAM_ZERO_RUN, "a pair that stands for nothing");
		}
		size_t step = r->zeros < n ? (size_t)r->zeros : n;
		r->zeros -= step;
		n -= step;
		if (dst)
			dst += step;
		step = r->zeros ? 0 : r->literals < n ? (size_t)r->literals : n;
		const uint8_t *add = ay_get_bytes(col(r, AY_STREAM_DIFF), step);
		if (!add)
			return bad(r, AY_STREAM_DIFF, "fewer differences than the runs say");
		for (size_t i = 0; dst && i < step; i++)
			dst[i] = (uint8_t)(dst[i] + add[i]);
		r->literals -= step;
		n -= step;
		if (dst)
			dst += step;
	}
	return 0;
}

static int copy_bytes(struct reader *r, uint64_t from, uint64_t len)
{
	while (len > 0) {
		size_t room = OUT_SIZE - r->out_len, n = len < room ? (size_t)len : room;
		uint8_t *dst = r->skip ? NULL : r->out + r->out_len;
		int rc = r->skip ? 0 : base_read(r, from, dst, n);

		if (rc == 0)
			rc = differences(r, dst, n);
		if (rc)
			return rc;
		from += n;
		len -= n;
		if (!r->skip) {
			r->out_len += n;
			if (r->out_len == OUT_SIZE && (rc = out_flush(r)) != 0)
				return rc;
		}
	}
	return 0;
}

static int literal_bytes(struct reader *r, uint64_t len)
{
	/* Bytes of one operation lie in one part, so that @len fits where @bytes is not NULL. */
	const uint8_t *bytes = len <= SIZE_MAX ? ay_get_bytes(col(r, AY_STREAM_LITERAL), (size_t)len) : NULL;

	if (!bytes)
		return bad(r, AY_STREAM_LITERAL, "fewer bytes than the operation says");
	if (r->skip)
		return 0;
	if (len >= DIRECT_MIN) {
		int rc = out_flush(r);

		if (rc)
			return rc;
		ay_hasher_update(r->hasher, bytes, (size_t)len);
		return r->sink->data(r->sink->ctx, &r->r, bytes, (size_t)len, r->err);
	}
	while (len > 0) {
		size_t room = OUT_SIZE - r->out_len, n = len < room ? (size_t)len : room;

		memcpy(r->out + r->out_len, bytes, n);
		r->out_len += n;
		bytes += n;
		len -= n;
		if (r->out_len == OUT_SIZE) {
			int rc = out_flush(r);

			if (rc)
				return rc;
		}
	}
	return 0;
}

static int operation(struct reader *r)
{
	uint64_t diff = 0, extra = 0, seek = 0, left = r->r.size - r->done;
	int rc = 0;

	if (r->r.method == AY_METHOD_BSDIFF)
		rc = number(r, AY_STREAM_DIFF_LEN, &diff);
	if (rc == 0)
		rc = number(r, AY_STREAM_EXTRA_LEN, &extra);
	if (rc)
		return rc;
	if (diff == 0 && extra == 0)
		return bad(r, AY_STREAM_EXTRA_LEN, "an operation that does nothing");
	if (diff > left || extra > left - diff)
		return bad(r, AY_STREAM_EXTRA_LEN, "an operation goes on behind the record's end");
	if (diff > 0) {
		uint64_t base_size = r->r.base_sizes[0], from;

		rc = number(r, AY_STREAM_SEEK, &seek);
		from = r->last_old + (uint64_t)ay_unzigzag(seek);
		if (rc == 0 && (from > base_size || diff > base_size - from))
			rc = bad(r, AY_STREAM_SEEK, "a copy from outside the base");
		if (rc == 0)
			rc = copy_bytes(r, from, diff);
		r->last_old = from + diff;
	}
	if (rc == 0 && extra > 0)
		rc = literal_bytes(r, extra);
	r->done += diff + extra;
	return rc;
}

static int base_open(struct reader *r)
{
	struct stat st;
	int rc = r->sink->base(r->sink->ctx, &r->r, 0, &r->base_fd, r->err);

	if (rc)
		return rc;
	r->base_len = 0;
	if (fstat(r->base_fd, &st))
		return ay_err_errno(r->err, errno, "base");
	if ((uint64_t)st.st_size != r->r.base_sizes[0])
		return ay_err_set(r->err, AY_EBASE, "the base has %llu bytes instead of %llu",
				  (unsigned long long)st.st_size, (unsigned long long)r->r.base_sizes[0]);
	return 0;
}

static int record_end(struct reader *r)
{
	struct ay_digest digest;
	int rc = out_flush(r);

	if (rc)
		return rc;
	ay_hasher_final(r->hasher, &digest);
	if (!ay_digest_eq(&digest, &r->r.target)) {
		char hex[AY_DIGEST_HEX + 1];

		return ay_err_set(r->err, AY_EDIGEST, "gave %s: the bundle is wrong, or the base changed",
				  ay_digest_hex(&digest, hex));
	}
	return r->sink->end(r->sink->ctx, &r->r, r->err);
}

/* The record's bytes. Returns a reason that is not yet wrapped. */
static int record_bytes(struct reader *r)
{
	int rc = 0;

	if (!r->skip) {
		ay_hasher_reset(r->hasher);
		if (r->r.n_bases)
			rc = base_open(r);
	}
	while (rc == 0 && r->done < r->r.size) {
		rc = part_for(r, AY_STREAM_EXTRA_LEN);
		if (rc == 0)
			rc = operation(r);
	}
	if (rc == 0 && !r->skip)
		rc = record_end(r);
	if (r->base_fd >= 0)
		close(r->base_fd);
	r->base_fd = -1;
	return rc;
}

static int record_read(struct reader *r, uint32_t index)
{
	char hex[AY_DIGEST_HEX + 1];

	r->r = (struct ay_bundle_record){.index = index};
	r->done = r->last_old = 0;
	r->out_len = 0;
	r->skip = false;
	int rc = part_for(r, AY_STREAM_RECORD);
	if (rc == 0)
		rc = head_read(r);
	if (rc)
		return ay_err_wrap(r->err, rc, "record %u", index);
	if (r->sink->begin) {
		rc = r->sink->begin(r->sink->ctx, &r->r, &r->skip, r->err);
		if (rc)
			return rc;
	}
	if (!r->records)
		return 0;
	rc = record_bytes(r);
	return rc ? ay_err_wrap(r->err, rc, "record %u (%.12s...)", index, ay_digest_hex(&r->r.target, hex))
		  : 0;
}

static int records_read(struct reader *r)
{
	for (uint32_t i = 0; i < r->header.n_records; i++) {
		int rc = record_read(r, i);

		if (rc)
			return rc;
	}
	/* Without the records' bytes, parts that only hold such bytes come last. */
	while (!r->records && r->next_part < r->header.n_parts) {
		int rc = part_next(r);

		if (rc)
			return rc;
	}
	int rc = part_done(r);
	if (rc)
		return ay_err_wrap(r->err, rc, "part %u", r->next_part - 1);
	if (r->next_part != r->header.n_parts)
		return ay_err_set(r->err, AY_EFORMAT, "offset %llu: %u parts are left over",
				  (unsigned long long)r->at, r->header.n_parts - r->next_part);
	if (r->sizes != r->header.unpacked_size)
		return ay_err_set(r->err, AY_EFORMAT, "the records' sizes are less than the header says");
	if (r->at != r->size)
		return ay_err_set(r->err, AY_EFORMAT, "offset %llu: bytes behind the last part",
				  (unsigned long long)r->at);
	return 0;
}

int ay_bundle_read(int fd, const struct ay_bundle_limits *limits, const struct ay_bundle_sink *sink,
		   bool records, struct ay_err *err)
{
	static const struct ay_bundle_limits no_limits;
	struct reader r = {.fd = fd, .sink = sink, .records = records, .base_fd = -1, .err = err};
	struct stat st;
	int rc = 0;

	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "bundle");
	r.size = (uint64_t)st.st_size;
	if (records) {
		r.hasher = ay_hasher_new();
		r.out = malloc(OUT_SIZE);
		r.base = malloc(BASE_SIZE);
		if (!r.hasher || !r.out || !r.base)
			rc = ay_err_errno(err, ENOMEM, "bundle");
	}
	if (rc == 0)
		rc = header_parse(&r, limits ? limits : &no_limits);
	if (rc == 0)
		rc = delta_read(&r);
	if (rc == 0)
		rc = records_read(&r);
	ay__section_release(&r.section);
	ay_hasher_free(r.hasher);
	free(r.out);
	free(r.base);
	return rc;
}
