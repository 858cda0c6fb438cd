/* SPDX-License-Identifier: MIT */
/*
 * An apply that is killed between any two parts of its bundle is gone on with from there, not begun again; what lies there
 * is believed only by its digest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bundle_format.h"
#include "store/resume.h"
#include "tests/support/store_kit.h"

#define PARTS_MIN 6

struct state {
	struct kit k;
	struct kit_tree v1, v2;
	struct ay_offer offer;
	int bundle;
	struct ay_store *s;
	struct ay_err err;
};

/* ---- a file system in which a process dies when it has written down its place for the @kill_at'th time ---- */

static struct ay_fs_ops killing_ops;
static unsigned kill_at, places;

static int rename_and_die(struct ay_fs *fs, int from_dirfd, const char *from, int to_dirfd, const char *to,
			  bool noreplace)
{
	int r = ay_fs_real()->ops->rename(fs, from_dirfd, from, to_dirfd, to, noreplace);

	if (strcmp(to, AY__RESUME_FILE) == 0 && ++places == kill_at)
		kill(getpid(), SIGKILL);
	return r;
}

static int no_sync(struct ay_fs *fs, int fd)
{
	(void)fs;
	(void)fd;
	return 0; /* a killed process loses nothing */
}

static struct ay_fs killing_fs(void)
{
	killing_ops = *ay_fs_real()->ops;
	killing_ops.rename = rename_and_die;
	killing_ops.fsync = killing_ops.fdatasync = killing_ops.syncfs = no_sync;
	return (struct ay_fs){.ops = &killing_ops};
}

/* ---- trees ---- */

