/* SPDX-License-Identifier: MIT */
/* A line of the apply worker: progress, an end, or refused; whatever is taken stays within what the node may do with it. */
#include <stdlib.h>
#include <string.h>

#include "node/applier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_applier_line l;

	if (len > AY_APPLIER_LINE_MAX)
		return 0;
	int r = ay_applier_parse(len ? (const char *)data : "", len, &l);
	if (r != 0 && r != AY_EFORMAT)
		abort();
	if (r != 0)
		return 0;
	/* A sentence ends, and an error is an error: the core takes 0 for a tree that is current. */
	if (!memchr(l.message, 0, sizeof(l.message)) || (l.kind == AY_APPLIER_ERROR) != (l.code < 0))
		abort();
	if (l.kind != AY_APPLIER_ERROR && l.message[0])
		abort();
	if (l.kind == AY_APPLIER_DONE && (l.serial == 0 || ay_digest_is_zero(&l.manifest)))
		abort();
	return 0;
}
