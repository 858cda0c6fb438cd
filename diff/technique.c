/* SPDX-License-Identifier: MIT */
/* diff/technique.c - names of techniques. */
#include "diff/technique.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define NAME(id, name, what) [AY__TECHNIQUE_##id] = name,
	AY_TECHNIQUES(NAME)
#undef NAME
};

static int unknown(const char *text, size_t len, struct ay_err *err)
{
	char list[160] = "";
	size_t n = 0;

	for (unsigned i = 0; i < AY_TECHNIQUES_N && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", names[i]);
	return ay_err_set(err, AY_EUSAGE, "\"%.*s\" is no technique; there are %s", len > 40 ? 40 : (int)len,
			  text, list);
}

int ay_techniques_parse(const char *text, unsigned *mask, struct ay_err *err)
{
	unsigned bits = 0;

	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");
		unsigned i = 0;

		while (i < AY_TECHNIQUES_N && (strlen(names[i]) != len || strncmp(names[i], at, len) != 0))
			i++;
		if (i == AY_TECHNIQUES_N)
			return unknown(at, len, err);
		bits |= 1u << i;
		at += len;
		if (*at == '\0')
			break;
	}
	*mask |= bits;
	return 0;
}
