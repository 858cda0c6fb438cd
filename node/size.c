/* SPDX-License-Identifier: MIT */
/*
 * Sizes as people write them: 400M, 2G, or a bare number of the unit that the option names.
 */
#include "node/size.h"

#include <ctype.h>
#include <string.h>

#define SIZE_LIMIT (UINT64_C(1) << 60)

bool ay_size_read(const char *text, uint64_t bare, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *p = text;
	uint64_t n = 0, unit = bare;

	for (; *p >= '0' && *p <= '9' && n <= SIZE_LIMIT; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (p == text)
		return false;
	if (*p) {
		const char *u = strchr(units, toupper((unsigned char)*p));
		if (!u || p[1])
			return false;
		unit = UINT64_C(1) << 10 * (unsigned)(u - units + 1);
	}
	if (n == 0 || n > SIZE_LIMIT / unit)
		return false;
	*bytes = n * unit;
	return true;
}

int ay_size_mib(const char *text, uint32_t min, uint32_t max, const char *what, uint64_t *bytes,
		struct ay_err *err)
{
	uint64_t n;

	if (ay_size_read(text, 1u << 20, &n) && n >= (uint64_t)min << 20 && n <= (uint64_t)max << 20) {
		*bytes = n;
		return 0;
	}
	return ay_err_set(
		err, AY_EUSAGE,
		"%s must be a size from %uM to %uG, as in 512M or 2G (a bare number: MiB), not \"%s\"", what,
		min, max >> 10, text);
}
