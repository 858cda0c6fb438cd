/* SPDX-License-Identifier: MIT */
/*
 * diff/reader_parts.c - the bundle around its records: header, manifest delta, one part after the other.
 */
#include "diff/reader.h"

#include <errno.h>
#include <string.h>

#include "diff/encoders.h"
#include "manifest/release.h"

/* Does the header make sense, and ask for no more than is allowed? */
static int limits_check(struct ay__reader *r, const struct ay_bundle_limits *limits)
{
	const struct ay_bundle_header *h = &r->header;

	if (h->part_limit < AY_BUNDLE_PART_MIN || h->part_limit > AY_BUNDLE_PART_MAX)
		return ay_err_set(r->err, AY_EFORMAT, "part limit %u is not within %u and %u", h->part_limit,
				  AY_BUNDLE_PART_MIN, AY_BUNDLE_PART_MAX);
	uint64_t memory = limits->memory ? limits->memory : ay_bundle_memory(AY_BUNDLE_PART_DEFAULT);
	uint64_t parts = ay_bundle_memory(h->part_limit);
	if (parts > memory)
		return ay_err_set(r->err, AY_ELIMIT,
				  "parts of %u bytes need %llu bytes of memory, %llu are allowed",
				  h->part_limit, (unsigned long long)parts, (unsigned long long)memory);
	if (h->extra_memory > memory - parts)
		return ay_err_set(
			r->err, AY_ELIMIT,
			"records need %llu bytes of memory besides the %llu for the parts, %llu are "
			"allowed in all",
			(unsigned long long)h->extra_memory, (unsigned long long)parts,
			(unsigned long long)memory);
	uint64_t scratch = limits->scratch_size ? limits->scratch_size : AY_BUNDLE_SCRATCH_MAX;
	if (h->scratch_size > scratch)
		return ay_err_set(r->err, AY_ELIMIT,
				  "a temporary file of %llu bytes is over the limit of %llu",
				  (unsigned long long)h->scratch_size, (unsigned long long)scratch);
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
	return 0;
}

/* The header's bytes to @raw: of a version that is known, and undamaged. */
static int header_raw(struct ay__reader *r, uint8_t raw[AY_BUNDLE_HEADER_SIZE], size_t *len)
{
	uint8_t check[AY_BUNDLE_CHECK_SIZE];

	if (r->size < AY_BUNDLE_HEADER_V1)
		return ay_err_set(r->err, AY_EFORMAT, "%llu bytes are too few for a bundle's header",
				  (unsigned long long)r->size);
	int rc = ay__pread_all(r->fd, raw, AY_BUNDLE_HEADER_V1, 0, AY_EFORMAT, r->err);
	if (rc)
		return rc;
	if (memcmp(raw, AY_BUNDLE_MAGIC, AY_BUNDLE_MAGIC_LEN) != 0)
		return ay_err_set(r->err, AY_EFORMAT, "this is no bundle: it does not begin with \"AyniBn\"");
	unsigned version = raw[AY_BUNDLE_MAGIC_LEN];
	if (version < 1 || version > AY_BUNDLE_VERSION)
		return ay_err_set(r->err, AY_EVERSION,
				  "version %u of the bundle format is unknown to this version of ayni",
				  version);
	*len = ay_bundle_header_size(version);
	if (r->size < *len)
		return ay_err_set(r->err, AY_EFORMAT, "%llu bytes are too few for a bundle's header",
				  (unsigned long long)r->size);
	rc = ay__pread_all(r->fd, raw, *len, 0, AY_EFORMAT, r->err);
	if (rc)
		return rc;
	ay__check(raw, *len - sizeof(check), check);
	if (memcmp(check, raw + *len - sizeof(check), sizeof(check)) != 0)
		return ay_err_set(r->err, AY_EFORMAT, "the header's check does not fit: damaged");
	return 0;
}

