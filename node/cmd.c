/* SPDX-License-Identifier: MIT */
/*
 * What every command needs: options, whole files, exit codes.
 */
#include "node/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "node/client.h"

int ay_exit_code(int code)
{
	switch (code) {
	case AY_EUSAGE:
		return 2;
	case AY_ENOTHING:
		return 3;
	case AY_ESIG:
	case AY_EROLE:
	case AY_EROLLBACK:
		return 4;
	default:
		return code < 0 ? 1 : 0;
	}
}

int ay_usage(struct ay_err *err, const char *cmd, const char *what)
{
	return ay_err_set(err, AY_EUSAGE, "%s (see `ayni %s --help`)", what, cmd);
}

int ay_options(int argc, char **argv, const struct option *longs,
	       int (*each)(void *ctx, int val, const char *arg, struct ay_err *err), void *ctx, int *first,
	       struct ay_err *err)
{
	char shorts[2 + 2 * AY_OPTIONS_MAX] = ":";
	size_t n = 1;
	for (const struct option *o = longs; o->name && n + 2 < sizeof(shorts); o++) {
		if (o->flag || !isalnum(o->val))
			continue;
		shorts[n++] = (char)o->val;
		if (o->has_arg == required_argument)
			shorts[n++] = ':';
	}
	optind = 0; /* glibc: start over, so that one process can parse twice */
	opterr = 0;
	for (;;) {
		int c = getopt_long(argc, argv, shorts, longs, NULL);
		if (c == -1)
			break;
		if (c == 0)
			continue;
		const char *word = optind > 0 ? argv[optind - 1] : "?";
		if (c == '?')
			return ay_err_set(err, AY_EUSAGE, "unknown option %s (see `ayni %s --help`)", word,
					  argv[0]);
		if (c == ':')
			return ay_err_set(err, AY_EUSAGE, "option %s needs a value (see `ayni %s --help`)",
					  word, argv[0]);
		int r = each ? each(ctx, c, optarg, err) : 0;
		if (r < 0)
			return r;
	}
	*first = optind;
	return 0;
}

int ay_parse_u32(const char *text, uint32_t min, uint32_t max, const char *what, uint32_t *out,
		 struct ay_err *err)
{
	char *end = NULL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v < min || v > max)
		return ay_err_set(err, AY_EUSAGE, "%s must be a number from %u to %u, not \"%s\"", what, min,
				  max, text);
	*out = (uint32_t)v;
	return 0;
}

int ay_read_input(const char *path, size_t max, char **data, size_t *len, struct ay_err *err)
{
	bool standard = strcmp(path, "-") == 0;
	AY_CLOSE int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!standard && opened < 0)
		return ay_err_errno(err, errno, "cannot open %s", path);
	int fd = standard ? STDIN_FILENO : opened;
	struct ay_buf buf;
	ay_buf_init(&buf, max + 1);
	for (;;) {
		uint8_t *room = ay_buf_reserve(&buf, 1);
		if (!room)
			break;
		size_t space = buf.cap - buf.len;
		ssize_t n = read(fd, room, space);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int saved = errno;
			ay_buf_release(&buf);
			return ay_err_errno(err, saved, "cannot read %s", path);
		}
		if (n == 0)
			break;
		buf.len += (size_t)n;
	}
	size_t n = buf.len;
	if (buf.failed || n > max || !ay_buf_cstr(&buf)) {
		int code = n >= max ? AY_ELIMIT : -ENOMEM;
		ay_buf_release(&buf);
		return ay_err_set(err, code, "%s is larger than %zu bytes: not a file of this kind", path,
				  max);
	}
	*data = (char *)buf.data;
	*len = n;
	return 0;
}

/* Temporary name beside the target, so that the rename stays on one file system. */
static int write_beside(const char *path, const char *tmp, const void *data, size_t len, unsigned mode,
			struct ay_err *err)
{
	AY_CLOSE int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot create %s", tmp);
	const char *p = data;
	for (size_t left = len; left > 0;) {
		ssize_t n = write(fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot write %s", tmp);
		p += n;
		left -= (size_t)n;
	}
	if (fsync(fd) < 0)
		return ay_err_errno(err, errno, "cannot sync %s", tmp);
	if (rename(tmp, path) < 0)
		return ay_err_errno(err, errno, "cannot rename %s to %s", tmp, path);
	return 0;
}

int ay_write_output(const char *path, const void *data, size_t len, unsigned mode, struct ay_err *err)
{
	AY_FREE char *tmp = NULL;
	if (asprintf(&tmp, "%s.new-%ld", path, (long)getpid()) < 0) {
		tmp = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	int r = write_beside(path, tmp, data, len, mode, err);
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	AY_FREE char *dir = strdup(path);
	if (!dir)
		return ay_err_set(err, -ENOMEM, "out of memory");
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	AY_CLOSE int dirfd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || fsync(dirfd) < 0)
		return ay_err_errno(err, errno, "cannot sync the directory of %s", path);
	return 0;
}

void ay_tell_node(const char *control)
{
	struct ay_client *client = NULL;
	struct ay_err err = {0};
	json_t *reply = NULL;
	int r = ay_client_open(control, &client, &err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return;
	if (r == 0)
		r = ay_client_call(client, "org.ayni.Node.Reload", NULL, NULL, NULL, &reply, 0, &err);
	if (r < 0)
		fprintf(stderr, "ayni: done, but the running node could not be told: %s\n", err.msg);
	json_decref(reply);
	ay_client_close(client);
}
