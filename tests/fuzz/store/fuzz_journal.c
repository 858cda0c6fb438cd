/* SPDX-License-Identifier: MIT */
/*
 * A line of a branch's journal: what is accepted is what is written, to the byte; and a whole file of any bytes is read
 * without harm (tests/unit/store/test_journal.c has the file).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "not so: %s\n", #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_journal_entry e;
	struct ay_buf out = {0};
	const char *text = (const char *)data;

	if (!ay__journal_parse_line(text, len, &e))
		return 0;
	MUST(strlen(e.why) <= AY_JOURNAL_WHY_MAX && ay_journal_event_name(e.event));
	ay__journal_write_line(&e, &out);
	MUST(ay_buf_status(&out) == 0 && out.len == len + 1 && memcmp(out.data, text, len) == 0 &&
	     out.data[len] == '\n');
	ay_buf_release(&out);
	return 0;
}
