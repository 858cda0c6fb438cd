/* SPDX-License-Identifier: MIT */
/* VERSION, the file that makes a directory a store: which version of its layout, and the options. */
#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

#define VERSION_LINE "ayni-store 1\n"

void ay__store_version_text(const struct ay__store_options *o, char out[AY__STORE_VERSION_TEXT_MAX])
{
	static const char *const verity[] = {
		[AY_VERITY_AUTO] = "", [AY_VERITY_YES] = "verity=yes\n", [AY_VERITY_NO] = "verity=no\n"};

	snprintf(out, AY__STORE_VERSION_TEXT_MAX, VERSION_LINE "%s%s", o->owner_me ? "owner=me\n" : "",
		 verity[o->verity]);
}

int ay__store_version_write(struct ay_store *s, struct ay_err *err)
{
	const struct ay__store_options o = {.owner_me = s->owner_me, .verity = s->verity};
	char text[AY__STORE_VERSION_TEXT_MAX];

	ay__store_version_text(&o, text);
	return ay__store_replace_file(s->fs, s->dir, AY__STORE_VERSION_FILE, text, strlen(text), err);
}

int ay__store_version_parse(const char *text, size_t len, struct ay__store_options *out)
{
	static const char magic[] = "ayni-store ";

	/* There are six of them: each option once, in this order. */
	for (int i = 0; i < 6; i++) {
		const struct ay__store_options o = {.owner_me = i & 1, .verity = (enum ay_verity)(i / 2)};
		char known[AY__STORE_VERSION_TEXT_MAX];
		ay__store_version_text(&o, known);
		if (len == strlen(known) && memcmp(text, known, len) == 0) {
			*out = o;
			return 0;
		}
	}
	return len >= strlen(magic) && memcmp(text, magic, strlen(magic)) == 0 ? AY_EVERSION : AY_ESTORE;
}
