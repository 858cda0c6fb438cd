/* SPDX-License-Identifier: MIT */
/*
 * The log itself. It is small (a life of a store makes some thousands of changes), so all
 * look-ups are walks, from the newest change back.
 */
#include "tests/support/crash_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crash_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("fs_crash: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* Room for one more of @size bytes in an array of @n. */
static void *grow(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? 2 * *cap : 256;
	p = reallocarray(p, *cap, size);
	if (!p)
		crash_die("out of memory");
	return p;
}

uint32_t crash_name(struct crash_log *l, const char *name)
{
	for (uint32_t i = l->n_names; i-- > 0;) {
		if (strcmp(l->names[i], name) == 0)
			return i;
	}
	l->names = grow(l->names, l->n_names, &l->cap_names, sizeof(*l->names));
	l->names[l->n_names] = strdup(name);
	return l->n_names++;
}

uint32_t crash_inode_add(struct crash_log *l, const struct crash_inode *i)
{
	if (l->n_inodes == 0) {
		l->inodes = grow(l->inodes, 0, &l->cap_inodes, sizeof(*l->inodes));
		l->inodes[l->n_inodes++] = (struct crash_inode){0};
	}
	l->inodes = grow(l->inodes, l->n_inodes, &l->cap_inodes, sizeof(*l->inodes));
	l->inodes[l->n_inodes] = *i;
	return l->n_inodes++;
}

uint32_t crash_inode_of(const struct crash_log *l, uint64_t real)
{
	for (uint32_t i = l->n_inodes; i-- > 1;) {
		if (l->inodes[i].real == real)
			return i;
	}
	return 0;
}

struct crash_change *crash_add(struct crash_log *l, uint32_t time, enum crash_what what, uint32_t inode,
			       uint32_t key)
{
	l->changes = grow(l->changes, l->n_changes, &l->cap_changes, sizeof(*l->changes));
	struct crash_change *c = &l->changes[l->n_changes++];
	*c = (struct crash_change){
		.time = time, .durable = CRASH_NEVER, .inode = inode, .key = key, .what = (uint8_t)what};
	return c;
}

uint64_t crash_current(const struct crash_log *l, enum crash_what what, uint32_t inode, uint32_t key,
		       uint64_t none)
{
	for (uint32_t i = l->n_changes; i-- > 0;) {
		const struct crash_change *c = &l->changes[i];
		if (c->inode == inode && c->what == what && c->key == key)
			return c->value;
	}
	return none;
}

static bool covers(enum crash_sync kind, uint32_t inode, const struct crash_change *c)
{
	if (kind == CRASH_SYNCFS)
		return true;
	return c->inode == inode &&
	       (kind == CRASH_FSYNC || c->what == CRASH_PAGE_DATA || c->what == CRASH_SIZE);
}

uint32_t crash_sync_at(struct crash_log *l, uint32_t time, enum crash_sync kind, uint32_t inode,
		       enum crash_fate fate)
{
	uint32_t clean = l->n_changes, n = 0;

	for (uint32_t i = l->n_clean; i < l->n_changes; i++) {
		struct crash_change *c = &l->changes[i];
		if (c->durable == CRASH_NEVER && !c->lost && covers(kind, inode, c)) {
			n++;
			if (fate == CRASH_DURABLE)
				c->durable = time;
			if (fate == CRASH_SUSPECT && c->suspect == 0)
				c->suspect = time;
			c->lost =
				fate == CRASH_LOST_ALL || (fate == CRASH_LOST && c->what == CRASH_PAGE_DATA);
		}
		if (c->durable == CRASH_NEVER && !c->lost && i < clean)
			clean = i;
	}
	l->n_clean = clean;
	return n;
}

void crash_path(const struct crash_log *l, uint32_t inode, char *out, size_t len)
{
	char tail[1024] = "", step[1024];

	for (int depth = 0; inode > 1 && depth < 64; depth++) {
		const struct crash_inode *i = &l->inodes[inode];
		if (snprintf(step, sizeof(step), "%s%s%s", l->names[i->name], tail[0] ? "/" : "", tail) < 0)
			break;
		memcpy(tail, step, sizeof(tail));
		inode = i->parent;
	}
	snprintf(out, len, "%s", tail);
}

void crash_log_release(struct crash_log *l)
{
	for (uint32_t i = 1; i < l->n_inodes; i++)
		free(l->inodes[i].target);
	for (uint32_t i = 0; i < l->n_changes; i++)
		free(l->changes[i].bytes);
	for (uint32_t i = 0; i < l->n_names; i++)
		free(l->names[i]);
	free(l->inodes);
	free(l->changes);
	free(l->names);
	*l = (struct crash_log){0};
}

const struct crash_change *crash_suspect(const struct crash_log *log, struct ay_prng *r)
{
	const struct crash_change *pick = NULL;
	uint64_t n = 0;

	for (uint32_t i = 0; i < log->n_changes; i++) {
		if (log->changes[i].suspect && ay_prng_below(r, ++n) == 0)
			pick = &log->changes[i];
	}
	return pick;
}
