/* SPDX-License-Identifier: MIT */
/*
 * node/packages.h - which packages a directory tree says it has, and how two such lists differ.
 *
 * dpkg   var/lib/dpkg/status, var/lib/dpkg/status.d/NAME
 * apk    lib/apk/db/installed, usr/lib/apk/db/installed
 * opkg   usr/lib/opkg/status, var/lib/opkg/status, opt/lib/opkg/status
 * rpm    var/lib/rpm/rpmdb.sqlite, usr/lib/sysimage/rpm/rpmdb.sqlite, usr/share/rpm/rpmdb.sqlite
 *
 * The tree is a stranger's: files are opened strictly beneath it, no symbolic link is followed, sizes are bounded, and
 * what is not of the form that the package manager writes is refused with its place.
 */
#ifndef AYNI_NODE_PACKAGES_H
#define AYNI_NODE_PACKAGES_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"

#define AY_PACKAGES_MAX      (1u << 20) /* in one tree; distributions have 100,000 in all */
#define AY_PACKAGE_WORD_MAX  255        /* bytes of a name, a version or an architecture */
#define AY_PACKAGES_TEXT_MAX (128u << 20)
#define AY_PACKAGES_RPM_MAX  (1u << 30)

enum ay_package_db { AY_PACKAGES_DPKG, AY_PACKAGES_APK, AY_PACKAGES_OPKG, AY_PACKAGES_RPM, AY_PACKAGE_DBS };

/* Offsets into the list's text, each of a NUL-terminated word of printable ASCII; the version may be empty. */
struct ay_package {
	enum ay_package_db db;
	size_t name, arch, version;
};

/* Zero-initialise; release. */
struct ay_packages {
	struct ay_package *all; /* owned */
	size_t n, cap;
	struct ay_buf text;
	unsigned dbs;    /* bit i: a database of that kind was found */
	unsigned linked; /* bit i: a place of one is behind a symbolic link */
};

void ay_packages_release(struct ay_packages *list);
const char *ay_package_db_name(enum ay_package_db db);

/** ay_packages_add() - 0; AY_EFORMAT a word that is none, AY_ELIMIT, -ENOMEM. */
int ay_packages_add(struct ay_packages *list, enum ay_package_db db, struct ay_slice name,
		    struct ay_slice arch, struct ay_slice version, struct ay_err *err);

/** ay_packages_control() - dpkg's and opkg's status: stanzas of "Field: value". Those not installed are left out. */
int ay_packages_control(struct ay_packages *list, enum ay_package_db db, const void *data, size_t len,
			struct ay_err *err);
/** ay_packages_apk() - apk's database: stanzas of "X:value". */
int ay_packages_apk(struct ay_packages *list, const void *data, size_t len, struct ay_err *err);
/** ay_packages_rpm_header() - one package's header as the rpm database holds it. */
int ay_packages_rpm_header(struct ay_packages *list, const void *data, size_t len, struct ay_err *err);
/**
 * ay_packages_rpm_sqlite() - a whole database in memory; @data is changed, and @len at least 1.
 * A statement of it that goes on for too long is stopped: AY_ELIMIT.
 */
int ay_packages_rpm_sqlite(struct ay_packages *list, uint8_t *data, size_t len, struct ay_err *err);

/**
 * ay_packages_read() - all databases below the directory @root, whose name for messages is @name.
 * @warn: told of what makes the answer doubtful (a log that was not merged, a link that is not followed); may be NULL.
 *
 * Return: 0, also when there is none; AY_EFORMAT, AY_ELIMIT naming the file; -errno, -ENOMEM.
 */
int ay_packages_read(struct ay_packages *list, int root, const char *name, void (*warn)(const char *sentence),
		     struct ay_err *err);

struct ay_packages_difference {
	uint64_t added, removed, changed, same;
	json_t *json; /* with @json: "added", "removed", "changed"; the caller's */
};

/** ay_packages_compare() - print a line for each difference, or (@json) collect it. 0, -ENOMEM. Sorts both. */
int ay_packages_compare(struct ay_packages *old, struct ay_packages *new_, bool json,
			struct ay_packages_difference *out, struct ay_err *err);

#endif
