/* SPDX-License-Identifier: MIT */
/*
 * Where the configuration is read from: the file, then its drop-ins in the order of their names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "node/config.h"

static int load_one(struct ay_config *c, const char *path, bool must, struct ay_err *err)
{
	AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !must)
		return 0;
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", path);
	struct ay_buf text;
	ay_buf_init(&text, AY_CONFIG_FILE_MAX + 1);
	int r = 0;
	for (;;) {
		uint8_t *room = ay_buf_reserve(&text, 4096);
		if (!room) {
			r = ay_err_set(err, AY_EUSAGE, "%s: larger than 256 KiB: not a configuration", path);
			break;
		}
		ssize_t n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = ay_err_errno(err, errno, "cannot read %s", path);
		if (n <= 0)
			break;
		text.len += (size_t)n;
	}
	if (r == 0)
		r = ay_config_parse(c, path, text.len ? (const char *)text.data : "", text.len, err);
	ay_buf_release(&text);
	return r;
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *list[AY_CONFIG_DROPINS_MAX];
	unsigned n;
};

static void names_release(struct names *names)
{
	for (unsigned i = 0; i < names->n; i++)
		free(names->list[i]);
}

/* The files in @dir that end in .conf, sorted. */
static int list_dropins(const char *dir, struct names *names, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : ay_err_errno(err, errno, "cannot read %s", dir);
	struct dirent *e;
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);
		if (e->d_name[0] == '.' || len < 6 || strcmp(e->d_name + len - 5, ".conf") != 0)
			continue;
		if (names->n == AY_CONFIG_DROPINS_MAX)
			return ay_err_set(err, AY_ELIMIT, "%s: more than %d files", dir,
					  AY_CONFIG_DROPINS_MAX);
		char *path = NULL;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0)
			return ay_err_set(err, -ENOMEM, "out of memory");
		names->list[names->n++] = path;
	}
	if (names->n)
		qsort(names->list, names->n, sizeof(names->list[0]), cmp_names);
	return 0;
}

int ay_config_load(struct ay_config *c, const char *path, bool must, struct ay_err *err)
{
	AY_CLEANUP(names_release) struct names names = {.n = 0};
	int r = load_one(c, path, must, err);
	if (r < 0)
		return r;
	AY_FREE char *dir = NULL;
	if (asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	r = list_dropins(dir, &names, err);
	for (unsigned i = 0; r == 0 && i < names.n; i++)
		r = load_one(c, names.list[i], false, err);
	return r;
}