static int setup(void **arg)
{
	struct state *t = calloc(1, sizeof(*t));
	char path[64];

	kit_init(&t->k);
	for (unsigned v = 1; v <= 2; v++) {
		snprintf(path, sizeof(path), "v%u", v);
		kit_mkdir(&t->k, path, 0755);
		for (unsigned i = 0; i < 30; i++) {
			snprintf(path, sizeof(path), "v%u/f%02u", v, i);
			kit_noise(&t->k, path, i == 7 ? 200000 : 100 + i * 300, i * 10 + v,
				  i % 3 ? 0644 : 0400);
		}
		snprintf(path, sizeof(path), "v%u/large", v); /* it changes as a whole, over several parts */
		kit_noise(&t->k, path, 150000, v * 1000, 0644);
	}
	kit_text(&t->k, "v2/again", "the same twice", 0644);
	kit_text(&t->k, "v2/and-again", "the same twice", 0755);
	kit_publish(&t->k, "v1", "b", 1, &t->v1);
	kit_publish(&t->k, "v2", "b", 2, &t->v2);
	t->k.bundle_memory = ay_bundle_memory(20480);
	t->bundle = kit_bundle(&t->k, &t->v1, &t->v2, &t->offer);
	if (kit_store(&t->k, ay_fs_real(), &t->s, &t->err) < 0 ||
	    kit_import(&t->k, t->s, "b", &t->v1, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	*arg = t;
	return 0;
}

static int teardown(void **arg)
{
	struct state *t = *arg;

	ay_store_close(t->s);
	close(t->bundle);
	kit_tree_release(&t->v1);
	kit_tree_release(&t->v2);
	kit_release(&t->k);
	free(t);
	return 0;
}

/* ---- applying ---- */

struct watched {
	uint64_t first, last, total;
	bool begun;
};

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct watched *w = ctx;

	w->first = w->begun ? w->first : done;
	w->begun = true;
	w->last = done;
	w->total = total;
	return 0;
}

static int apply(struct state *t, struct ay_store *s, struct watched *w)
{
	const struct ay_apply a = {.branch = "b",
				   .release = t->v2.release.data,
				   .release_len = t->v2.release.len,
				   .bundle_fd = t->bundle,
				   .offer = &t->offer,
				   .progress = on_progress,
				   .ctx = w};

	memset(w, 0, sizeof(*w));
	return ay_store_apply(s, &a, &t->err);
}

/* True: killed at the @at'th place; false: it came to its end before. */
static bool die_at(struct state *t, unsigned at, unsigned threads)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct ay_fs fs = killing_fs();
		struct ay_store *s;
		struct watched w;
		kill_at = at;
		if (kit_store(&t->k, &fs, &s, &t->err) < 0)
			_exit(2);
		ay_store_set_threads(s, threads);
		_exit(apply(t, s, &w) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

/* The second run: with what is there; then the tree is taken away again, for the next round. */
static void finish(struct state *t, unsigned threads, struct watched *w)
{
	struct ay_store *s;

	if (kit_store(&t->k, ay_fs_real(), &s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	ay_store_set_threads(s, threads);
	if (apply(t, s, w) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_tree_is(&t->k, "b", 2, &t->v2));
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(ay_store_remove_tree(s, "b", 2, &t->err), 0);
	assert_int_equal(kit_objects_unlinked(&t->k), 0);
	ay_store_close(s);
}

static void killed_at_every_part_it_goes_on_there(void **arg)
{
	struct state *t = *arg;

	for (unsigned threads = 1; threads <= 4; threads += 3) {
		uint64_t before = 0;
		unsigned at = 1;
		for (; die_at(t, at, threads); at++) {
			struct watched w;
			finish(t, threads, &w);
			/* The later it died, the less is left. */
			assert_true(!w.begun || w.first >= before);
			assert_true(!w.begun || w.last == w.total);
			before = w.begun ? w.first : before;
		}
		assert_true(at > PARTS_MIN);
		assert_true(before > 0);
		assert_int_equal(ay_store_remove_tree(t->s, "b", 2, &t->err), 0);
	}
}

/* The path of a file in the dead one's raw/: the largest, or the smallest. */
static void some_file(struct state *t, bool largest, char out[512])
{
	char tmp[300], raw[450];
	off_t best = -1;

	out[0] = '\0';
	snprintf(tmp, sizeof(tmp), "%s/store/tmp", t->k.dir);
	AY_CLOSEDIR DIR *d = opendir(tmp);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (strncmp(e->d_name, "staging-", 8) != 0)
			continue;
		snprintf(raw, sizeof(raw), "%s/%.80s/raw", tmp, e->d_name);
		AY_CLOSEDIR DIR *r = opendir(raw);
		for (struct dirent *f; r && (f = readdir(r));) {
			struct stat st;
			if (f->d_name[0] == '.' || fstatat(dirfd(r), f->d_name, &st, 0) < 0)
				continue;
			if (best < 0 || (largest ? st.st_size > best : st.st_size < best)) {
				best = st.st_size;
				snprintf(out, 512, "%.440s/%.70s", raw, f->d_name);
			}
		}
	}
}

static void what_lies_there_is_not_believed(void **arg)
{
	struct state *t = *arg;

	for (unsigned at = 3; at <= PARTS_MIN; at++) {
		for (int largest = 0; largest < 2; largest++) {
			struct watched w;
			char path[512];
			uint8_t b = 0;
			assert_true(die_at(t, at, 1));
			some_file(t, largest, path);
			int fd = open(path, O_RDWR | O_CLOEXEC);
			assert_true(fd >= 0);
			assert_int_equal(pread(fd, &b, 1, 5), 1);
			b ^= 0x40;
			assert_int_equal(pwrite(fd, &b, 1, 5), 1);
			close(fd);
			finish(t, 1, &w);
		}
	}
}

static void another_bundle_and_the_collector_remove_it(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result gone;
	struct watched w;

	assert_true(die_at(t, 4, 1));
	assert_true(kit_count(&t->k, "store/tmp") > 0);
	assert_int_equal(ay_store_gc(t->s, 5, &gone, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	finish(t, 1, &w);

	assert_true(die_at(t, 4, 1));
	struct ay_offer o2;
	AY_CLOSE int b2 = kit_bundle(&t->k, NULL, &t->v2, &o2);
	if (kit_apply(t->s, "b", &t->v2, b2, &o2, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_tree_is(&t->k, "b", 2, &t->v2));
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
	assert_int_equal(ay_store_remove_tree(t->s, "b", 2, &t->err), 0);
}

/* The dead one's `resume` file. */
static int open_place(struct state *t)
{
	char tmp[300], path[450];
	int fd = -1;

	snprintf(tmp, sizeof(tmp), "%s/store/tmp", t->k.dir);
	AY_CLOSEDIR DIR *d = opendir(tmp);
	for (struct dirent *e; d && fd < 0 && (e = readdir(d));) {
		snprintf(path, sizeof(path), "%s/%.80s/" AY__RESUME_FILE, tmp, e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	assert_true(fd >= 0);
	return fd;
}

enum { VERSION_1, TORN, EMPTY, LONGER, UNREADABLES };

static void make_unreadable(int fd, int how)
{
	uint8_t x[AY__RESUME_SIZE];

	assert_int_equal(pread(fd, x, sizeof(x), 0), sizeof(x));
	if (how == VERSION_1) { /* it lacked the work so far (8 bytes at 120) */
		const size_t len = AY__RESUME_SIZE - 8;
		memmove(x + 120, x + 128, len - 120);
		x[sizeof("ayni-resume ") - 1] = '1';
		ay_sha256(x, len - 32, x + len - 32);
		assert_int_equal(pwrite(fd, x, len, 0), len);
		assert_int_equal(ftruncate(fd, (off_t)len), 0);
	} else {
		const off_t len[] = {
			[TORN] = AY__RESUME_SIZE / 2, [EMPTY] = 0, [LONGER] = AY__RESUME_SIZE + 1};
		assert_int_equal(ftruncate(fd, len[how]), 0);
	}
}

/* Nobody can say what such staging is for: the next apply gives it back, should it be of this bundle or another, and begins anew. */
static void what_cannot_be_read_is_given_back(void **arg)
{
	struct state *t = *arg;
	struct watched w;

	for (int how = 0; how < UNREADABLES; how++) {
		assert_true(die_at(t, 4, 1));
		AY_CLOSE int fd = open_place(t);
		make_unreadable(fd, how);
		finish(t, 1, &w);
		assert_true(w.begun && w.first < 64 << 10);

		assert_true(die_at(t, 4, 1));
		AY_CLOSE int fd2 = open_place(t);
		make_unreadable(fd2, how);
		struct ay_offer o2;
		AY_CLOSE int b2 = kit_bundle(&t->k, NULL, &t->v2, &o2);
		if (kit_apply(t->s, "b", &t->v2, b2, &o2, &t->err) < 0)
			fail_msg("%s", t->err.msg);
		assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
		assert_int_equal(ay_store_remove_tree(t->s, "b", 2, &t->err), 0);
	}
}

/* Somebody is at work there: whatever lies in it, it is not ours. */
static void what_cannot_be_read_but_is_held_stays(void **arg)
{
	struct state *t = *arg;
	struct ay_gc_result gone;
	char path[512];

	assert_true(die_at(t, 4, 1));
	AY_CLOSE int fd = open_place(t);
	make_unreadable(fd, TORN);
	some_file(t, true, path);
	*strstr(path, "/raw/") = '\0';
	int held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(held >= 0);
	assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
	struct watched w;
	if (apply(t, t->s, &w) < 0)
		fail_msg("%s", t->err.msg);
	assert_true(kit_count(&t->k, "store/tmp") > 0);
	close(held);
	assert_int_equal(ay_store_gc(t->s, 5, &gone, &t->err), 0);
	assert_int_equal(kit_count(&t->k, "store/tmp"), 0);
}

/* ---- a tight disk ---- */

#define TIGHT_AT PARTS_MIN /* much has come, something has not */

static int small_disk(char dir[64])
{
	snprintf(dir, 64, "/tmp/ayni-resume-XXXXXX");
	if (geteuid() != 0 || !mkdtemp(dir))
		return -1;
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("none", dir, "tmpfs", 0, "size=24m") == 0)
		return 0;
	rmdir(dir);
	return -1;
}

static uint64_t free_bytes(const struct kit *k)
{
	struct statvfs v;

	assert_int_equal(fstatvfs(k->fd, &v), 0);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* All but @left of what is free is taken by somebody else. */
static void take_room(struct kit *k, uint64_t left)
{
	uint64_t now = free_bytes(k);
	AY_CLOSE int fd = openat(k->fd, "ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && now > left);
	assert_int_equal(posix_fallocate(fd, 0, (off_t)(now - left)), 0);
}

/* What lies there already needs no room: with less than the whole update takes, but enough for its rest, it goes on. */
static void it_goes_on_where_only_its_rest_fits(void **arg)
{
	struct state *t;
	struct watched w;
	char dir[64];
	void *fixture;

	(void)arg;
	if (small_disk(dir) < 0) {
		puts("skipped: needs root, for a small file system of its own");
		skip();
	}
	setenv("AYNI_KIT_DIR", dir, 1);
	assert_int_equal(setup(&fixture), 0);
	t = fixture;
	uint64_t before = free_bytes(&t->k);
	assert_true(die_at(t, TIGHT_AT, 1));
	uint64_t held = before - free_bytes(&t->k);
	assert_true(held > 128 << 10);
	/* A margin for the rest: what the store counts for names and for itself. */
	take_room(&t->k, t->offer.unpacked_size + 33 * 4096 - held + (96 << 10));
	finish(t, 1, &w);
	assert_true(w.first > 128 << 10); /* not from the beginning */
	teardown(&fixture);
	unsetenv("AYNI_KIT_DIR");
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

static unsigned full_writes;

static ssize_t pwrite_full(struct ay_fs *fs, int fd, const void *buf, size_t len, off_t offset)
{
	if (full_writes == 0 || len <= AY__RESUME_SIZE)
		return ay_fs_real()->ops->pwrite(fs, fd, buf, len, offset);
	full_writes--;
	return -ENOSPC;
}

/* Should the rest not fit beside what lies there, that goes, and it begins anew. */
static void without_room_to_go_on_it_begins_anew(void **arg)
{
	struct state *t = *arg;
	struct ay_fs_ops ops = *ay_fs_real()->ops;
	struct ay_fs fs = {.ops = &ops};
	struct ay_store *s;
	struct watched w;

	ops.pwrite = pwrite_full;
	assert_true(die_at(t, TIGHT_AT, 1));
	if (kit_store(&t->k, &fs, &s, &t->err) < 0)
		fail_msg("%s", t->err.msg);
	full_writes = 1;
	if (apply(t, s, &w) < 0)
		fail_msg("%s", t->err.msg);
	assert_int_equal(full_writes, 0);
	assert_int_equal(w.last, w.total);
	assert_true(kit_tree_is(&t->k, "b", 2, &t->v2));
	ay_store_close(s);
}

static void its_file_has_one_form(void **arg)
{
	struct ay__resume
		x = {.place = {.part = 3, .at = 99, .record = 7, .inside = true, .done = 5, .work = 77}},
		y;
	uint8_t bytes[AY__RESUME_SIZE];

	(void)arg;
	x.place.r =
		(struct ay_bundle_record){.index = 7, .size = 9, .method = AY_METHOD_BSDIFF, .n_bases = 1};
	ay__resume_encode(&x, bytes);
	assert_int_equal(ay__resume_decode(&y, bytes, sizeof(bytes)), 0);
	assert_int_equal(y.place.at, 99);
	assert_int_equal(y.place.done, 5);
	assert_int_equal(y.place.work, 77);
	assert_true(y.place.inside);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_int_equal(ay__resume_decode(&y, bytes, sizeof(bytes)), AY_EFORMAT);
		bytes[i] ^= 1;
	}
	assert_int_equal(ay__resume_decode(&y, bytes, sizeof(bytes) - 1), AY_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_at_every_part_it_goes_on_there, setup, teardown),
		cmocka_unit_test_setup_teardown(what_lies_there_is_not_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(another_bundle_and_the_collector_remove_it, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_is_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_but_is_held_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(without_room_to_go_on_it_begins_anew, setup, teardown),
		cmocka_unit_test(its_file_has_one_form),
		cmocka_unit_test(it_goes_on_where_only_its_rest_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
