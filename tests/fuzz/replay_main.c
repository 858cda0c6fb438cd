/* SPDX-License-Identifier: MIT */
/*
 * A main() for fuzz targets without libFuzzer: give the target every kept input, and small deterministic
 * damage of each, so that any compiler on any machine repeats what fuzzing once found.
 *
 *   fuzz_X [-m N] [FILE|DIRECTORY]...     N damaged copies of each file, default 64
 *
 * The name of what runs is printed before it runs: the last line before a crash is the culprit. Damage
 * depends on nothing but the file's bytes and the copy's number.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* More than any decoder's limit in a seed worth keeping; also keeps a stray file from filling memory. */
#define INPUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct replay {
	unsigned mutations;
	unsigned files;
	uint64_t random;
};

static uint64_t next_random(struct replay *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return r->random;
}

/* An exact-size copy, so that reading one byte past the end is an error that a sanitizer sees. */
static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	if (!copy) {
		fprintf(stderr, "replay: out of memory\n");
		exit(1);
	}
	if (len)
		memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

/* Cut, flip a bit, overwrite a byte with an extreme, or repeat a stretch over another. */
static size_t damage(struct replay *r, uint8_t *data, size_t len)
{
	static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '0', '9', '/', '%', '\n'};
	unsigned times = 1 + (unsigned)(next_random(r) % 3);

	for (unsigned i = 0; i < times && len > 0; i++) {
		size_t at = next_random(r) % len;
		switch (next_random(r) % 4) {
		case 0:
			len = at;
			break;
		case 1:
			data[at] ^= (uint8_t)(1u << (next_random(r) % 8));
			break;
		case 2:
			data[at] = extremes[next_random(r) % sizeof(extremes)];
			break;
		default: {
			size_t from = next_random(r) % len;
			size_t n = len - (at > from ? at : from);
			memmove(data + at, data + from, n > 16 ? 16 : n);
		}
		}
	}
	return len;
}

static void replay_bytes(struct replay *r, const char *name, const uint8_t *data, size_t len)
{
	printf("%s (%zu bytes)\n", name, len);
	run_one(data, len);
	if (len == 0)
		return;
	uint8_t *work = malloc(len);
	if (!work) {
		fprintf(stderr, "replay: out of memory\n");
		exit(1);
	}
	for (unsigned m = 0; m < r->mutations; m++) {
		r->random = UINT64_C(0x9e3779b97f4a7c15) * (m + 1) + len;
		memcpy(work, data, len);
		printf("%s damage %u\n", name, m);
		run_one(work, damage(r, work, len));
	}
	free(work);
}

static int replay_file(struct replay *r, const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int ok = f && data && size <= INPUT_MAX && fread(data, 1, size, f) == size;

	if (f)
		fclose(f);
	if (ok) {
		replay_bytes(r, path, data, size);
		r->files++;
	} else {
		fprintf(stderr, "replay: cannot read %s (at most %u bytes): %s\n", path, INPUT_MAX,
			strerror(errno));
	}
	free(data);
	return ok ? 0 : -1;
}

static int replay_path(struct replay *r, const char *path)
{
	struct stat st;
	if (stat(path, &st)) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(r, path, (size_t)st.st_size);

	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), rc = 0;
	for (int i = 0; i < n; i++) {
		char child[4096];
		int len = snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && len > 0 && (size_t)len < sizeof(child) &&
		    replay_path(r, child))
			rc = -1;
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return n < 0 ? -1 : rc;
}

int main(int argc, char **argv)
{
	struct replay r = {.mutations = 64};
	int first = 1, rc = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 2 && strcmp(argv[1], "-m") == 0) {
		r.mutations = (unsigned)strtoul(argv[2], NULL, 10);
		first = 3;
	}
	replay_bytes(&r, "(empty input)", NULL, 0);
	for (int i = first; i < argc; i++)
		if (replay_path(&r, argv[i]))
			rc = 1;
	printf("replayed %u files\n", r.files);
	return rc;
}
