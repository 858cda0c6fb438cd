/* SPDX-License-Identifier: MIT */
/*
 * The bytes are the high bytes of a 64-bit linear congruential generator that
 * starts at 1: x = x * 6364136223846793005 + 1442695040888963407. The constants in
 * test_digest.c were computed from files of these bytes by `fsverity digest`.
 */
#include "tests/unit/base/made.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

uint8_t *made_bytes(size_t len)
{
	uint8_t *data = malloc(len ? len : 1);
	uint64_t x = 1;

	must(data != NULL, "made_bytes");
	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		data[i] = (uint8_t)(x >> 56);
	}
	return data;
}

int made_file(const void *data, size_t len, char path[64])
{
	const uint8_t *p = data;

	snprintf(path, 64, "/tmp/ayni-test-base-XXXXXX");
	int fd = mkstemp(path);
	must(fd >= 0, path);
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		must(n > 0, path);
		p += n;
		len -= (size_t)n;
	}
	return fd;
}

int made_fd(const void *data, size_t len)
{
	char path[64];
	int fd = made_file(data, len, path);
	unlink(path);
	return fd;
}
