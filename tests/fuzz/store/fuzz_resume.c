/* SPDX-License-Identifier: MIT */
/* Where a killed apply stood: whatever is written there, with a sum that fits, is refused or is what would be written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/resume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(cond) ((cond) ? (void)0 : (fprintf(stderr, "not so: %s\n", #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t bytes[AY__RESUME_SIZE] = {0}, out[AY__RESUME_SIZE];
	struct ay__resume x;

	ay__resume_decode(&x, data, len);
	memcpy(bytes, data, len < sizeof(bytes) ? len : sizeof(bytes));
	ay_sha256(bytes, sizeof(bytes) - 32, bytes + sizeof(bytes) - 32);
	if (ay__resume_decode(&x, bytes, sizeof(bytes)) < 0)
		return 0;
	MUST(x.place.done <= x.place.r.size && x.place.r.n_bases <= AY_BUNDLE_BASES_MAX);
	ay__resume_encode(&x, out);
	MUST(memcmp(out, bytes, sizeof(out)) == 0);
	return 0;
}
