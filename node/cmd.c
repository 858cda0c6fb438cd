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

#include <jansson.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "node/losses.h"
#include "store/store.h"

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
	case AY_EHOOK:
		return 4;
	default:
		return code < 0 ? 1 : 0;
	}
}

int ay_usage(struct ay_err *err, const char *cmd, const char *what)
{
	return ay_err_set(err, AY_EUSAGE, "%s (see `ayni %s --help`)", what, cmd);
}

/* What getopt_long() refused: '?' an unknown option or one with a value too many, ':' one without its value. */
static int bad_option(int c, const char *word, const char *cmd, const struct option *longs,
		      struct ay_err *err)
{
	char text[256];
	bool is_long = strncmp(word, "--", 2) == 0;
	size_t name_len = is_long ? strcspn(word + 2, "=") : 0;
	unsigned matches = 0;
	for (const struct option *o = longs; is_long && o->name; o++)
		matches += strncmp(o->name, word + 2, name_len) == 0;
	if (c == ':' && is_long)
		snprintf(text, sizeof(text), "option %s needs a value", word);
	else if (c == ':')
		snprintf(text, sizeof(text), "option -%c needs a value", optopt);
	else if (!is_long)
		snprintf(text, sizeof(text), "unknown option -%c", optopt);
	else if (matches > 1)
		snprintf(text, sizeof(text), "option %s may mean several: write it out", word);
	else if (matches == 1)
		snprintf(text, sizeof(text), "option --%.*s takes no value", (int)name_len, word + 2);
	else
		snprintf(text, sizeof(text), "unknown option %s", word);
	return ay_usage(err, cmd, text);
}

/* The letters that are options too, as getopt wants them. */
static void short_options(const struct option *longs, char out[2 + 2 * AY_OPTIONS_MAX])
{
	size_t n = 0;
	out[n++] = ':';
	for (const struct option *o = longs; o->name; o++) {
		AY_ASSERT(o < longs + AY_OPTIONS_MAX);
		if (o->flag || o->val > UCHAR_MAX || !isalnum(o->val))
			continue;
		out[n++] = (char)o->val;
		if (o->has_arg == required_argument)
			out[n++] = ':';
	}
	out[n] = '\0';
}

int ay_options(int argc, char **argv, const struct option *longs,
	       int (*each)(void *ctx, int val, const char *arg, struct ay_err *err), void *ctx, int *first,
	       struct ay_err *err)
{
	char shorts[2 + 2 * AY_OPTIONS_MAX];
	short_options(longs, shorts);
	optind = 0; /* glibc: start over, so that one process can parse twice */
	opterr = 0;
	for (;;) {
		int c = getopt_long(argc, argv, shorts, longs, NULL);
		if (c == -1)
			break;
		if (c == 0)
			continue;
		if (c == '?' || c == ':')
			return bad_option(c, optind > 0 ? argv[optind - 1] : "?", argv[0], longs, err);
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

int ay_parse_word(const char *text, const char *const *words, unsigned n, const char *what,
		  struct ay_err *err)
{
	char list[128] = "";
	size_t len = 0;
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(text, words[i]) == 0)
			return (int)i;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						i == 0       ? ""
						: i == n - 1 ? " or "
							     : ", ",
						words[i]);
	}
	return ay_err_set(err, AY_EUSAGE, "%s is %s, not \"%s\"", what, list, text);
}

/* All that @fd gives, if it is no more than @max bytes. */
static int read_all(int fd, const char *name, size_t max, struct ay_buf *buf, struct ay_err *err)
{
	struct stat st;
	bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	ay_buf_init(buf, max + 1); /* one more byte shows that there is more, and makes room for the NUL */
	while (!regular || (uint64_t)st.st_size <= max) {
		uint8_t *room = ay_buf_reserve(buf, 1);
		if (!room)
			break;
		ssize_t n = read(fd, room, buf->cap - buf->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot read %s", name);
		if (n == 0)
			break;
		buf->len += (size_t)n;
	}
	if (buf->len > max || (regular && (uint64_t)st.st_size > max))
		return ay_err_set(err, AY_ELIMIT, "%s is larger than %zu bytes: not a file of this kind",
				  name, max);
	return ay_buf_cstr(buf) ? 0 : ay_err_set(err, -ENOMEM, "out of memory for reading %s", name);
}

int ay_read_input(const char *path, size_t max, char **data, size_t *len, struct ay_err *err)
{
	bool standard = strcmp(path, "-") == 0;
	const char *name = standard ? "standard input" : path;
	AY_CLOSE int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!standard && opened < 0)
		return ay_err_errno(err, errno, "cannot open %s", name);
	struct ay_buf buf;
	int r = read_all(standard ? STDIN_FILENO : opened, name, max, &buf, err);
	if (r < 0) {
		ay_buf_release(&buf);
		return r;
	}
	*len = buf.len;
	*data = (char *)buf.data;
	return 0;
}

