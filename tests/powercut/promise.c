/* SPDX-License-Identifier: MIT */
/* Promises against facts, both as text, so that a failure can be read by a person. */
#include "tests/powercut/promise.h"

#include <stdio.h>
#include <string.h>

void promises_init(struct promises *ps)
{
	memset(ps, 0, sizeof(*ps));
}

static struct promise *find(struct promises *ps, const char *key)
{
	for (unsigned i = 0; i < ps->n; i++) {
		if (strcmp(ps->p[i].key, key) == 0)
			return &ps->p[i];
	}
	return NULL;
}

static bool is_bits(const char *v)
{
	return v[0] && strspn(v, "01") == strlen(v);
}

static bool mark_line(struct promises *ps, const char *line)
{
	char verb[8], key[KEY_LEN], value[VALUE_LEN];

	if (sscanf(line, "%7s %63s %47s", verb, key, value) != 3)
		return false;
	struct promise *p = find(ps, key);
	if (!p) {
		if (ps->n == KEYS_MAX)
			return false;
		p = &ps->p[ps->n++];
		*p = (struct promise){.n = 1};
		memcpy(p->key, key, sizeof(key));
		p->values[0][0] = '-';
	}
	if (strcmp(verb, "may") == 0) {
		for (unsigned i = 0; i < p->n; i++) {
			if (strcmp(p->values[i], value) == 0)
				return true;
		}
		if (p->n == VALUES_MAX)
			return false;
		memcpy(p->values[p->n++], value, sizeof(value));
		return true;
	}
	if (strcmp(verb, "must") != 0 && !(strcmp(verb, "had") == 0 && is_bits(value)))
		return false;
	memcpy(p->values[0], value, sizeof(value));
	p->n = 1;
	return true;
}

bool promises_mark(struct promises *ps, const char *text, size_t len)
{
	char line[256];

	if (len > 0 && text[0] == '#')
		return true; /* for people, and for who looks for the places */
	ps->version++;
	for (const char *end = text + len; text < end;) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		if (n >= sizeof(line))
			return false;
		memcpy(line, text, n);
		line[n] = '\0';
		if (n && !mark_line(ps, line))
			return false;
		text += n + 1;
	}
	return true;
}

static bool fits(const char *value, const char *wanted)
{
	if (strcmp(value, wanted) == 0 || strcmp(wanted, "*") == 0)
		return true;
	if (!is_bits(wanted) || (strcmp(value, "whole") != 0 && strlen(value) != strlen(wanted)))
		return false;
	if (strcmp(value, "whole") == 0)
		return true;
	for (size_t i = 0; wanted[i]; i++) {
		if (wanted[i] == '1' && value[i] != '1')
			return false;
	}
	return true;
}

static bool check(const struct promise *p, const char *key, const char *value, char *why, size_t why_len)
{
	char wanted[VALUES_MAX * (VALUE_LEN + 4)] = "-";
	size_t at = 0;

	for (unsigned i = 0; p && i < p->n; i++) {
		if (fits(value, p->values[i]))
			return true;
		at += (size_t)snprintf(wanted + at, sizeof(wanted) - at, "%s%s", i ? " or " : "",
				       p->values[i]);
	}
	if (!p && strcmp(value, "-") == 0)
		return true;
	if (why)
		snprintf(why, why_len, "%s is %s, and must be %s", key, value, wanted);
	return false;
}

bool promises_kept(const struct promises *ps, const char *facts, char *why, size_t why_len)
{
	bool seen[KEYS_MAX] = {false};
	char key[KEY_LEN], value[VALUE_LEN];

	for (const char *line = facts; *line;) {
		size_t n = strcspn(line, "\n");
		if (strncmp(line, "bad ", 4) == 0) {
			if (why)
				snprintf(why, why_len, "%.*s", (int)n - 4, line + 4);
			return false;
		}
		if (line[0] != '#' && sscanf(line, "%63s %47s", key, value) == 2) {
			const struct promise *p = NULL;
			for (unsigned i = 0; i < ps->n && !p; i++) {
				if (strcmp(ps->p[i].key, key) == 0) {
					seen[i] = true;
					p = &ps->p[i];
				}
			}
			if (!check(p, key, value, why, why_len))
				return false;
		}
		line += n + (line[n] == '\n');
	}
	for (unsigned i = 0; i < ps->n; i++) {
		if (!seen[i] && !check(&ps->p[i], ps->p[i].key, "-", why, why_len))
			return false;
	}
	return true;
}

void promises_kind(const char *why, char *out, size_t len)
{
	size_t at = 0;

	for (const char *p = why; *p && at + 1 < len;) {
		size_t hex = strspn(p, "0123456789abcdef"), digits = strspn(p, "0123456789");
		size_t n = hex >= 8 ? hex : digits;
		out[at++] = n ? '#' : *p;
		p += n ? n : 1;
	}
	out[at] = '\0';
}
