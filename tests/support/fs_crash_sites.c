/* SPDX-License-Identifier: MIT */
/* The names of syncs, by which mutants are chosen. See fs_crash.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fs_crash.h"

/* Which sync is this? Serials, buckets, digests and random names are starred. */
static void star(const char *path, char *out, size_t size)
{
	bool in_branches = false;
	size_t n = 0;

	out[0] = '\0';
	while (*path && n + 1 < size) {
		size_t len = strcspn(path, "/"), hex = strspn(path, "0123456789abcdef"), keep = len;
		const char *tail = "*";
		if (strncmp(path, "staging-", 8) == 0)
			keep = 8;
		else if (strncmp(path, ".tmp-", 5) == 0)
			keep = 5;
		else if (in_branches)
			keep = 0;
		else if (strspn(path, "0123456789") == len || (hex == len && (len == 2 || len >= 16)))
			keep = 0;
		else if (hex == 64) /* a digest and what kind of file it is */
			keep = 0, tail = len > 66 && path[65] == 'h' ? "*.hashes" : "*.*";
		n += (size_t)snprintf(out + n, size - n, "%.*s%s%s", (int)keep, path, keep != len ? tail : "",
				      path[len] ? "/" : "");
		in_branches = len == 8 && strncmp(path, "branches", 8) == 0;
		path += len + (path[len] == '/');
	}
}

static unsigned count_name(struct fs_crash *c, const char *name)
{
	for (unsigned i = 0; i < c->n_counts; i++) {
		if (strcmp(c->counts[i].name, name) == 0)
			return ++c->counts[i].n;
	}
	c->counts = reallocarray(c->counts, c->n_counts + 1, sizeof(*c->counts));
	if (!c->counts)
		crash_die("out of memory");
	c->counts[c->n_counts].name = strdup(name);
	c->counts[c->n_counts].n = 1;
	return c->counts[c->n_counts++].n;
}

static unsigned site_number(struct fs_crash *c, const void *site)
{
	struct crash_sites *s = c->sites;
	unsigned i = 0;

	if (!s)
		return 0;
	while (i < s->n && s->at[i] != site)
		i++;
	if (i == sizeof(s->at) / sizeof(s->at[0]))
		crash_die("more than %u places that sync", i);
	if (i == s->n)
		s->at[s->n++] = site;
	return i;
}

bool fs_crash__is_mutant(struct fs_crash *c, const char *op, uint32_t inode, const void *site,
			 char full[1300])
{
	char real_path[1024], path[1024], name[1200];

	crash_path(&c->log, inode, real_path, sizeof(real_path));
	star(real_path, path, sizeof(path));
	snprintf(name, sizeof(name), "%s %s %s", c->label, op, path[0] ? path : ".");
	/* Of files and directories the place tells enough; syncfs has but one path. */
	snprintf(full, 1300, "%s #%u @%u", name, strcmp(op, "syncfs") == 0 ? count_name(c, name) : 1,
		 site_number(c, site));
	bool hit = c->mutant && strcmp(c->mutant, full) == 0;
	c->mutated |= hit;
	return hit;
}

void fs_crash__note_useful(struct fs_crash *c, const char *name, const void *site)
{
	unsigned i = 0;

	if (c->sites)
		c->sites->useful[site_number(c, site)] = true;
	while (i < c->n_syncs && strcmp(c->syncs[i].name, name) != 0)
		i++;
	if (i == c->n_syncs) {
		c->syncs = reallocarray(c->syncs, c->n_syncs + 1, sizeof(*c->syncs));
		if (!c->syncs)
			crash_die("out of memory");
		c->syncs[c->n_syncs++] = (struct crash_synced){.name = strdup(name)};
	}
	c->syncs[i].waits = true;
}

void fs_crash__note_overtaken(struct fs_crash *c)
{
	for (unsigned i = 0; i < c->n_syncs; i++) {
		c->syncs[i].overtaken |= c->syncs[i].waits;
		c->syncs[i].waits = false;
	}
}
