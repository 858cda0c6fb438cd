/* SPDX-License-Identifier: MIT */
/* Any bytes as percent text, file name, tree path and branch name, each against a slow and simple model. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What is accepted is exactly what encoding writes; what is encoded comes back. */
static void percent(const uint8_t *data, size_t len)
{
	struct ay_buf a = {0}, b = {0};

	int rc = ay_percent_get(&a, (const char *)data, len);
	AY_ASSERT(rc == 0 || (rc == AY_EFORMAT && a.len == 0));
	if (rc == 0) {
		ay_percent_put(&b, a.data, a.len);
		AY_ASSERT(b.len == len && (len == 0 || memcmp(b.data, data, len) == 0));
	}
	ay_buf_reset(&a);
	ay_buf_reset(&b);
	ay_percent_put(&a, data, len);
	for (size_t i = 0; i < a.len; i++)
		AY_ASSERT(a.data[i] >= 0x21 && a.data[i] <= 0x7e);
	AY_ASSERT(ay_percent_get(&b, (const char *)a.data, a.len) == 0);
	AY_ASSERT(b.len == len && (len == 0 || memcmp(b.data, data, len) == 0));
	ay_buf_release(&a);
	ay_buf_release(&b);
}

/* The same for file names, which are also safe as one. */
static void file_name(const char *s)
{
	struct ay_buf a = {0}, b = {0};

	if (ay_percent_name(&a, s) == 0) {
		const char *file = (const char *)a.data;
		AY_ASSERT(strlen(file) == a.len && a.len > 0 && file[0] != '.' && !strchr(file, '/'));
		AY_ASSERT(ay_percent_unname(&b, file) == 0 && strcmp((const char *)b.data, s) == 0);
	} else {
		AY_ASSERT(s[0] == '\0');
	}
	ay_buf_reset(&a);
	ay_buf_reset(&b);
	if (ay_percent_unname(&a, s) == 0) {
		AY_ASSERT(ay_percent_name(&b, (const char *)a.data) == 0);
		AY_ASSERT(strcmp((const char *)b.data, s) == 0);
	}
	ay_buf_release(&a);
	ay_buf_release(&b);
}

/* Legal by the header's words, one component after the other. */
static bool model_components(const char *p, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && p[i] != '/') {
			n++;
			continue;
		}
		if (n == 0 || n > 255 || (n == 1 && p[i - 1] == '.') ||
		    (n == 2 && p[i - 1] == '.' && p[i - 2] == '.'))
			return false;
		n = 0;
	}
	return true;
}

static bool model_path(const char *p, size_t len)
{
	if (len == 1 && p[0] == '/')
		return true;
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\0')
			return false;
	}
	return len > 1 && len <= 4095 && p[0] == '/' && model_components(p + 1, len - 1);
}

static bool model_branch(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\0' || !strchr("abcdefghijklmnopqrstuvwxyz0123456789._-/", p[i]))
			return false;
	}
	return len > 0 && len <= 64 && model_components(p, len);
}

static bool check(const char *p, size_t len)
{
	bool ok = ay_path_check(p, len) == 0;
	AY_ASSERT(ok == model_path(p, len));
	AY_ASSERT((ay_branch_check(p, len) == 0) == model_branch(p, len));
	if (ok) {
		size_t parent = ay_path_parent_len(p, len);
		AY_ASSERT(parent < len && (parent == 0) == (len == 1));
		AY_ASSERT(parent == 0 || ay_path_check(p, parent) == 0);
		AY_ASSERT(ay_path_cmp(p, parent, p, len) < 0);
	}
	return ok;
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static bool is_below(const char *p, size_t len, const char *dir, size_t dir_len)
{
	if (dir_len == 1)
		return len > 1;
	return len > dir_len && memcmp(p, dir, dir_len) == 0 && p[dir_len] == '/';
}

struct str {
	const char *p;
	size_t len;
	bool legal;
};

/* A total order in which all that lies between a directory and something in it is in it too. */
static void order(const struct str s[3])
{
	int c[3][3];
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++)
			c[i][j] = sign(ay_path_cmp(s[i].p, s[i].len, s[j].p, s[j].len));
	}
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++) {
			AY_ASSERT(c[i][j] == -c[j][i]);
			bool same = s[i].len == s[j].len && memcmp(s[i].p, s[j].p, s[i].len) == 0;
			AY_ASSERT((c[i][j] == 0) == same);
			int k = 3 - i - j;
			if (i == j)
				continue;
			AY_ASSERT(!(c[i][j] < 0 && c[j][k] < 0) || c[i][k] < 0);
			if (s[i].legal && s[j].legal && s[k].legal && c[i][j] < 0 && c[j][k] < 0 &&
			    is_below(s[k].p, s[k].len, s[i].p, s[i].len))
				AY_ASSERT(is_below(s[j].p, s[j].len, s[i].p, s[i].len));
		}
	}
}

/* Up to three strings, apart by newlines: exact-size copies. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str s[3];
	char *copies[3];

	percent(data, len);
	for (int i = 0; i < 3; i++) {
		const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
		size_t n = end && i < 2 ? (size_t)(end - data) : len;
		copies[i] = malloc(n + 1);
		AY_ASSERT(copies[i]);
		if (n)
			memcpy(copies[i], data, n);
		copies[i][n] = '\0';
		file_name(copies[i]);
		s[i] = (struct str){copies[i], n, check(copies[i], n)};
		size_t used = n + (end && i < 2);
		data += used;
		len -= used;
	}
	order(s);
	for (int i = 0; i < 3; i++)
		free(copies[i]);
	return 0;
}
