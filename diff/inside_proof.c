/* SPDX-License-Identifier: MIT */
/* diff/inside_proof.c - a stream that was found, and the proof that packing gives its bytes back. */
#include "diff/inside_proof.h"

#include <errno.h>

#include "diff/compare.h"
#include "diff/packer.h"

#define PROBE (512u << 10) /* content that is packed to see whether the parameters are right */

void ay__stream_release(struct ay__stream *s)
{
	ay_buf_release(&s->content);
	ay_buf_release(&s->corrections);
	*s = (struct ay__stream){0};
}

int ay__stream_packs(const struct ay__filter_params *params, struct ay_slice content, struct ay_slice packed,
		     bool whole)
{
	struct ay__compare c = {.want = packed};
	struct ay__packer p;
	int rc = ay__packer_open(&p, params, ay__compare_put, &c, NULL);
	size_t at = 0;

	/* Little by little: the first bytes are the first to differ. */
	while (rc == 0 && at < content.len && (whole || c.at == 0 || at < PROBE)) {
		size_t left = content.len - at, n = left < 65536 ? left : 65536;

		rc = ay__packer_write(&p, content.data + at, n, NULL);
		at += n;
	}
	if (rc == 0 && at == content.len)
		rc = ay__packer_end(&p, NULL);
	ay__packer_close(&p);
	if (rc)
		return rc == -ENOMEM ? rc : 0;
	return at < content.len || c.at == packed.len;
}
