/* SPDX-License-Identifier: MIT */
/*
 * One line on standard error, which for the apply worker is the node's log.
 */
#include "node/losses.h"

#include <inttypes.h>
#include <stdio.h>

#include "store/losses.h"
#include "store/store.h"

static void tell(void *ctx, const char *branch, uint32_t serial, const struct ay_losses *l)
{
	struct ay_buf text = {0};
	const char *words = ay_losses_text(l, &text);

	fprintf(stderr, "ayni: %s %" PRIu32 ": %s is a plain user's store and does not keep: %s\n", branch,
		serial, ay_store_path(ctx), words ? words : "(out of memory)");
	ay_buf_release(&text);
}

void ay_tell_losses(struct ay_store *s)
{
	ay_store_on_losses(s, tell, s);
}
