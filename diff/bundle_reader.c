/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_reader.c - a bundle, read in one pass (step 4 on the data's way; before: proto/swarm, which
 * collected its blocks; after: store/tree, which links the objects that come out).
 *
 * The bundle's digest was signed, but its maker may be broken or hostile all the same: nothing here trusts a
 * number. Output is bounded by the record sizes, whose sum the header states and the offer signs; memory by the part
 * limit; and no file counts before its own digest was found right.
 */
#include "diff/several.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The record's head is there: is it wanted, and if so, its bytes. */
static int record_rest(struct ay__reader *r)
{
	char hex[AY_DIGEST_HEX + 1];
	int rc;

	r->skip = false;
	r->cost = 0;
	if (r->sink->begin) {
		rc = r->sink->begin(r->sink->ctx, &r->r, &r->skip, r->err);
		if (rc)
			return rc;
	}
	if (r->skip)
		r->out.again = NULL; /* it is there to its end */
	r->index = r->r.index + 1;
	if (!r->records)
		return 0;
	rc = ay__several_record(r);
	if (rc <= 0) {
		ay__reader_account(r);
		return rc;
	}
	rc = ay__reader_bytes(r);
	ay__reader_account(r);
	if (rc == 0 && r->sink->cost)
		return r->sink->cost(r->sink->ctx, &r->r, r->cost, r->err);
	return rc ? ay_err_wrap(r->err, rc, "record %u (%.12s...)", r->r.index,
				ay_digest_hex(&r->r.target, hex))
		  : 0;
}

static int record_read(struct ay__reader *r)
{
	uint32_t index = r->index;

	int rc = ay_cursor_left(ay__reader_col(r, AY_STREAM_RECORD)) ? 0 : ay__several_finish(r);
	if (rc)
		return rc;
	rc = ay__reader_part_for(r, AY_STREAM_RECORD);
	r->r = (struct ay_bundle_record){.index = index};
	r->done = r->last_old = 0;
	if (rc == 0)
		rc = ay__reader_head(r);
	return rc ? ay_err_wrap(r->err, rc, "record %u", index) : record_rest(r);
}

/* Go on where another reader stood. */
static int go_on(struct ay__reader *r, const struct ay_bundle_place *p, int fd)
{
	const struct ay_bundle_header *h = &r->header;

	if (p->part > h->n_parts || p->at < r->at || p->at > r->size || p->record > h->n_records ||
	    p->sizes > h->unpacked_size || p->work > ay__work_max(h->unpacked_size))
		return ay_err_set(r->err, AY_EFORMAT, "the place to go on from is not in this bundle");
	r->next_part = r->first_part = p->part;
	r->at = p->at;
	r->sizes = p->sizes;
	r->work = p->work;
	r->index = p->record;
	if (!p->inside)
		return 0;
	if (p->record == h->n_records || p->r.index != p->record || p->r.method > AY_METHOD_BSDIFF ||
	    p->r.filters || p->r.n_bases != (p->r.method == AY_METHOD_BSDIFF) || p->r.size > p->sizes ||
	    p->done > p->r.size || p->r.base_sizes[0] >> 62)
		return ay_err_set(r->err, AY_EFORMAT, "the record to go on with makes no sense");
	r->r = p->r;
	r->done = p->done;
	r->last_old = p->last_old;
	r->out.again = p;
	r->out.again_fd = fd;
	return record_rest(r);
}

static int records_read(struct ay__reader *r)
{
	while (r->index < r->header.n_records) {
		int rc = record_read(r);

		if (rc)
			return rc;
	}
	int several = ay__several_finish(r);
	if (several)
		return several;
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
	return ay__reader_place(r, r->index);
}

/* Threads are for speed: what they take must be there besides what the header declares. */
static bool threads_fit(const struct ay_bundle_limits *l, const struct ay_bundle_header *h)
{
	const uint64_t declared = ay_bundle_memory(h->part_limit) + h->extra_memory;

	return l->threads && (l->memory_here == 0 || (l->memory_here >= AY_BUNDLE_THREADS_MEMORY &&
						      declared <= l->memory_here - AY_BUNDLE_THREADS_MEMORY));
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
	limits = limits ? limits : &no_limits;
	rc = ay__reader_header(&r, limits);
	const bool threads = rc == 0 && threads_fit(limits, &r.header);
	if (rc == 0 && records)
		rc = ay__output_init(&r.out, sink, threads, err);
	if (rc == 0)
		rc = ay__reader_delta(&r);
	if (rc == 0)
		rc = ay__reader_map(&r);
	if (rc == 0 && records && threads && r.header.part_limit <= AY_BUNDLE_PART_DEFAULT)
		r.ahead = ay__ahead_new(fd, r.size, r.header.part_limit);
	/* While the sink does with the delta whatever it has to. */
	if (r.ahead && r.header.n_parts > 0)
		ay__ahead_start(r.ahead, limits->from ? limits->from->at : r.at);
	if (rc == 0 && sink->delta_end)
		rc = sink->delta_end(sink->ctx, err);
	if (rc == 0 && limits->from)
		rc = go_on(&r, limits->from, limits->from_fd);
	if (rc == 0)
		rc = records_read(&r);
	rc = ay__several_end(&r, rc);
	ay__ahead_free(r.ahead);
	ay__section_release(&r.section);
	ay__btf_map_release(&r.map);
	ay__targets_release(&r.targets);
	ay__view_release(&r.base);
	ay__view_release(&r.file);
	ay_buf_release(&r.recipe);
	free(r.unpacked);
	return records ? ay__output_release(&r.out, rc, err) : rc;
}
