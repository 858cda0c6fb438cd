/* SPDX-License-Identifier: MIT */
/*
 * store/journal.h - what happened to a branch here: state/journal/<percent-encoded branch>.
 *
 *     ayni-journal 1
 *     TIME EVENT SERIAL FROM WHY...
 *
 * TIME in seconds since 1970 as the machine believed; EVENT a word; SERIAL of whom it tells; FROM the serial that was
 * current before, or 0; WHY the rest of the line, perhaps empty. Replaced as a whole at each entry, so it is the old or
 * the new one after a power cut; the newest AY_JOURNAL_MAX entries stay. It only tells: nothing is decided by it, and
 * one that is damaged loses its bad lines and nothing else.
 *
 * Version history: 1 (first).
 */
#ifndef AYNI_STORE_JOURNAL_H
#define AYNI_STORE_JOURNAL_H

#include "base/bytes.h"
#include "store/store.h"

#define AY_JOURNAL_MAX     200 /* a release a week: years of it; the file stays below 64 KiB */
#define AY_JOURNAL_WHY_MAX 200 /* bytes; longer sentences are cut */

enum ay_journal_event {
	AY_JOURNAL_INSTALLED,   /* its tree is complete */
	AY_JOURNAL_SWITCHED,    /* it became current */
	AY_JOURNAL_REFUSED,     /* a pre-switch hook said no */
	AY_JOURNAL_GOOD,        /* its trial ended well */
	AY_JOURNAL_FAILED,      /* its trial did not */
	AY_JOURNAL_ROLLED_BACK, /* SERIAL is current again */
	AY_JOURNAL_PINNED,
	AY_JOURNAL_UNPINNED,
	AY_JOURNAL_COLLECTED, /* its tree was removed */
	AY_JOURNAL_EVENTS,
};

struct ay_journal_entry {
	int64_t time_s;
	enum ay_journal_event event;
	uint32_t serial, from;
	char why[AY_JOURNAL_WHY_MAX + 1];
};

const char *ay_journal_event_name(enum ay_journal_event e);

/**
 * ay_journal_add() - write down what happened, now; durable. @why: a sentence or NULL; control characters become '?'.
 * A failure is told and harmless: what happened has happened.
 */
int ay_journal_add(struct ay_store *s, const char *branch, enum ay_journal_event event, uint32_t serial,
		   uint32_t from, const char *why, struct ay_err *err);
/** ay_journal_read() - the oldest first; free(*@out). None is success. */
int ay_journal_read(struct ay_store *s, const char *branch, struct ay_journal_entry **out, size_t *n,
		    struct ay_err *err);

/** ay__journal_parse_line() - one line without its newline; false: not one. */
bool ay__journal_parse_line(const char *line, size_t len, struct ay_journal_entry *out);
/** ay__journal_write_line() - with its newline. */
void ay__journal_write_line(const struct ay_journal_entry *e, struct ay_buf *out);

#endif
