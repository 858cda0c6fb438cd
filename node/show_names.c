/* SPDX-License-Identifier: MIT */
/* Which path has which content: sorted by digest, the paths one behind the other. */
#include "node/show_names.h"

#include <errno.h>
#include <stdlib.h>

#include "base/path.h"

void ay__names_release(struct ay__names *n)
{
	free(n->all);
	ay_buf_release(&n->paths);
}

int ay__names_add(struct ay__names *n, const struct ay_entry *e, struct ay_err *err)
{
	if (n->n == n->cap) {
		size_t cap = n->cap ? 2 * n->cap : 256;
		struct ay__named *grown = reallocarray(n->all, cap, sizeof(*grown));
		if (!grown)
			return ay_err_set(err, -ENOMEM, "out of memory");
		n->all = grown;
		n->cap = cap;
	}
	n->all[n->n++] = (struct ay__named){e->digest, n->paths.len};
	ay_percent_put(&n->paths, e->path, e->path_len);
	ay_put_u8(&n->paths, 0);
	return n->paths.failed ? ay_err_set(err, -ENOMEM, "out of memory") : 0;
}

static int cmp_named(const void *a, const void *b)
{
	const struct ay__named *x = a, *y = b;
	int c = ay_digest_cmp(&x->digest, &y->digest);
	return c ? c : x->path < y->path ? -1 : x->path > y->path;
}

void ay__names_sort(struct ay__names *n)
{
	if (n->n > 1)
		qsort(n->all, n->n, sizeof(*n->all), cmp_named);
}

const char *ay__names_find(const struct ay__names *n, const struct ay_digest *d, size_t *count)
{
	size_t low = 0, high = n->n;
	*count = 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (ay_digest_cmp(&n->all[mid].digest, d) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + *count < n->n && ay_digest_eq(&n->all[low + *count].digest, d))
		++*count;
	return *count ? (const char *)n->paths.data + n->all[low].path : NULL;
}
