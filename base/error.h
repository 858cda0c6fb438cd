/* SPDX-License-Identifier: MIT */
/*
 * base/error.h - error codes and the sentence that goes with one.
 *
 * Every fallible function returns int: 0 or positive for success, a negative
 * code for failure. A system call's failure stays -errno; Ayni's own codes lie
 * below -5000 so that the two never meet (the habit of libuv).
 *
 * A code says what the caller should do; the sentence in struct ay_err says
 * what, where and why to a person. It is wrapped on the way up:
 *
 *     apply bundle 7f3a…: usr/lib/x.so: control offset 12 outside base (size 8)
 */
#ifndef AYNI_BASE_ERROR_H
#define AYNI_BASE_ERROR_H

#include <stddef.h>

/* One row per code: name, value, text. What the caller does about it is in the text's comment. */
#define AY_ERRORS(X)                                                                                         \
	X(AY_EFORMAT, -5001, "malformed data")       /* drop it; the sender is broken or hostile */          \
	X(AY_EVERSION, -5002, "unknown version")     /* tell the user to upgrade ayni; keep the data */      \
	X(AY_ESIG, -5003, "signature refused")       /* never retry the same bytes */                        \
	X(AY_EDIGEST, -5004, "digest mismatch")      /* throw the bytes away, fetch them elsewhere */        \
	X(AY_ELIMIT, -5005, "limit exceeded")        /* refuse; the limit is named in the message */         \
	X(AY_EROLLBACK, -5006, "older than allowed") /* refuse; a floor or replay rule bit */                \
	X(AY_EROLE, -5007, "not signed by a key that may sign this") /* refuse */                            \
	X(AY_EBASE, -5008, "base missing or changed")    /* take another way (other bundle, heal) */         \
	X(AY_ENOTHING, -5009, "nothing to do")           /* success without work; exit code 3 */             \
	X(AY_EUSAGE, -5010, "wrong usage")               /* print help; exit code 2 */                       \
	X(AY_EPEER, -5011, "peer misbehaved")            /* penalise the peer; the work goes on */           \
	X(AY_EUNSUPPORTED, -5012, "not supported")       /* codec, filter, key type this build lacks */      \
	X(AY_EBUSY, -5013, "in use by another process")  /* try again later */                               \
	X(AY_ESTORE, -5014, "store damaged")             /* `ayni verify` tells what */                      \
	X(AY_EHOOK, -5015, "refused by a hook")          /* the owner's own program said no; exit code 4 */  \
	X(AY_EHEALTH, -5016, "found not to work")        /* its trial failed; it was rolled back */          \
	X(AY_ESTATE, -5017, "not possible as it stands") /* what is asked for does not fit what is there */

enum ay_error {
#define AY_ERROR_ENUM(name, value, text) name = (value),
	AY_ERRORS(AY_ERROR_ENUM)
#undef AY_ERROR_ENUM
};

/* Longest sentence kept, NUL included. Long enough for two 255-byte names and a reason. */
#define AY_ERR_MSG_MAX 1024

/* An error's code and sentence. Zero-initialise; no release needed. */
struct ay_err {
	int code;
	char msg[AY_ERR_MSG_MAX];
};

/**
 * ay_err_set() - record an error.
 * @err: may be NULL (then only the code is passed on).
 * @code: negative.
 * @fmt: the sentence, printf style, without a full stop or newline.
 *
 * Return: @code, so that "return ay_err_set(...)" reads well.
 */
int ay_err_set(struct ay_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * ay_err_errno() - as ay_err_set() with code -@errnum; appends ": strerror" to the sentence, and what a person can do about
 * it where that can be said (no room, quota, too many files, a failing disk).
 * @errnum: positive; 0 (a library failed and did not say why) counts as EIO.
 */
int ay_err_errno(struct ay_err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * ay_err_wrap() - put context ("apply bundle 7f3a…") before the sentence, joined by ": ".
 *
 * An error that nobody has set yet gets @code and its text. When it gets too long the context is
 * shortened, then the sentence's start: its end, which says what went wrong, stays.
 *
 * Return: @err->code, or @code when @err is NULL.
 */
int ay_err_wrap(struct ay_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** ay_strerror() - a code's short text; works for -errno and ours. Static or thread-local storage. */
const char *ay_strerror(int code);

/** ay_error_name() - "AY_EFORMAT", "ENOSPC", ... Static storage. */
const char *ay_error_name(int code);

/**
 * ay_panic() - our own mistake: print place and sentence, abort. Stays in release builds.
 */
void ay_panic(const char *file, int line, const char *what) __attribute__((noreturn));

/* An assertion that stays in release builds: for our own mistakes, never for input. */
#define AY_ASSERT(cond) ((cond) ? (void)0 : ay_panic(__FILE__, __LINE__, #cond))

#endif
