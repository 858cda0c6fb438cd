/* SPDX-License-Identifier: MIT */
/*
 * The log. Each line is one write(2), so that the daemon's lines and those of its worker never mix.
 */
#include "node/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048 /* a sentence of struct ay_err, and room around it */

void ay_log(enum ay_log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t start = 0;
	if (getenv("JOURNAL_STREAM"))
		start = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t len = start + (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = start; i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if (c < 0x20 || c == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written; /* nobody is left to be told */
}
