/* SPDX-License-Identifier: MIT */
/*
 * diff/reader_operation.c - what the columns say of one operation, and its bytes: the same for every method.
 */
#include "diff/reader.h"

int ay__reader_differences(struct ay__reader *r, uint8_t *dst, uint64_t n)
{
	while (n > 0) {
		if (r->zeros == 0 && r->literals == 0) {
			int rc = ay__reader_number(r, AY_STREAM_ZERO_RUN, &r->zeros);

			if (rc == 0)
				rc = ay__reader_number(r, AY_STREAM_DIFF_RUN, &r->literals);
			if (rc)
				return rc;
			if (r->zeros == 0 && r->literals == 0)
				return ay__reader_bad(r, AY_STREAM_ZERO_RUN,
						      "a pair that stands for nothing");
		}
		uint64_t step = r->zeros < n ? r->zeros : n;
		r->zeros -= step;
		n -= step;
		if (dst)
			dst += step;
		step = r->zeros ? 0 : r->literals < n ? r->literals : n;
		const uint8_t *add = step <= SIZE_MAX
					     ? ay_get_bytes(ay__reader_col(r, AY_STREAM_DIFF), (size_t)step)
					     : NULL;
		if (!add)
			return ay__reader_bad(r, AY_STREAM_DIFF, "fewer differences than the runs say");
		for (size_t i = 0; dst && i < step; i++)
			dst[i] = (uint8_t)(dst[i] + add[i]);
		r->literals -= step;
		n -= step;
		if (dst)
			dst += step;
	}
	return 0;
}

int ay__reader_literal(struct ay__reader *r, uint64_t len)
{
	/* Bytes of one operation lie in one part, so that @len fits where @bytes is not NULL. */
	const uint8_t *bytes =
		len <= SIZE_MAX ? ay_get_bytes(ay__reader_col(r, AY_STREAM_LITERAL), (size_t)len) : NULL;

	if (!bytes)
		return ay__reader_bad(r, AY_STREAM_LITERAL, "fewer bytes than the operation says");
	return r->skip ? 0 : ay__output_put(&r->out, bytes, (size_t)len);
}

int ay__reader_operation(struct ay__reader *r, uint64_t at, uint64_t *old, uint64_t *diff_len,
			 uint64_t *extra_len)
{
	uint64_t diff = 0, extra = 0, seek = 0, left = r->view_size - at;
	int rc = 0;

	if (r->r.method != AY_METHOD_LITERAL)
		rc = ay__reader_number(r, AY_STREAM_DIFF_LEN, &diff);
	if (rc == 0)
		rc = ay__reader_number(r, AY_STREAM_EXTRA_LEN, &extra);
	if (rc)
		return rc;
	if (diff == 0 && extra == 0)
		return ay__reader_bad(r, AY_STREAM_EXTRA_LEN, "an operation that does nothing");
	if (diff > left || extra > left - diff)
		return ay__reader_bad(r, AY_STREAM_EXTRA_LEN, "an operation goes on behind the record's end");
	if (diff > 0) {
		uint64_t base_size = r->base_size, from;

		rc = ay__reader_number(r, AY_STREAM_SEEK, &seek);
		from = r->last_old + (uint64_t)ay_unzigzag(seek);
		if (rc == 0 && (from > base_size || diff > base_size - from))
			rc = ay__reader_bad(r, AY_STREAM_SEEK, "a copy from outside the base");
		r->last_old = from + diff;
		*old = from;
	}
	*diff_len = diff;
	*extra_len = extra;
	return rc;
}
