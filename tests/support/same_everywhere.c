/* SPDX-License-Identifier: MIT */
/*
 * Stands before the C library's readdir(), closedir() and getrandom(), as a program's own symbols do. Until it is asked to be
 * the same everywhere it gives what the C library gives. See the header.
 */
#include "tests/support/same_everywhere.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/prng.h"

static bool on;
static struct ay_prng random_numbers;
static unsigned fail_at; /* of readdir() */
static int fail_error;
static bool failed;
static bool (*asked)(void);

#define STREAMS 64 /* that are open at once; directories are walked some ten deep */

static struct stream {
	DIR *d; /* NULL: free */
	struct dirent **names;
	size_t n, at;
	int error; /* that reading ended with */
} streams[STREAMS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct dirent *real_readdir(DIR *d)
{
	static struct dirent *(*real)(DIR *);

	if (!real) /* readdir() is readdir64() in a program with large files, and has its layout */
		real = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
	return real(d);
}

static struct stream *stream_of(DIR *d)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		if (streams[i].d == d)
			return &streams[i];
	}
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct dirent *const *)a)->d_name, (*(struct dirent *const *)b)->d_name);
}

static void read_all(struct stream *s, DIR *d)
{
	struct dirent *e;

	*s = (struct stream){.d = d};
	while ((errno = 0, e = real_readdir(d))) {
		s->names = reallocarray(s->names, s->n + 1, sizeof(*s->names));
		if (!s->names || !(s->names[s->n] = malloc(e->d_reclen)))
			abort();
		memcpy(s->names[s->n++], e, e->d_reclen);
	}
	s->error = errno;
	if (s->n > 1)
		qsort(s->names, s->n, sizeof(*s->names), by_name);
}

struct dirent *readdir(DIR *d)
{
	struct dirent *e = NULL;
	int error = errno; /* stays as it was at the end of a directory */

	if (fail_at && --fail_at == 0) {
		failed = true;
		errno = fail_error;
		return NULL;
	}
	if (asked && asked())
		return NULL;
	if (!on)
		return real_readdir(d);
	pthread_mutex_lock(&lock);
	struct stream *s = stream_of(d);
	if (!s) {
		if (!(s = stream_of(NULL))) {
			fprintf(stderr, "same_everywhere: more than %d directories are open\n", STREAMS);
			abort();
		}
		read_all(s, d);
	}
	if (s->at < s->n)
		e = s->names[s->at++];
	else if (s->error)
		error = s->error;
	pthread_mutex_unlock(&lock);
	errno = error;
	return e;
}

int closedir(DIR *d)
{
	static int (*real)(DIR *);

	pthread_mutex_lock(&lock);
	struct stream *s = stream_of(d);
	if (s) {
		for (size_t i = 0; i < s->n; i++)
			free(s->names[i]);
		free(s->names);
		*s = (struct stream){0};
	}
	if (!real)
		real = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
	pthread_mutex_unlock(&lock);
	return real(d);
}

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	static ssize_t (*real)(void *, size_t, unsigned);

	if (!on) {
		if (!real)
			real = (ssize_t(*)(void *, size_t, unsigned))dlsym(RTLD_NEXT, "getrandom");
		return real(out, len, flags);
	}
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)ay_prng_next(&random_numbers);
	pthread_mutex_unlock(&lock);
	return (ssize_t)len;
}

void same_everywhere(uint64_t seed)
{
	on = true;
	ay_prng_init(&random_numbers, seed);
}

void readdir_fails(unsigned at, int error)
{
	fail_at = at;
	fail_error = error;
	failed = false;
}

void readdir_asks(bool (*fails)(void))
{
	asked = fails;
}

bool readdir_failed(void)
{
	return failed;
}