static int write_all(int fd, const char *name, const void *data, size_t len, struct ay_err *err)
{
	const char *p = data;
	for (size_t left = len; left > 0;) {
		ssize_t n = write(fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot write %s", name);
		p += n;
		left -= (size_t)n;
	}
	return fsync(fd) < 0 ? ay_err_errno(err, errno, "cannot sync %s", name) : 0;
}

/* Temporary name beside the target, so that the rename stays on one file system. */
static int write_beside(const char *path, const char *tmp, const void *data, size_t len, unsigned mode,
			bool replace, struct ay_err *err)
{
	AY_CLOSE int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot create %s", tmp);
	int r = write_all(fd, tmp, data, len, err);
	int renamed = replace ? -1 : renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE);
	/* NFS knows no RENAME_NOREPLACE: there check_target() must do. */
	if (r == 0 && renamed < 0 && (replace || errno == EINVAL))
		renamed = rename(tmp, path);
	if (r == 0 && renamed < 0)
		r = ay_err_errno(err, errno, "cannot rename %s to %s", tmp, path);
	if (r < 0)
		unlink(tmp);
	return r;
}

/* So that `-o /dev/null` does not become a file, by root. */
static int check_target(const char *path, bool replace, struct ay_err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : ay_err_errno(err, errno, "cannot write %s", path);
	if (!S_ISREG(st.st_mode))
		return ay_err_set(err, -EEXIST,
				  "%s is there and is no regular file: it is not replaced; name another file",
				  path);
	return replace ? 0 : ay_err_set(err, -EEXIST, "%s is there already", path);
}

int ay_write_output(const char *path, const void *data, size_t len, unsigned mode, bool replace,
		    struct ay_err *err)
{
	AY_FREE char *tmp = NULL, *dir = strdup(path);
	if (asprintf(&tmp, "%s.new-%ld", path, (long)getpid()) < 0)
		tmp = NULL;
	if (!tmp || !dir)
		return ay_err_set(err, -ENOMEM, "out of memory");
	int r = check_target(path, replace, err);
	if (r == 0)
		r = write_beside(path, tmp, data, len, mode, replace, err);
	if (r < 0)
		return r;
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	AY_CLOSE int dirfd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || fsync(dirfd) < 0)
		return ay_err_errno(err, errno, "cannot sync the directory of %s", path);
	return 0;
}

int ay_open_store(const char *path, int flags, struct ay_store **out, struct ay_err *err)
{
	char version[PATH_MAX];
	int r = ay_store_open(ay_fs_real(), path, flags, out, err);
	if (r == AY_ESTATE && snprintf(version, sizeof(version), "%s/VERSION", path) < PATH_MAX &&
	    access(version, F_OK) < 0 && errno == ENOENT)
		return ay_err_set(err, r, "%s: no store there: `ayni init` makes one, --store names another",
				  path);
	if (r == 0) {
		ay_tell_losses(*out);
		ay_store_set_threads(*out, 0);
	}
	return r;
}

int ay_print_json(json_t *root, struct ay_err *err)
{
	AY_FREE char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	json_decref(root);
	if (!text)
		return ay_err_set(err, -EINVAL, "this cannot be JSON: a name is not UTF-8, or memory is out");
	puts(text);
	return 0;
}

void ay_complain(const char *cmd, const char *sentence)
{
	char text[AY_ERR_MSG_MAX];
	snprintf(text, sizeof(text), "%s", sentence);
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	fprintf(stderr, "ayni %s: %s\n", cmd, text);
}
