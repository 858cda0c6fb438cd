/* SPDX-License-Identifier: MIT */
/*
 * The small files that a store is remembered by: byte 0 chooses, the rest is what stands in the file (or is the
 * name). What is accepted must be what the encoder writes, to the byte.
 *
 *     0 a branch's state   1 VERSION   2 a number   3 hex digits   4 a tree's directory name
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "store/state_internal.h"
#include "store/tree_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "not so: %s\n", #cond), abort()))

static void same(const struct ay_buf *out, const char *text, size_t len)
{
	MUST(ay_buf_status(out) == 0 && out->len == len && memcmp(out->data, text, len) == 0);
}

static void try_branch(const char *text, size_t len)
{
	struct ay_branch_state b;
	struct ay_buf out = {0};

	if (!ay__branch_state_parse(text, len, &b))
		return;
	MUST(ay_branch_check(b.branch, strlen(b.branch)) == 0 && len <= AY__BRANCH_STATE_MAX);
	ay__branch_state_write(&b, &out);
	if (memcmp(text, "ayni-branch-state 1\n", 20) != 0) {
		same(&out, text, len);
	} else { /* the old version is written as the new one, which says the same */
		struct ay_buf again = {0};
		struct ay_branch_state b2;
		MUST(ay__branch_state_parse((const char *)out.data, out.len, &b2));
		ay__branch_state_write(&b2, &again);
		same(&again, (const char *)out.data, out.len);
		ay_buf_release(&again);
	}
	ay_buf_release(&out);
}

static void try_version(const char *text, size_t len)
{
	struct ay__store_options o;
	char back[AY__STORE_VERSION_TEXT_MAX];
	int r = ay__store_version_parse(text, len, &o);

	MUST(r == 0 || r == AY_EVERSION || r == AY_ESTORE);
	if (r < 0)
		return;
	ay__store_version_text(&o, back);
	MUST(len == strlen(back) && memcmp(text, back, len) == 0);
}

static void try_number(const char *text, size_t len)
{
	char back[16];
	uint32_t v;

	if (!ay__u32_get(text, len, &v))
		return;
	MUST((size_t)snprintf(back, sizeof(back), "%u", v) == len && memcmp(back, text, len) == 0);
}

static void try_hex(const char *text, size_t len)
{
	uint8_t bytes[16];
	struct ay_buf out = {0};

	if (!ay__hex_get(text, len, bytes, sizeof(bytes)))
		return;
	ay__hex_put(&out, bytes, sizeof(bytes));
	same(&out, text, len);
	ay_buf_release(&out);
}

static void try_serial(const char *text, size_t len)
{
	char name[NAME_MAX + 1] = "", back[AY__SERIAL_NAME_MAX];
	uint32_t v;

	if (len > NAME_MAX || memchr(text, 0, len))
		return;
	memcpy(name, text, len);
	if (!ay__serial_parse(name, &v))
		return;
	ay__serial_name(v, back);
	MUST(v > 0 && strcmp(back, name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const tries[])(const char *, size_t) = {try_branch, try_version, try_number, try_hex,
							      try_serial};

	if (len < 1)
		return 0;
	tries[data[0] % (sizeof(tries) / sizeof(tries[0]))]((const char *)data + 1, len - 1);
	return 0;
}
