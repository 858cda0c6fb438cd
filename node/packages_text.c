/* SPDX-License-Identifier: MIT */
/*
 * Package databases that are text: dpkg's, opkg's and apk's. Lines are taken as they come; only the few fields that say
 * which package of which version is installed are looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/packages.h"

const char *ay_package_db_name(enum ay_package_db db)
{
	static const char *const names[AY_PACKAGE_DBS] = {"dpkg", "apk", "opkg", "rpm"};
	return names[db];
}

void ay_packages_release(struct ay_packages *list)
{
	free(list->all);
	ay_buf_release(&list->text);
	*list = (struct ay_packages){0};
}

/* Nothing of a stranger's file that could move a cursor gets into the list. */
static int put_word(struct ay_packages *list, struct ay_slice word, const char *what, bool needed,
		    size_t *offset, struct ay_err *err)
{
	if (word.len > AY_PACKAGE_WORD_MAX || (needed && word.len == 0))
		return ay_err_set(err, AY_EFORMAT, "a package's %s of %zu bytes", what, word.len);
	for (size_t i = 0; i < word.len; i++) {
		if (word.data[i] <= 0x20 || word.data[i] > 0x7e)
			return ay_err_set(err, AY_EFORMAT, "a package's %s with the byte 0x%02x", what,
					  word.data[i]);
	}
	*offset = list->text.len;
	ay_put_bytes(&list->text, word.data, word.len);
	ay_put_u8(&list->text, 0);
	return list->text.failed ? ay_err_set(err, -ENOMEM, "out of memory") : 0;
}

int ay_packages_add(struct ay_packages *list, enum ay_package_db db, struct ay_slice name,
		    struct ay_slice arch, struct ay_slice version, struct ay_err *err)
{
	struct ay_package p = {.db = db};

	if (list->n == AY_PACKAGES_MAX)
		return ay_err_set(err, AY_ELIMIT, "more than %u packages", AY_PACKAGES_MAX);
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 256;
		struct ay_package *grown = reallocarray(list->all, cap, sizeof(*grown));
		if (!grown)
			return ay_err_set(err, -ENOMEM, "out of memory");
		list->all = grown;
		list->cap = cap;
	}
	int r = put_word(list, name, "name", true, &p.name, err);
	if (r == 0)
		r = put_word(list, arch, "architecture", false, &p.arch, err);
	if (r == 0)
		r = put_word(list, version, "version", false, &p.version, err);
	if (r == 0)
		list->all[list->n++] = p;
	return r;
}

/* The next line without its newline; false at the end. */
static bool next_line(struct ay_slice *rest, struct ay_slice *line)
{
	if (rest->len == 0)
		return false;
	const uint8_t *end = memchr(rest->data, '\n', rest->len);
	line->data = rest->data;
	line->len = end ? (size_t)(end - rest->data) : rest->len;
	size_t step = line->len + (end != NULL);
	rest->data += step;
	rest->len -= step;
	return true;
}

static struct ay_slice trimmed(struct ay_slice s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 &&
	       (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t' || s.data[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* Is @line the field @name? Then its value. Case does not matter, as dpkg has it. */
static bool field(struct ay_slice line, const char *name, struct ay_slice *value)
{
	size_t n = strlen(name);

	if (line.len <= n || line.data[n] != ':' || strncasecmp((const char *)line.data, name, n) != 0)
		return false;
	*value = trimmed((struct ay_slice){line.data + n + 1, line.len - n - 1});
	return true;
}

/* "install ok installed": the last word says how it stands; without a Status (status.d) it is there. */
static bool is_installed(struct ay_slice status)
{
	static const char *const gone[] = {"not-installed", "config-files"};
	size_t at = status.len;

	while (at > 0 && status.data[at - 1] != ' ')
		at--;
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		if (status.len - at == strlen(gone[i]) &&
		    memcmp(status.data + at, gone[i], strlen(gone[i])) == 0)
			return false;
	}
	return true;
}

struct stanza {
	struct ay_slice name, arch, version, status;
};

static int put_stanza(struct ay_packages *list, enum ay_package_db db, const struct stanza *s, uint64_t line,
		      struct ay_err *err)
{
	if (s->name.len == 0 || !is_installed(s->status))
		return 0;
	int r = ay_packages_add(list, db, s->name, s->arch, s->version, err);
	return r < 0 ? ay_err_wrap(err, r, "before line %llu", (unsigned long long)line) : 0;
}

int ay_packages_control(struct ay_packages *list, enum ay_package_db db, const void *data, size_t len,
			struct ay_err *err)
{
	struct ay_slice rest = {data, len}, line;
	struct stanza s = {0};
	uint64_t n = 0;
	int r = 0;

	while (r == 0 && next_line(&rest, &line)) {
		n++;
		if (trimmed(line).len == 0) {
			r = put_stanza(list, db, &s, n, err);
			s = (struct stanza){0};
			continue;
		}
		if (line.data[0] == ' ' || line.data[0] == '\t')
			continue; /* goes on with a field that says nothing to us */
		if (!memchr(line.data, ':', line.len))
			return ay_err_set(err, AY_EFORMAT, "line %llu is no field", (unsigned long long)n);
		if (!field(line, "Package", &s.name) && !field(line, "Architecture", &s.arch) &&
		    !field(line, "Version", &s.version))
			field(line, "Status", &s.status);
	}
	return r == 0 ? put_stanza(list, db, &s, n + 1, err) : r;
}

int ay_packages_apk(struct ay_packages *list, const void *data, size_t len, struct ay_err *err)
{
	struct ay_slice rest = {data, len}, line;
	struct stanza s = {0};
	uint64_t n = 0;
	int r = 0;

	while (r == 0 && next_line(&rest, &line)) {
		n++;
		if (line.len == 0) {
			r = put_stanza(list, AY_PACKAGES_APK, &s, n, err);
			s = (struct stanza){0};
			continue;
		}
		if (line.len < 2 || line.data[1] != ':')
			return ay_err_set(err, AY_EFORMAT, "line %llu is no field", (unsigned long long)n);
		struct ay_slice value = trimmed((struct ay_slice){line.data + 2, line.len - 2});
		if (line.data[0] == 'P')
			s.name = value;
		else if (line.data[0] == 'A')
			s.arch = value;
		else if (line.data[0] == 'V')
			s.version = value;
	}
	return r == 0 ? put_stanza(list, AY_PACKAGES_APK, &s, n + 1, err) : r;
}