int ay__reader_header(struct ay__reader *r, const struct ay_bundle_limits *limits)
{
	uint8_t raw[AY_BUNDLE_HEADER_SIZE];
	struct ay_bundle_header *h = &r->header;
	struct ay_cursor c;
	size_t len = 0;
	bool zeros;
	int rc = header_raw(r, raw, &len);

	if (rc)
		return rc;
	ay_cursor_init(&c, raw + 8, len - 8);
	ay_get_copy(&c, h->from.b, AY_DIGEST_LEN);
	ay_get_copy(&c, h->to.b, AY_DIGEST_LEN);
	h->delta_size = ay_get_u64(&c);
	h->unpacked_size = ay_get_u64(&c);
	h->n_records = ay_get_u32(&c);
	h->n_parts = ay_get_u32(&c);
	h->part_limit = ay_get_u32(&c);
	h->flags = ay_get_u32(&c);
	zeros = (h->flags & ~(len > AY_BUNDLE_HEADER_V1 ? AY_BUNDLE_TARGETS | AY_BUNDLE_BASES : 0u)) == 0;
	if (len > AY_BUNDLE_HEADER_V1) {
		h->extra_memory = ay_get_u64(&c);
		h->scratch_size = ay_get_u64(&c);
		h->encoders = ay_get_u32(&c);
		h->map_size = ay_get_u32(&c);
		zeros &= ay_get_u64(&c) == 0;
	}
	if (!zeros)
		return ay_err_set(r->err, AY_EUNSUPPORTED,
				  "the header has flags unknown to this version of ayni");
	rc = limits_check(r, limits);
	if (rc)
		return rc;
	if (r->records && h->encoders && !limits->look_only) {
		rc = ay_encoders_check(h->encoders, r->err);
		if (rc)
			return rc;
	}
	r->at = len;
	return r->sink->header ? r->sink->header(r->sink->ctx, h, r->err) : 0;
}

static int section_next(struct ay__reader *r, enum ay_section_kind kind, uint32_t wanted)
{
	int rc = ay__section_read(r->fd, r->at, r->size, kind, r->header.part_limit, wanted, &r->section,
				  r->err);

	if (rc == 0)
		r->at = r->section.end;
	return rc;
}

/* The contents that the delta names, for the records to refer to; what they take of the declared memory is theirs. */
static int targets_feed(struct ay__reader *r)
{
	if (!(r->header.flags & AY_BUNDLE_TARGETS))
		return 0;
	if (ay__targets_feed(&r->targets, r->section.delta.data, r->section.delta.len))
		return ay_err_errno(r->err, ENOMEM, "manifest delta");
	if (ay__targets_memory(r->targets.n) > r->header.extra_memory)
		return ay_err_set(r->err, AY_EFORMAT,
				  "the manifest delta's files need more memory than the header declares");
	return 0;
}

int ay__reader_delta(struct ay__reader *r)
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
		rc = targets_feed(r);
		if (rc)
			return rc;
		const struct ay__stream_sizes *s = &r->section.stream[0];
		if (r->sink->stream && (rc = r->sink->stream(r->sink->ctx, 0, AY_STREAM_DELTA, s->codec,
							     s->packed, s->unpacked, r->err)) != 0)
			return rc;
		if (r->sink->delta) {
			rc = r->sink->delta(r->sink->ctx, r->section.delta.data, want, r->err);
			if (rc)
				return rc;
		}
	}
	r->header.extra_memory -= ay__targets_memory(r->targets.n);
	return 0;
}

int ay__reader_map(struct ay__reader *r)
{
	struct ay_cursor c;
	uint64_t offset = r->at;

	if (r->header.map_size == 0)
		return 0;
	const uint64_t needs = ay__btf_map_memory(r->header.map_size);
	if (r->header.extra_memory < needs)
		return ay_err_set(r->err, AY_EFORMAT,
				  "a map needs %llu bytes of memory, which the header does not declare",
				  (unsigned long long)needs);
	int rc = section_next(r, AY_SECTION_MAP, 0);
	if (rc == 0) {
		ay_cursor_init(&c, r->section.delta.data, r->section.delta.len);
		rc = r->section.delta.len == r->header.map_size ? ay__btf_map_get(&c, &r->map) : AY_EFORMAT;
		if (rc == 0 && !ay_cursor_done(&c))
			rc = AY_EFORMAT;
		if (rc)
			ay_err_set(r->err, rc, "rows that make no sense, at byte %zu of it",
				   ay_cursor_offset(&c));
	}
	return rc ? ay_err_wrap(r->err, rc, "map, offset %llu", (unsigned long long)offset) : 0;
}

