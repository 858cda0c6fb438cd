/* SPDX-License-Identifier: MIT */
/* diff/proof_aside.c - a thread that packs and compares. */
#include "diff/proof_aside.h"

#define ASIDE_MIN (1u << 20) /* content that takes long enough */

static void *prove(void *arg)
{
	struct ay__proof_aside *a = arg;

	a->rc = ay__stream_packs(&a->params, (struct ay_slice){a->content.data, a->content.len},
				 (struct ay_slice){a->packed.data, a->packed.len}, true);
	return NULL;
}

bool ay__proof_aside_begin(struct ay__proof_aside *a, const struct ay__filter_params *params,
			   struct ay_slice content, struct ay_slice packed)
{
	if (a->begun || content.len < ASIDE_MIN || params->corrections.len)
		return false;
	a->params = *params;
	ay_put_bytes(&a->content, content.data, content.len);
	ay_put_bytes(&a->packed, packed.data, packed.len);
	if (ay_buf_status(&a->content) == 0 && ay_buf_status(&a->packed) == 0)
		a->begun = pthread_create(&a->thread, NULL, prove, a) == 0;
	if (!a->begun)
		ay__proof_aside_release(a);
	return a->begun;
}

int ay__proof_aside_end(struct ay__proof_aside *a)
{
	int rc = 1;

	if (a->begun) {
		pthread_join(a->thread, NULL);
		rc = a->rc;
	}
	ay_buf_release(&a->content);
	ay_buf_release(&a->packed);
	*a = (struct ay__proof_aside){0};
	return rc;
}

void ay__proof_aside_release(struct ay__proof_aside *a)
{
	(void)ay__proof_aside_end(a);
}
