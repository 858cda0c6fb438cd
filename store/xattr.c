/* SPDX-License-Identifier: MIT */
/*
 * Reading extended attributes.
 *
 * There is no flistxattr() for what cannot be opened (symbolic links, devices,
 * fifos), so those are reached by /proc/self/fd/DIRFD/NAME with the l-calls: the
 * directory is still the one that we hold. Most inodes have none, so the first
 * question goes to a small buffer on the stack.
 */
#include "store/xattr.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"

#define LIST_MAX   65536 /* Linux' XATTR_LIST_MAX */
#define SMALL_LIST 512

/* Where the attributes are: an open file, or a path whose last part is not followed. */
struct where {
	int fd;
	char path[sizeof("/proc/self/fd/-2147483648/") + NAME_MAX];
};

static bool starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ay__xattr_kept(const char *name, unsigned flags)
{
	if (starts(name, "system."))
		return strcmp(name, "system.posix_acl_access") == 0 ||
		       strcmp(name, "system.posix_acl_default") == 0;
	if (starts(name, "btrfs.") || starts(name, "trusted.overlay.") || starts(name, "user.overlay.") ||
	    starts(name, "trusted.SGI_ACL_") || strcmp(name, "security.evm") == 0)
		return false;
	if ((flags & AY__XATTR_NO_LABELS) &&
	    (strcmp(name, "security.selinux") == 0 || starts(name, "security.SMACK") ||
	     strcmp(name, "security.apparmor") == 0))
		return false;
	return true;
}

static ssize_t list(const struct where *w, char *buf, size_t len)
{
	ssize_t n = w->fd >= 0 ? flistxattr(w->fd, buf, len) : llistxattr(w->path, buf, len);
	return n < 0 ? -errno : n;
}

static ssize_t get(const struct where *w, const char *name, void *buf, size_t len)
{
	ssize_t n = w->fd >= 0 ? fgetxattr(w->fd, name, buf, len) : lgetxattr(w->path, name, buf, len);
	return n < 0 ? -errno : n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names that are kept, sorted, as pointers into @names. Their number, or AY_ELIMIT. */
static int pick(const char *names, size_t len, unsigned flags, const char *picked[AY_XATTR_COUNT_MAX])
{
	int n = 0;
	for (const char *p = names; p < names + len; p += strlen(p) + 1) {
		if (!ay__xattr_kept(p, flags))
			continue;
		if (n == AY_XATTR_COUNT_MAX)
			return AY_ELIMIT;
		picked[n++] = p;
	}
	qsort(picked, (size_t)n, sizeof(*picked), by_name);
	return n;
}

/* Values one after the other into @values; lengths into @lens. */
static int read_values(const struct where *w, const char *const *picked, int n, struct ay_buf *values,
		       size_t *lens)
{
	size_t total = 0;

	for (int i = 0; i < n; i++) {
		ssize_t len = get(w, picked[i], NULL, 0);
		if (len == -ENODATA || len == -ERANGE)
			return AY_EBUSY;
		if (len < 0)
			return (int)len;
		total += (size_t)len;
		if (total > AY_XATTRS_MAX)
			return AY_ELIMIT;
		uint8_t *room = ay_buf_reserve(values, (size_t)len + 1);
		if (!room)
			return ay_buf_status(values);
		ssize_t got = len > 0 ? get(w, picked[i], room, (size_t)len) : 0;
		if (got != len)
			return got >= 0 || got == -ENODATA || got == -ERANGE ? AY_EBUSY : (int)got;
		values->len += (size_t)len;
		lens[i] = (size_t)len;
	}
	return 0;
}

/* One block: the array, then the values, then the names. */
static int pack(const char *const *picked, int n, const struct ay_buf *values, const size_t *lens,
		struct ay_xattr **out, size_t *mem)
{
	size_t size = (size_t)n * sizeof(struct ay_xattr) + values->len;
	for (int i = 0; i < n; i++)
		size += strlen(picked[i]) + 1;
	struct ay_xattr *x = malloc(size);
	if (!x)
		return -ENOMEM;

	uint8_t *value = (uint8_t *)(x + n);
	char *name = (char *)value + values->len;
	if (values->len > 0)
		memcpy(value, values->data, values->len);
	for (int i = 0; i < n; i++) {
		x[i] = (struct ay_xattr){.name = name, .value = value, .value_len = lens[i]};
		size_t name_size = strlen(picked[i]) + 1;
		memcpy(name, picked[i], name_size);
		name += name_size;
		value += lens[i];
	}
	*out = x;
	*mem = size;
	return 0;
}

int ay__xattrs_read(int fd, int dirfd, const char *name, unsigned flags, struct ay_xattr **out, size_t *n,
		    size_t *mem)
{
	struct where w = {.fd = fd};
	char small[SMALL_LIST];
	AY_FREE char *large = NULL;
	const char *names = small;
	size_t used = 0;

	*out = NULL;
	*n = 0;
	if (mem)
		*mem = 0;
	if (fd < 0 &&
	    snprintf(w.path, sizeof(w.path), "/proc/self/fd/%d/%s", dirfd, name) >= (int)sizeof(w.path))
		return -ENAMETOOLONG;
	ssize_t len = list(&w, small, sizeof(small));
	if (len == -ERANGE) {
		large = malloc(LIST_MAX);
		if (!large)
			return -ENOMEM;
		names = large;
		len = list(&w, large, LIST_MAX);
	}
	if (len == -EOPNOTSUPP || len == 0)
		return 0;
	if (len < 0)
		return (int)len;

	const char *picked[AY_XATTR_COUNT_MAX];
	size_t lens[AY_XATTR_COUNT_MAX] = {0};
	struct ay_buf values = {0};
	int count = pick(names, (size_t)len, flags, picked);
	if (count <= 0)
		return count;
	int rc = read_values(&w, picked, count, &values, lens);
	if (rc == 0)
		rc = pack(picked, count, &values, lens, out, &used);
	ay_buf_release(&values);
	if (rc == 0)
		*n = (size_t)count;
	if (mem)
		*mem = used;
	return rc;
}
