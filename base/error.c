/* SPDX-License-Identifier: MIT */
/*
 * Sentences for people, codes for callers.
 *
 * A sentence grows at its front while it travels up, and its end is what went
 * wrong, so when it grows too long the end stays whole: first the context that is
 * being added is shortened, then what stands between the two. Cuts fall between
 * UTF-8 characters and are marked by an ellipsis.
 *
 * Everything is formatted beside the error before it is stored, so that an
 * error's own sentence may be an argument; errno is left as it was found.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS     "\xe2\x80\xa6"
#define ELLIPSIS_LEN (sizeof(ELLIPSIS) - 1)
#define ROOM         (AY_ERR_MSG_MAX - 1)
#define CONTEXT_MIN  (ROOM / 4) /* what new context gets at least, however long the rest is */

static bool inside_char(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Append the first @max bytes of @s, ending in an ellipsis when that is not all; returns bytes written. */
static size_t put_start(char *dst, const char *s, size_t len, size_t max)
{
	if (len <= max) {
		memcpy(dst, s, len);
		return len;
	}
	size_t keep = max - ELLIPSIS_LEN;
	while (keep > 0 && inside_char(s[keep]))
		keep--;
	memcpy(dst, s, keep);
	memcpy(dst + keep, ELLIPSIS, ELLIPSIS_LEN);
	return keep + ELLIPSIS_LEN;
}

/* Append the last @max bytes of @s, beginning with an ellipsis when that is not all. */
static size_t put_end(char *dst, const char *s, size_t len, size_t max)
{
	if (len <= max) {
		memcpy(dst, s, len);
		return len;
	}
	size_t skip = len - (max - ELLIPSIS_LEN);
	while (skip < len && inside_char(s[skip]))
		skip++;
	memcpy(dst, ELLIPSIS, ELLIPSIS_LEN);
	memcpy(dst + ELLIPSIS_LEN, s + skip, len - skip);
	return ELLIPSIS_LEN + len - skip;
}

/* "@context: @reason" in at most ROOM bytes. */
static void join(char out[AY_ERR_MSG_MAX], const char *context, const char *reason)
{
	size_t clen = strlen(context), rlen = strlen(reason), n = 0;

	if (clen > 0) {
		size_t least = clen < CONTEXT_MIN ? clen : CONTEXT_MIN;
		size_t rmax = ROOM - 2 - least;
		size_t cmax = ROOM - 2 - (rlen < rmax ? rlen : rmax);
		n = put_start(out, context, clen, cmax);
		memcpy(out + n, ": ", 2);
		n += 2;
	}
	n += put_end(out + n, reason, rlen, ROOM - n);
	out[n] = '\0';
}

/* Format into @out; what does not fit ends in an ellipsis. */
__attribute__((format(printf, 2, 0))) static void format(char out[AY_ERR_MSG_MAX], const char *fmt,
							 va_list ap)
{
	int n = vsnprintf(out, AY_ERR_MSG_MAX, fmt, ap);
	if (n < 0) {
		memcpy(out, "?", 2);
	} else if (n > ROOM) {
		size_t keep = ROOM - ELLIPSIS_LEN;
		while (keep > 0 && inside_char(out[keep]))
			keep--;
		memcpy(out + keep, ELLIPSIS, ELLIPSIS_LEN + 1);
	}
}

int ay_err_set(struct ay_err *err, int code, const char *fmt, ...)
{
	AY_ASSERT(code < 0);
	if (!err)
		return code;
	int saved = errno;
	char msg[AY_ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	format(msg, fmt, ap);
	va_end(ap);
	err->code = code;
	memcpy(err->msg, msg, strlen(msg) + 1);
	errno = saved;
	return code;
}

/* What a person can do about a failure of the system; "": the text says all. */
static const char *advice(int code)
{
	switch (code) {
	case -ENOSPC:
		return "; delete files on that file system or run `ayni gc`";
	case -EDQUOT:
		return "; have the quota raised, delete files of its owner or run `ayni gc`";
	case -EMFILE:
		return "; raise the limit of open files (ulimit -n)";
	case -ENFILE:
		return "; too many files are open on this machine: end some programs";
	case -EIO:
		return "; if it is a disk it may be failing: see the kernel's messages (dmesg)";
	case -EINTR:
		return "; try again";
	default:
		return "";
	}
}

int ay_err_errno(struct ay_err *err, int errnum, const char *fmt, ...)
{
	AY_ASSERT(errnum >= 0);
	int code = errnum > 0 ? -errnum : -EIO;
	if (!err)
		return code;
	int saved = errno;
	char context[AY_ERR_MSG_MAX], reason[AY_ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	format(context, fmt, ap);
	va_end(ap);
	err->code = code;
	snprintf(reason, sizeof(reason), "%s%s", ay_strerror(code), errnum ? advice(code) : "");
	join(err->msg, context, reason);
	errno = saved;
	return code;
}

int ay_err_wrap(struct ay_err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	int saved = errno;
	char context[AY_ERR_MSG_MAX], reason[AY_ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	format(context, fmt, ap);
	va_end(ap);
	if (err->code == 0) {
		AY_ASSERT(code < 0);
		err->code = code;
	}
	const char *old = err->msg[0] ? err->msg : ay_strerror(err->code);
	memcpy(reason, old, strlen(old) + 1);
	join(err->msg, context, reason);
	errno = saved;
	return err->code;
}

const char *ay_strerror(int code)
{
	switch (code) {
#define TEXT(name, value, text)                                                                              \
	case name:                                                                                           \
		return text;
		AY_ERRORS(TEXT)
#undef TEXT
	case 0:
		return "success";
	}
	/* The _np forms never allocate and never translate: the same text in every log. */
	const char *text = code < 0 && code > -4096 ? strerrordesc_np(-code) : NULL;
	return text ? text : "unknown error";
}

const char *ay_error_name(int code)
{
	switch (code) {
#define NAME(name, value, text)                                                                              \
	case name:                                                                                           \
		return #name;
		AY_ERRORS(NAME)
#undef NAME
	case 0:
		return "OK";
	}
	const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
	return name ? name : "UNKNOWN";
}

void ay_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "ayni: a mistake of the program itself at %s:%d: %s\n", file, line, what);
	fflush(NULL);
	abort();
}
