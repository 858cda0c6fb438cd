/* SPDX-License-Identifier: MIT */
/*
 * Holes, by SEEK_DATA and SEEK_HOLE. Both answers may err on the side of data, never on the side of holes:
 * so an answer that makes no sense is taken for data.
 */
#include "base/sparse.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool ay_sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	*end = size;
	if (data < 0)
		return errno == ENXIO; /* nothing but a hole up to the end */
	if ((uint64_t)data > at) {
		*end = (uint64_t)data < size ? (uint64_t)data : size;
		return true;
	}
	off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);
	if (hole > (off_t)at && (uint64_t)hole < size)
		*end = (uint64_t)hole;
	return false;
}

bool ay_is_zero(const void *data, size_t len)
{
	const uint8_t *p = data;

	/* The first 16 by hand, then each byte is compared with that 16 before it. */
	for (size_t i = 0; i < 16 && i < len; i++) {
		if (p[i])
			return false;
	}
	return len <= 16 || memcmp(p, p + 16, len - 16) == 0;
}
