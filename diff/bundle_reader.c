/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_reader.c - a bundle, read in one pass (step 4 on the data's way; before: proto/swarm, which
 * collected its blocks; after: store/tree, which links the objects that come out).
 *
 * The bundle's digest was signed, but its maker may be broken or hostile all the same: nothing here trusts a
 * number. Output is bounded by the record sizes, whose sum the header states and the offer signs; memory by the part
 * limit; and no file counts before its own digest was found right.
 */
#include "diff/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int record_read(struct ay__reader *r, uint32_t index)
{
	char hex[AY_DIGEST_HEX + 1];

	r->r = (struct ay_bundle_record){.index = index};
	r->skip = false;
	r->cost = 0;
	int rc = ay__reader_part_for(r, AY_STREAM_RECORD);
	if (rc == 0)
		rc = ay__reader_head(r);
	if (rc)
		return ay_err_wrap(r->err, rc, "record %u", index);
	if (r->sink->begin) {
		rc = r->sink->begin(r->sink->ctx, &r->r, &r->skip, r->err);
		if (rc)
			return rc;
	}
	if (!r->records)
		return 0;
	rc = ay__reader_bytes(r);
	ay__reader_account(r);
	if (rc == 0 && r->sink->cost)
		return r->sink->cost(r->sink->ctx, &r->r, r->cost, r->err);
	return rc ? ay_err_wrap(r->err, rc, "record %u (%.12s...)", index, ay_digest_hex(&r->r.target, hex))
		  : 0;
}

static int records_read(struct ay__reader *r)
{
	for (uint32_t i = 0; i < r->header.n_records; i++) {
		int rc = record_read(r, i);

		if (rc)
			return rc;
	}
	/* Without the records' bytes, parts that only hold such bytes come last. */
	while (!r->records && r->next_part < r->header.n_parts) {
		int rc = ay__reader_part_next(r);

		if (rc)
			return rc;
	}
	int rc = ay__reader_part_done(r);
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
	struct ay__reader r = {.fd = fd, .sink = sink, .records = records, .err = err};
	struct stat st;
	int rc = 0;

	if (fstat(fd, &st))
		return ay_err_errno(err, errno, "bundle");
	r.size = (uint64_t)st.st_size;
	if (records)
		rc = ay__output_init(&r.out, sink, err);
	if (rc == 0)
		rc = ay__reader_header(&r, limits ? limits : &no_limits);
	if (rc == 0)
		rc = ay__reader_delta(&r);
	if (rc == 0)
		rc = ay__reader_map(&r);
	if (rc == 0)
		rc = records_read(&r);
	ay__section_release(&r.section);
	ay__btf_map_release(&r.map);
	ay__targets_release(&r.targets);
	ay__output_release(&r.out);
	ay__view_release(&r.base);
	ay__view_release(&r.file);
	ay_buf_release(&r.recipe);
	free(r.unpacked);
	return rc;
}
