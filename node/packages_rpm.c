/* SPDX-License-Identifier: MIT */
/*
 * rpm's database: an SQLite file with a table Packages(hnum, blob), each blob a package's header.
 *
 *   header: number of index entries (n), bytes of data (d), both u32; n index entries; d bytes of data
 *   index entry, 16 bytes: tag, type, offset in the data, count, each u32; all numbers big-endian
 *
 * Source: rpm's docs, "RPM v4 header format". Of its tags five are of interest.
 *
 * The file is a stranger's. SQLite gets a copy in memory and no file name, so that no journal, log or link beside it is
 * ever opened; it may use only so much memory beside that copy and so many steps, and trusts nothing in the schema.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "node/packages.h"

#define INDEX_SIZE  16
#define INDEX_MAX   65536u                    /* tags of one package */
#define HEADER_MAX  (64u << 20)               /* bytes; a kernel's header has one */
#define HEAP_MAX    ((int64_t)3 * HEADER_MAX) /* of SQLite: a row, put together from its pages, and the cache */
#define STEPS_EVERY 1000                      /* instructions of SQLite between two looks at */
#define STEPS_MAX   400000 /* so many looks: a database of 20,000 packages takes about 300 */

enum { TAG_NAME = 1000, TAG_VERSION = 1001, TAG_RELEASE = 1002, TAG_EPOCH = 1003, TAG_ARCH = 1022 };
enum { TYPE_INT32 = 4, TYPE_STRING = 6 };

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct header {
	const uint8_t *index, *data;
	uint32_t n, len;
};

/* The entry of @tag, of this type and with something in it; NULL: none. */
static const uint8_t *find_tag(const struct header *h, uint32_t tag, uint32_t type)
{
	for (uint32_t i = 0; i < h->n; i++) {
		const uint8_t *e = h->index + (size_t)i * INDEX_SIZE;
		if (be32(e) == tag && be32(e + 4) == type && be32(e + 12) > 0)
			return e;
	}
	return NULL;
}

static int get_string(const struct header *h, uint32_t tag, struct ay_slice *out, struct ay_err *err)
{
	const uint8_t *e = find_tag(h, tag, TYPE_STRING);

	*out = (struct ay_slice){(const uint8_t *)"", 0};
	if (!e)
		return 0;
	uint32_t at = be32(e + 8);
	const uint8_t *end = at < h->len ? memchr(h->data + at, 0, h->len - at) : NULL;
	if (!end)
		return ay_err_set(err, AY_EFORMAT, "tag %u: its text is outside the header", tag);
	*out = (struct ay_slice){h->data + at, (size_t)(end - (h->data + at))};
	return 0;
}

static int get_epoch(const struct header *h, bool *there, uint32_t *epoch, struct ay_err *err)
{
	const uint8_t *e = find_tag(h, TAG_EPOCH, TYPE_INT32);

	*there = e != NULL;
	if (!e)
		return 0;
	uint32_t at = be32(e + 8);
	if (at > h->len || h->len - at < 4)
		return ay_err_set(err, AY_EFORMAT, "tag %u: its number is outside the header", TAG_EPOCH);
	*epoch = be32(h->data + at);
	return 0;
}

static int parse_header(struct header *h, const uint8_t *data, size_t len, struct ay_err *err)
{
	if (len < 8)
		return ay_err_set(err, AY_EFORMAT, "%zu bytes are too few for a header", len);
	h->n = be32(data);
	h->len = be32(data + 4);
	if (h->n > INDEX_MAX || h->len > HEADER_MAX)
		return ay_err_set(err, AY_EFORMAT, "%u tags of %u bytes are more than any package has", h->n,
				  h->len);
	if (len - 8 < (size_t)h->n * INDEX_SIZE || len - 8 - (size_t)h->n * INDEX_SIZE < h->len)
		return ay_err_set(err, AY_EFORMAT, "%u tags of %u bytes are more than a header of %zu holds",
				  h->n, h->len, len);
	h->index = data + 8;
	h->data = h->index + (size_t)h->n * INDEX_SIZE;
	return 0;
}

