/* SPDX-License-Identifier: MIT */
/*
 * BRANCH[@SERIAL], and the tree that is meant by it.
 */
#include "node/use.h"

#include <string.h>

#include "base/path.h"
#include "node/cmd.h"

int ay_use_parse(char *word, uint32_t *serial, struct ay_err *err)
{
	char *at = strchr(word, '@');

	*serial = 0;
	if (at) {
		*at = '\0';
		int r = ay_parse_u32(at + 1, 1, AY_SERIAL_MAX, "the serial", serial, err);
		if (r < 0)
			return r;
	}
	if (ay_branch_check(word, strlen(word)) < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch name", word);
	return 0;
}

int ay_use_open(const char *store, const char *branch, uint32_t serial, struct ay_store **s,
		struct ay_use *use, struct ay_err *err)
{
	int r = ay_open_store(store, AY_STORE_READONLY, s, err);

	if (r < 0)
		return r;
	if ((r = ay_store_use(*s, branch, serial, use, err)) < 0)
		ay_store_close(*s);
	return r;
}
