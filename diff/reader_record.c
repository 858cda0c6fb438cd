/* SPDX-License-Identifier: MIT */
/*
 * diff/reader_record.c - one record: its head, where its base comes from, its bytes by operations, its digest.
 */
#include "diff/reader.h"

/* Which of the manifest delta's contents the record is; @in_column: none, its digest follows. */
static int head_target(struct ay__reader *r, bool *in_column)
{
	uint64_t v = 0;

	*in_column = true;
	if (!(r->header.flags & AY_BUNDLE_TARGETS))
		return 0;
	int rc = ay__reader_number(r, AY_STREAM_RECORD, &v);
	if (rc || v == 0)
		return rc;
	uint64_t index = r->next_target + (uint64_t)ay_unzigzag(v - 1);
	const struct ay_digest *target = ay__targets_get(&r->targets, index);
	if (!target)
		return ay__reader_bad(r, AY_STREAM_RECORD, "a content that the manifest delta does not have");
	r->r.target = *target;
	r->next_target = index + 1;
	*in_column = false;
	return 0;
}

/* Which of the old manifest's contents base @i is; without that manifest only the number is known. */
static int head_base(struct ay__reader *r, unsigned i)
{
	uint64_t v = 0;

	if (!(r->header.flags & AY_BUNDLE_BASES))
		return 0;
	int rc = ay__reader_number(r, AY_STREAM_RECORD, &v);
	if (rc || v == 0)
		return rc;
	uint64_t number = r->next_base + (uint64_t)ay_unzigzag(v - 1);
	if (r->sink->old)
		rc = ay_old_files_get(r->sink->old, number, &r->r.bases[i], r->err);
	/* No manifest has as many, whether it is at hand or not. */
	if (rc == AY_ENOTHING || number >= AY_BUNDLE_OLD_MAX)
		return ay__reader_bad(r, AY_STREAM_RECORD, "a base that the old manifest does not have");
	r->r.base_numbers[i] = number + 1;
	r->next_base = number + 1;
	return rc;
}

static int head_digests(struct ay__reader *r)
{
	struct ay_cursor *digests = ay__reader_col(r, AY_STREAM_DIGEST);
	bool in_column;
	int rc = head_target(r, &in_column);

	for (unsigned i = 0; rc == 0 && i < r->r.n_bases; i++)
		rc = head_base(r, i);
	if (rc)
		return rc;
	if (in_column)
		ay_get_copy(digests, r->r.target.b, AY_DIGEST_LEN);
	for (unsigned i = 0; i < r->r.n_bases; i++) {
		if (r->r.base_numbers[i] == 0)
			ay_get_copy(digests, r->r.bases[i].b, AY_DIGEST_LEN);
	}
	return digests->failed ? ay__reader_bad(r, AY_STREAM_DIGEST, "no digest here") : 0;
}

static int head_filters(struct ay__reader *r, unsigned n)
{
	uint64_t id = 0, before = 0;

	for (unsigned i = 0; i < n; i++, before = id) {
		int rc = ay__reader_number(r, AY_STREAM_RECORD, &id);

		if (rc)
			return rc;
		if (id == 0 || id >= AY__FILTERS)
			return ay_err_set(r->err, AY_EUNSUPPORTED,
					  "filter %llu is unknown to this version of ayni",
					  (unsigned long long)id);
		if (id <= before)
			return ay__reader_bad(r, AY_STREAM_RECORD, "filters out of order");
		r->r.filters |= 1u << id;
	}
	return 0;
}

int ay__reader_head(struct ay__reader *r)
{
	struct ay_cursor *c = ay__reader_col(r, AY_STREAM_RECORD);
	unsigned method = ay_get_u8(c), n_bases = ay_get_u8(c), n_filters = ay_get_u8(c);
	uint64_t v;
	int rc;

	if (c->failed)
		return ay__reader_bad(r, AY_STREAM_RECORD, "the record's head is cut short");
	if (method > AY_METHOD_ELF)
		return ay_err_set(r->err, AY_EUNSUPPORTED, "method %u is unknown to this version of ayni",
				  method);
	rc = head_filters(r, n_filters);
	if (rc)
		return rc;
	if (n_bases > AY_BUNDLE_BASES_MAX || (method == AY_METHOD_LITERAL) != (n_bases == 0))
		return ay__reader_bad(r, AY_STREAM_RECORD, "the number of bases does not fit the method");
	if (n_bases > 1)
		return ay_err_set(r->err, AY_EUNSUPPORTED, "%u bases: this version of ayni knows one",
				  n_bases);
	r->r.method = (enum ay_bundle_method)method;
	r->r.n_bases = n_bases;
	rc = ay__reader_number(r, AY_STREAM_RECORD, &r->r.size);
	for (unsigned i = 0; rc == 0 && i < n_bases; i++) {
		rc = ay__reader_number(r, AY_STREAM_RECORD, &v);
		/* Sizes stay below 2^62, so that no sum of a few of them wraps. */
		r->r.base_sizes[i] = r->r.size + (uint64_t)ay_unzigzag(v);
		if (rc == 0 && r->r.base_sizes[i] >> 62)
			rc = ay__reader_bad(r, AY_STREAM_RECORD, "the base's size makes no sense");
	}
	if (rc == 0 && r->r.size > r->header.unpacked_size - r->sizes)
		rc = ay__reader_bad(r, AY_STREAM_RECORD, "the records' sizes are more than the header says");
	if (rc)
		return rc;
	r->sizes += r->r.size;
	return head_digests(r);
}

static int copy_bytes(struct ay__reader *r, uint64_t from, uint64_t len)
{
	while (len > 0) {
		size_t room = AY__OUTPUT_BUFFER;
		uint8_t *dst = r->skip ? NULL : ay__output_room(&r->out, &room);
		size_t n = len < room ? (size_t)len : room;
		int rc = r->skip ? 0 : ay__view_read(&r->base, from, dst, n, r->err);

		if (rc == 0)
			rc = ay__reader_differences(r, dst, n);
		if (rc == 0 && !r->skip)
			rc = ay__output_add(&r->out, n);
		if (rc)
			return rc;
		from += n;
		len -= n;
	}
	return 0;
}

static int operation(struct ay__reader *r)
{
	uint64_t old = 0, diff = 0, extra = 0;
	int rc = ay__reader_operation(r, r->done, &old, &diff, &extra);

	if (rc == 0 && diff > 0)
		rc = copy_bytes(r, old, diff);
	if (rc == 0 && extra > 0)
		rc = ay__reader_literal(r, extra);
	r->done += diff + extra;
	return rc;
}

int ay__reader_bytes(struct ay__reader *r)
{
	int rc = 0;

	rc = ay__reader_recipes(r);
	if (rc == 0 && !r->skip) {
		rc = ay__output_begin(&r->out, &r->r, r->target_recipe, r->pack_memory, r->hold);
		if (rc == 0 && r->r.n_bases)
			rc = ay__reader_base(r);
	}
	r->inside = true;
	if (rc == 0 && r->r.method == AY_METHOD_ELF)
		rc = ay__reader_elf(r);
	while (rc == 0 && r->done < r->view_size) {
		rc = ay__reader_part_for(r, AY_STREAM_EXTRA_LEN);
		if (rc == 0)
			rc = operation(r);
	}
	r->inside = false;
	if (rc == 0 && !r->skip)
		rc = ay__output_end(&r->out);
	ay__view_close(&r->base);
	return rc;
}
