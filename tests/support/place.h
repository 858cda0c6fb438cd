/* SPDX-License-Identifier: MIT */
/*
 * What the tests of scan, state, bundles and repository share: a place to work in, which goes away again, a
 * store in it, and a fleet of one key.
 */
#ifndef AYNI_TESTS_SUPPORT_PLACE_H
#define AYNI_TESTS_SUPPORT_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "manifest/trust.h"
#include "store/store.h"

/* Fails with the sentence when the code is another. */
#define expect_code(call, want) expect_code_(call, want, #call, &err, __FILE__, __LINE__)
void expect_code_(int got, int want, const char *call, const struct ay_err *err, const char *file, int line);
/** The sentence must name what it is about. */
void expect_says(const struct ay_err *err, const char *part);

struct place {
	char path[64];
	int dir;
	int fds; /* open before it was made: as many must be open at its end */
};

/** cmocka's setup and teardown: *@state is a struct place. The teardown fails when an fd was leaked. */
int place_make(void **state);
int place_remove(void **state);

void put_file(int dirfd, const char *path, const void *data, size_t len);
void put_text(int dirfd, const char *path, const char *text);
/** All of a file, NUL behind; free it. */
uint8_t *get_file(int dirfd, const char *path, size_t *len);
bool there(int dirfd, const char *path);
/** @len bytes that depend on @seed only; free them. */
uint8_t *some_bytes(uint64_t seed, size_t len);
int open_fds(void);

/** The store PLACE/store, made when it is not there. */
struct ay_store *open_store(const struct place *p);
struct ay_store *open_store_readonly(const struct place *p);

/* A fleet with one key for all roles. */
struct ay_secret_key fleet_key(void);
/** A root's envelope; free(out->data) by ay_buf_release(). */
void fleet_root_envelope(uint32_t version, struct ay_buf *out);
void fleet_head(const char *branch, uint32_t serial, uint64_t signed_at_s, uint8_t out[AY_HEAD_SIZE]);

#endif
