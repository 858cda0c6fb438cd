/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a package database: byte 0 says as which kind (0 dpkg, 1 apk, 2 opkg, 3 an rpm header, 4 rpm's SQLite file).
 * Whatever is accepted consists of printable words and is equal to itself.
 */
#include <stdlib.h>
#include <string.h>

#include "node/packages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int parse(struct ay_packages *list, unsigned kind, uint8_t *data, size_t len, struct ay_err *err)
{
	switch (kind) {
	case 0:
		return ay_packages_control(list, AY_PACKAGES_DPKG, data, len, err);
	case 1:
		return ay_packages_apk(list, data, len, err);
	case 2:
		return ay_packages_control(list, AY_PACKAGES_OPKG, data, len, err);
	case 3:
		return ay_packages_rpm_header(list, data, len, err);
	default:
		return len ? ay_packages_rpm_sqlite(list, data, len, err) : 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_packages a = {0}, b = {0};
	struct ay_packages_difference d;
	struct ay_err err = {0};

	if (len < 1)
		return 0;
	unsigned kind = data[0] % 5;
	uint8_t *copy = malloc(len);
	AY_ASSERT(copy);
	memcpy(copy, data + 1, len - 1);
	int r = parse(&a, kind, copy, len - 1, &err);
	AY_ASSERT(r <= 0 && (r == 0 || err.msg[0]));
	for (size_t i = 0; i + 1 < a.text.len; i++)
		AY_ASSERT(a.text.data[i] == 0 || (a.text.data[i] > 0x20 && a.text.data[i] < 0x7f));
	if (r == 0) {
		memcpy(copy, data + 1, len - 1);
		AY_ASSERT(parse(&b, kind, copy, len - 1, &err) == 0 && a.n == b.n);
		AY_ASSERT(ay_packages_compare(&a, &b, true, &d, &err) == 0);
		AY_ASSERT(d.added == 0 && d.removed == 0 && d.changed == 0 && d.same == a.n);
		json_decref(d.json);
	}
	ay_packages_release(&a);
	ay_packages_release(&b);
	free(copy);
	return 0;
}