int ay__reader_part_done(struct ay__reader *r)
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

void ay__reader_account(struct ay__reader *r)
{
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		const struct ay__stream_sizes *s = &r->section.stream[i];
		size_t at = ay_cursor_offset(&r->section.col[i]);

		if (s->unpacked > 0)
			r->cost += (double)(at - r->told[i]) * s->packed / s->unpacked;
		r->told[i] = at;
	}
}

/* Tell what the part has. */
static int part_tell(struct ay__reader *r)
{
	const struct ay_bundle_sink *sink = r->sink;
	uint32_t part = r->next_part - 1;
	int rc = 0;

	if (sink->part)
		rc = sink->part(sink->ctx, part, r->section.packed, r->section.unpacked, r->err);
	for (unsigned i = 0; rc == 0 && sink->stream && i < AY_STREAMS; i++) {
		const struct ay__stream_sizes *s = &r->section.stream[i];

		if (s->unpacked > 0)
			rc = sink->stream(sink->ctx, part, i, s->codec, s->packed, s->unpacked, r->err);
	}
	return rc;
}

int ay__reader_place(struct ay__reader *r, uint32_t record)
{
	const struct ay_bundle_place p = {.part = r->next_part,
					  .at = r->at,
					  .record = record,
					  .sizes = r->sizes,
					  .work = r->work,
					  .inside = r->inside,
					  .r = r->r,
					  .done = r->done,
					  .last_old = r->last_old};

	if (!r->records || !r->sink->place || (r->inside && (r->r.method == AY_METHOD_ELF || r->r.filters)))
		return 0;
	return ay__output_place(&r->out, &p);
}

static int part_get(struct ay__reader *r, uint32_t wanted)
{
	int rc = r->ahead ? ay__ahead_take(r->ahead, r->at, &r->section, r->err) : 1;

	if (rc == 1)
		return section_next(r, AY_SECTION_PART, wanted);
	if (rc == 0)
		r->at = r->section.end;
	return rc;
}

int ay__reader_part_next(struct ay__reader *r)
{
	uint32_t wanted = r->records ? AY__STREAMS_ALL : 1u << AY_STREAM_RECORD | 1u << AY_STREAM_DIGEST;
	uint64_t offset = r->at;

	if (r->here)
		return ay_err_set(r->err, AY_EFORMAT, "part %u ends before the record does",
				  r->next_part - 1);
	int rc = ay__reader_part_done(r);
	ay__reader_account(r);
	memset(r->told, 0, sizeof(r->told));
	if (rc == 0 && r->next_part == r->header.n_parts)
		rc = ay_err_set(r->err, AY_EFORMAT, "the last part ends before its records do");
	if (rc == 0 && r->next_part > r->first_part)
		rc = ay__reader_place(r, r->inside ? r->r.index : r->index);
	if (rc == 0)
		rc = part_get(r, wanted);
	if (rc)
		return ay_err_wrap(r->err, rc, "part %u, offset %llu", r->next_part,
				   (unsigned long long)offset);
	r->next_target = r->next_base = 0;
	r->next_part++;
	if (r->ahead && r->next_part < r->header.n_parts)
		ay__ahead_start(r->ahead, r->at);
	return part_tell(r);
}

int ay__reader_part_for(struct ay__reader *r, enum ay_stream stream)
{
	int rc = 0;

	while (rc == 0 && ay_cursor_left(&r->section.col[stream]) == 0)
		rc = ay__reader_part_next(r);
	return rc;
}

int ay__reader_bad(struct ay__reader *r, enum ay_stream stream, const char *what)
{
	return ay_err_set(r->err, AY_EFORMAT, "part %u, stream %s, byte %zu: %s", r->next_part - 1,
			  ay_stream_name(stream), ay_cursor_offset(ay__reader_col(r, stream)), what);
}

int ay__reader_number(struct ay__reader *r, enum ay_stream stream, uint64_t *v)
{
	*v = ay_get_varint(ay__reader_col(r, stream));
	return ay__reader_col(r, stream)->failed ? ay__reader_bad(r, stream, "no number here") : 0;
}