int ay_packages_rpm_header(struct ay_packages *list, const void *data, size_t len, struct ay_err *err)
{
	struct ay_slice name, arch, version, release;
	struct header h;
	uint32_t epoch = 0;
	bool has_epoch;
	char evr[2 * AY_PACKAGE_WORD_MAX + 16] = "";
	int r = parse_header(&h, data, len, err);

	if (r < 0 || (r = get_string(&h, TAG_NAME, &name, err)) < 0 ||
	    (r = get_string(&h, TAG_VERSION, &version, err)) < 0 ||
	    (r = get_string(&h, TAG_RELEASE, &release, err)) < 0 ||
	    (r = get_string(&h, TAG_ARCH, &arch, err)) < 0 ||
	    (r = get_epoch(&h, &has_epoch, &epoch, err)) < 0)
		return r;
	if (version.len > AY_PACKAGE_WORD_MAX || release.len > AY_PACKAGE_WORD_MAX)
		return ay_err_set(err, AY_EFORMAT, "a package's version of %zu bytes",
				  version.len + release.len);
	size_t n = has_epoch ? (size_t)snprintf(evr, sizeof(evr), "%u:", epoch) : 0;
	n += (size_t)snprintf(evr + n, sizeof(evr) - n, "%.*s%s%.*s", (int)version.len,
			      (const char *)version.data, release.len ? "-" : "", (int)release.len,
			      (const char *)release.data);
	return ay_packages_add(list, AY_PACKAGES_RPM, name, arch, (struct ay_slice){(const uint8_t *)evr, n},
			       err);
}

/* ---- the database ---- */

static int count_steps(void *ctx)
{
	unsigned *steps = ctx;

	return ++*steps > STEPS_MAX;
}

static int complain(sqlite3 *db, unsigned steps, struct ay_err *err)
{
	int code = sqlite3_errcode(db);

	if (steps > STEPS_MAX)
		return ay_err_set(err, AY_ELIMIT, "reading it takes more steps than any real database needs");
	if (code == SQLITE_NOMEM)
		return ay_err_set(
			err, -ENOMEM,
			"out of memory, or reading it takes more than the %lld MiB that any real database "
			"needs",
			(long long)(HEAP_MAX >> 20));
	return ay_err_set(err, AY_EFORMAT, "SQLite: %s", sqlite3_errmsg(db));
}

static int read_rows(struct ay_packages *list, sqlite3 *db, unsigned *steps, struct ay_err *err)
{
	sqlite3_stmt *rows = NULL;
	uint64_t n = 0;
	int r = 0, step = SQLITE_ROW;

	if (sqlite3_prepare_v2(db, "SELECT blob FROM main.Packages NOT INDEXED", -1, &rows, NULL) !=
	    SQLITE_OK)
		return complain(db, *steps, err);
	while (r == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
		const void *blob = sqlite3_column_blob(rows, 0);
		int len = sqlite3_column_bytes(rows, 0);
		r = sqlite3_column_type(rows, 0) != SQLITE_BLOB || !blob
			    ? ay_err_set(err, AY_EFORMAT, "no header")
			    : ay_packages_rpm_header(list, blob, (size_t)len, err);
		if (r < 0)
			ay_err_wrap(err, r, "package %llu", (unsigned long long)n);
		n++;
	}
	if (r == 0 && step != SQLITE_DONE)
		r = complain(db, *steps, err);
	sqlite3_finalize(rows);
	return r;
}

static void distrust(sqlite3 *db, unsigned *steps)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)HEADER_MAX);
	sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 65536);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_progress_handler(db, STEPS_EVERY, count_steps, steps);
	sqlite3_exec(db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA query_only=ON", NULL, NULL,
		     NULL);
}

int ay_packages_rpm_sqlite(struct ay_packages *list, uint8_t *data, size_t len, struct ay_err *err)
{
	unsigned steps = 0;
	sqlite3 *db = NULL;
	int r;

	sqlite3_hard_heap_limit64(HEAP_MAX); /* of the process; nothing else in it uses SQLite */
	/* A database with a write-ahead log cannot be opened in memory; without its log it is one without. */
	if (len >= 20 && data[18] == 2 && data[19] == 2)
		data[18] = data[19] = 1;
	if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) !=
	    SQLITE_OK) {
		r = ay_err_set(err, -ENOMEM, "SQLite: %s", db ? sqlite3_errmsg(db) : "out of memory");
	} else {
		distrust(db, &steps);
		if (sqlite3_deserialize(db, "main", data, (sqlite3_int64)len, (sqlite3_int64)len,
					SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
			r = complain(db, steps, err);
		else
			r = read_rows(list, db, &steps, err);
	}
	sqlite3_close(db);
	return r;
}
