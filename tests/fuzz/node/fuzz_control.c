/* SPDX-License-Identifier: MIT */
/* The control socket: a client's bytes into messages and calls. */
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "node/varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_message(const struct ay_slice *msg)
{
	struct ay_call call;
	if (msg->data[msg->len] != 0 || msg->len > AY_VARLINK_CALL_MAX)
		abort();
	if (ay_call_parse((const char *)msg->data, msg->len, &call))
		return;
	if (call.branch[0] && ay_branch_check(call.branch, strlen(call.branch)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_varlink_in in = {.max = AY_VARLINK_CALL_MAX};
	size_t pos = 0;
	int r = 0;
	while (pos < len && r >= 0) {
		/* Pieces of up to 97 bytes, so that messages are cut. */
		size_t part = len - pos < 97 ? len - pos : 97, used;
		struct ay_slice msg;
		r = ay_varlink_next(&in, data + pos, part, &used, &msg);
		if (used > part)
			abort();
		pos += used;
		if (r == 1)
			on_message(&msg);
	}
	ay_varlink_in_release(&in);
	return 0;
}
