/* SPDX-License-Identifier: MIT */
/*
 * The core's orders to the disk become jobs: documents here, bundles in disk_bundle.c.
 */
#include "node/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/disk_internal.h"
#include "store/state.h"

/* Only the head: the applier or the owner may change all else meanwhile. */
static int set_head(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	(void)err;
	b->has_head = true;
	memcpy(b->head, ctx, AY_HEAD_SIZE);
	return 0;
}

static int store_head(struct ay_store *s, const char *branch, uint8_t *head, struct ay_err *err)
{
	return ay_state_change_branch(s, branch, set_head, head, err);
}

static void work_store(struct ay__job *j)
{
	struct ay_store *s = j->disk->store;
	if (!s) {
		j->status = ay_err_set(&j->err, -EROFS, "this school has no store");
		return;
	}
	switch (j->order) {
	case AY_ORDER_STORE_ROOT:
		j->status = ay_state_add_root(s, j->data, j->len, &j->err);
		if (j->status == AY_ENOTHING)
			j->status = 0;
		break;
	case AY_ORDER_STORE_RELEASE:
		j->status = ay_state_put_doc(s, AY_DOC_RELEASE, j->data, j->len, &j->err);
		break;
	case AY_ORDER_STORE_OFFER:
		j->status = ay_state_put_doc(s, AY_DOC_OFFER, j->data, j->len, &j->err);
		break;
	default:
		j->status = j->len == AY_HEAD_SIZE
				    ? store_head(s, j->branch, j->data, &j->err)
				    : ay_err_set(&j->err, AY_EFORMAT, "a head of %zu bytes", j->len);
	}
}

void ay_disk_order(struct ay_disk *d, const struct ay_order *order)
{
	if (order->type == AY_ORDER_OPEN_BUNDLE) {
		ay_disk_open(d, &order->bundle.digest, order->bundle.size, true);
		return;
	}
	if (order->type == AY_ORDER_DROP_BUNDLE) {
		ay__disk_drop_bundle(d, &order->bundle.digest);
		return;
	}
	if (order->type == AY_ORDER_FINISH_BUNDLE) {
		ay__disk_finish_bundle(d, order);
		return;
	}
	struct ay__job *j = ay__job_new(d, order->data.data, order->data.len);
	AY_ASSERT(j);
	j->order = order->type;
	j->token = order->token;
	if (order->type == AY_ORDER_STORE_HEAD)
		snprintf(j->branch, sizeof(j->branch), "%s", order->branch.branch);
	j->work = work_store;
	j->done = ay__job_stored;
	ay__job_push(j, NULL);
}

void ay_disk_free(struct ay_disk *d)
{
	if (!d)
		return;
	AY_ASSERT(!d->running);
	ay__disk_close_bundles(d);
	free(d);
}
