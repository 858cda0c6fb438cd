/* SPDX-License-Identifier: MIT */
/*
 * node/log.h - one line per important event, to stderr.
 *
 * Lines get the "<4>" prefixes of sd-daemon(3) only when stderr is the journal
 * (JOURNAL_STREAM is set), so that a person at a terminal reads plain sentences.
 */
#ifndef AYNI_NODE_LOG_H
#define AYNI_NODE_LOG_H

/* syslog(3)'s numbers, as sd-daemon(3) wants them. */
enum ay_log_level { AY_LOG_ERROR = 3, AY_LOG_WARNING = 4, AY_LOG_NOTICE = 5, AY_LOG_INFO = 6 };

/** ay_log() - write one line; control characters in it (a peer may have chosen them) become '?'. */
void ay_log(enum ay_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
