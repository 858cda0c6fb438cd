/* SPDX-License-Identifier: MIT */
/* A directory becomes a manifest: order, every type, what is refused, what changes meanwhile. */
#include "tests/support/place.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "store/hash_pool.h"
#include "store/scan.h"
#include "store/xattr.h"

static const struct ay_scan_options mine = {.owner_root = true};

/* Scan the place's tree "t" into text, NUL behind. */
static int scan_text(const struct place *p, const struct ay_scan_options *opts, struct ay_buf *out,
		     struct ay_scan_totals *totals, struct ay_err *err)
{
	int fd = openat(p->dir, "t", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	*err = (struct ay_err){0};
	int rc = ay_scan(fd, "t", opts, ay_write_to_buf, out, totals, err);
	close(fd);
	ay_buf_cstr(out);
	return rc;
}

static void set_time(int dirfd, const char *name, time_t s, long ns)
{
	struct timespec t[2] = {{s, ns}, {s, ns}};
	assert_int_equal(utimensat(dirfd, name, t, AT_SYMLINK_NOFOLLOW), 0);
}

static void tree(const struct place *p)
{
	assert_int_equal(mkdirat(p->dir, "t", 0755), 0);
}

static void test_empty(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_scan_totals totals;
	struct ay_err err;
	struct ay_digest d;

	tree(p);
	assert_int_equal(fchmodat(p->dir, "t", 01750, 0), 0);
	set_time(p->dir, "t", 1700000000, 5);
	expect_code(scan_text(p, &mine, &out, &totals, &err), 0);
	assert_string_equal((char *)out.data, "ayni-manifest 1\nd 1750 0 0 1700000000.000000005 /\n");
	ay_digest_mem(out.data, out.len, &d);
	assert_true(ay_digest_eq(&d, &totals.manifest));
	assert_int_equal(totals.manifest_size, out.len);
	assert_int_equal(totals.entries, 1);
	assert_int_equal(totals.files, 0);
	ay_buf_release(&out);
}

/* '/' sorts below every other byte: "/a/x" comes before "/a-b" and "/a.b". */
static void test_order_and_types(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_scan_totals totals;
	struct ay_err err;
	char want[4096], d1[65], d0[65];
	struct ay_digest d;

	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(t, "a", 0755), 0);
	put_text(t, "a/x", "hello");
	put_text(t, "a-b", "");
	put_text(t, "a.b", "hello");
	put_text(t, "new\nline %\xff", "hello");
	assert_int_equal(symlinkat("../a b", t, "link"), 0);
	assert_int_equal(mknodat(t, "pipe", S_IFIFO | 0620, 0), 0);
	assert_int_equal(fchmodat(t, "pipe", 0620, 0), 0);
	assert_int_equal(fchmodat(t, "a.b", 06755, 0), 0);
	assert_int_equal(linkat(t, "a/x", t, "z", 0), 0);
	static const char *const names[] = {"a/x", "a-b", "a.b", "new\nline %\xff", "link", "pipe", "a", "."};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		set_time(t, names[i], (time_t)i, 0);
	close(t);

	ay_digest_mem("hello", 5, &d);
	ay_digest_hex(&d, d1);
	ay_digest_mem("", 0, &d);
	ay_digest_hex(&d, d0);
	snprintf(want, sizeof(want),
		 "ayni-manifest 1\n"
		 "d 0755 0 0 7.000000000 /\n"
		 "d 0755 0 0 6.000000000 /a\n"
		 "f 0644 0 0 0.000000000 5 %s /a/x\n"
		 "f 0644 0 0 1.000000000 0 %s /a-b\n"
		 "f 6755 0 0 2.000000000 5 %s /a.b\n"
		 "l 0777 0 0 4.000000000 ../a%%20b /link\n"
		 "f 0644 0 0 3.000000000 5 %s /new%%0Aline%%20%%25%%FF\n"
		 "p 0620 0 0 5.000000000 /pipe\n"
		 "f 0644 0 0 0.000000000 5 %s /z\n",
		 d1, d0, d1, d1, d1);
	expect_code(scan_text(p, &mine, &out, &totals, &err), 0);
	assert_string_equal((char *)out.data, want);
	assert_int_equal(totals.entries, 9);
	assert_int_equal(totals.files, 5);
	assert_int_equal(totals.bytes, 20);
	ay_buf_release(&out);
}

static void test_owners_and_devices(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;

	tree(p);
	if (geteuid() != 0)
		skip();
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	if (mknodat(t, "null", S_IFCHR | 0600, makedev(1, 3)) < 0 ||
	    mknodat(t, "disk", S_IFBLK | 0600, makedev(259, 7)) < 0) {
		close(t);
		skip(); /* a container without CAP_MKNOD */
	}
	put_text(t, "owned", "x");
	assert_int_equal(fchownat(t, "owned", 123, 4567, 0), 0);
	close(t);
	expect_code(scan_text(p, NULL, &out, NULL, &err), 0);
	assert_non_null(strstr((char *)out.data, " 1:3 /null\n"));
	assert_non_null(strstr((char *)out.data, " 259:7 /disk\n"));
	assert_non_null(strstr((char *)out.data, "f 0644 123 4567 "));
	ay_buf_reset(&out);
	expect_code(scan_text(p, &mine, &out, NULL, &err), 0);
	assert_null(strstr((char *)out.data, " 123 "));
	ay_buf_release(&out);
}

static void test_xattrs(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;
	char path[128];
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 4}; /* VFS_CAP_REVISION_2 */

	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	put_text(t, "f", "x");
	int fd = openat(t, "f", O_RDWR);
	if (fsetxattr(fd, "user.b", "\0z", 2, 0) < 0) {
		close(fd);
		close(t);
		skip(); /* a file system without them */
	}
	assert_int_equal(fsetxattr(fd, "user.a", "", 0, 0), 0);
	assert_int_equal(fsetxattr(t, "user.dir", "d", 1, 0), 0);
	assert_int_equal(fsetxattr(fd, "user.overlay.opaque", "y", 1, 0), 0);
	bool have_caps = fsetxattr(fd, "security.capability", caps, sizeof(caps), 0) == 0;
	bool have_trusted = fsetxattr(fd, "trusted.t", "t", 1, 0) == 0;
	snprintf(path, sizeof(path), "%s/t/link", p->path);
	assert_int_equal(symlinkat("f", t, "link"), 0);
	if (have_trusted)
		assert_int_equal(lsetxattr(path, "trusted.l", "l", 1, 0), 0);
	close(t);
	expect_code(scan_text(p, &mine, &out, NULL, &err), 0);
	assert_non_null(strstr((char *)out.data, " / user.dir=64\n"));
	assert_null(strstr((char *)out.data, "overlay"));
	assert_non_null(strstr((char *)out.data, " user.a= user.b=007a"));
	if (have_caps)
		assert_non_null(strstr((char *)out.data, " /f security.capability=0100000200040000"));
	if (have_trusted) {
		assert_non_null(strstr((char *)out.data, " trusted.t=74 user.a"));
		assert_non_null(strstr((char *)out.data, " /link trusted.l=6c\n"));
	}

	/* Too many. */
	int rc = 0;
	for (int i = 0; i < 65 && rc == 0; i++) {
		char name[32];
		snprintf(name, sizeof(name), "user.n%02d", i);
		rc = fsetxattr(fd, name, "", 0, 0);
	}
	close(fd);
	if (rc == 0) {
		expect_code(scan_text(p, &mine, &out, NULL, &err), AY_ELIMIT);
		expect_says(&err, "t: /f: ");
	}
	ay_buf_release(&out);
}

static void test_xattr_kept(void **state)
{
	(void)state;
	static const char *const kept[] = {
		"user.x",    "security.capability",     "security.ima",
		"trusted.x", "system.posix_acl_access", "system.posix_acl_default"};
	static const char *const not_kept[] = {"system.nfs4_acl",       "system.posix_acl",
					       "btrfs.compression",     "trusted.overlay.origin",
					       "user.overlay.whiteout", "trusted.SGI_ACL_FILE",
					       "security.evm"};
	static const char *const labels[] = {"security.selinux", "security.SMACK64", "security.apparmor"};

	for (size_t i = 0; i < 6; i++)
		assert_true(ay__xattr_kept(kept[i], AY__XATTR_NO_LABELS));
	for (size_t i = 0; i < 7; i++)
		assert_false(ay__xattr_kept(not_kept[i], 0));
	for (size_t i = 0; i < 3; i++) {
		assert_true(ay__xattr_kept(labels[i], 0));
		assert_false(ay__xattr_kept(labels[i], AY__XATTR_NO_LABELS));
	}
}

static void test_socket(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	tree(p);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/t/bus socket", p->path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	expect_code(scan_text(p, &mine, &out, NULL, &err), AY_EUNSUPPORTED);
	expect_says(&err, "scan t: /bus%20socket: a socket");
	expect_says(&err, "delete it");
	close(fd);
	ay_buf_release(&out);
}

/* As an ordinary user, in a child when the test runs as root. */
static void test_unreadable(void **state)
{
	struct place *p = *state;
	int status;

	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(t, "d", 0755), 0);
	put_text(t, "d/secret", "x");
	assert_int_equal(fchmodat(t, "d/secret", 0000, 0), 0);
	chmod(p->path, 0755);
	close(t);
	for (int round = 0; round < 2; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct ay_buf out = {0};
			struct ay_err err;
			if (geteuid() == 0 && seteuid(65534) < 0)
				_exit(9);
			int rc = scan_text(p, &mine, &out, NULL, &err);
			ay_buf_release(&out);
			_exit(rc == -EACCES && strstr(err.msg, round ? "scan t: /d: " : "scan t: /d/secret: ")
				      ? 0
				      : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(fchmodat(p->dir, "t/d", 0000, 0), 0); /* now the directory */
	}
	assert_int_equal(fchmodat(p->dir, "t/d", 0755, 0), 0);
}

/* Appends a byte every millisecond until told to stop. */
struct appender {
	int fd;
	atomic_bool stop;
};

static void *append(void *arg)
{
	struct appender *a = arg;
	const struct timespec wait = {.tv_nsec = 1000 * 1000};
	while (!atomic_load(&a->stop)) {
		if (write(a->fd, "x", 1) != 1)
			abort();
		nanosleep(&wait, NULL);
	}
	return NULL;
}

static void test_file_changes(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;
	struct appender a = {0};
	pthread_t thread;

	tree(p);
	put_text(p->dir, "t/log", "");
	a.fd = openat(p->dir, "t/log", O_WRONLY | O_APPEND);
	assert_int_equal(fallocate(a.fd, 0, 0, 128 << 20),
			 0); /* no hole, so read for far more than a millisecond */
	assert_int_equal(pthread_create(&thread, NULL, append, &a), 0);
	int rc = scan_text(p, &mine, &out, NULL, &err);
	atomic_store(&a.stop, true);
	pthread_join(thread, NULL);
	close(a.fd);
	ay_buf_release(&out);
	expect_code(rc, AY_EBUSY);
	expect_says(&err, "scan t: /log: it changed");
}

/* Makes a name in the tree as soon as the first entries are written, in the middle of the walk. */
struct intruder {
	int dirfd;
	bool made;
};

static int intrude(void *ctx, const void *data, size_t len)
{
	struct intruder *in = ctx;
	(void)data;
	if (len > 100 && !in->made) {
		put_text(in->dirfd, "z-new", "");
		in->made = true;
	}
	return 0;
}

static void test_directory_changes(void **state)
{
	struct place *p = *state;
	struct ay_err err = {0};

	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 6000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%04d", i);
		put_text(t, name, "");
	}
	struct intruder in = {.dirfd = t};
	int rc = ay_scan(t, "t", &mine, intrude, &in, NULL, &err);
	close(t);
	assert_true(in.made);
	expect_code(rc, AY_EBUSY);
	expect_says(&err, "scan t: /: it changed");
}

/* Two writes in one tick of the kernel's clock have one ctime: what is hashed must be the later one. */
static void test_racy_write(void **state)
{
	struct place *p = *state;
	struct ay__hash_pool *pool = ay__hash_pool_new(1);
	unsigned same_ctime = 0;

	for (int i = 0; i < 20; i++) {
		struct ay__hash_job job = {0};
		struct stat after;
		struct ay_digest want;
		put_text(p->dir, "f", "old content");
		job.fd = openat(p->dir, "f", O_RDONLY);
		assert_int_equal(fstat(job.fd, &job.before), 0);
		ay__hash_pool_give(pool, &job);
		int fd = openat(p->dir, "f", O_WRONLY);
		assert_int_equal(write(fd, "new", 3), 3);
		fstat(fd, &after);
		close(fd);
		same_ctime += ay__stat_same(&job.before, &after);
		assert_true(ay__hash_pool_done(pool, &job, true));
		ay_digest_mem("new content", 11, &want);
		/* On a busy machine all was read before we wrote; then our write must show in the times. */
		assert_true(job.rc == AY_EBUSY || (job.rc == 0 && (ay_digest_eq(&job.digest, &want) ||
								   !ay__stat_same(&job.before, &after))));
	}
	ay__hash_pool_free(pool);
	if (same_ctime == 0)
		print_message("no two writes fell into one tick: nothing was proved\n");
}

static void test_deep(void **state)
{
	struct place *p = *state;
	struct ay_buf one = {0}, four = {0};
	struct ay_err err;
	struct ay_scan_totals totals;

	tree(p);
	int at = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		put_text(at, "a", "x");
		put_text(at, "e", "y");
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	expect_code(scan_text(p, &(struct ay_scan_options){.threads = 1}, &one, &totals, &err), 0);
	assert_int_equal(totals.entries, 901);
	expect_code(scan_text(p, &(struct ay_scan_options){.threads = 4}, &four, &totals, &err), 0);
	assert_int_equal(one.len, four.len);
	assert_memory_equal(one.data, four.data, one.len);
	ay_buf_release(&one);
	ay_buf_release(&four);
}

static void test_path_too_long(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;
	char name[251];

	memset(name, 'n', 250);
	name[250] = '\0';
	tree(p);
	int at = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 17; i++) { /* 17 * 251 = 4267 */
		assert_int_equal(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	expect_code(scan_text(p, &mine, &out, NULL, &err), AY_ELIMIT);
	expect_says(&err, "longer than 4095");
	ay_buf_release(&out);
}

/* More entries than the queue holds; several names of one inode all over. */
static void test_many(void **state)
{
	struct place *p = *state;
	struct ay_buf out = {0};
	struct ay_err err;
	struct ay_scan_totals totals;
	struct ay_digest digests[3];
	char hex[65], name[32];

	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "shared-%d", i);
		put_text(t, name, name);
		ay_digest_mem(name, strlen(name), &digests[i]);
	}
	for (int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "f%05d", i);
		if (i % 2) {
			char from[32];
			snprintf(from, sizeof(from), "shared-%d", i / 2 % 3);
			assert_int_equal(linkat(t, from, t, name, 0), 0);
		} else {
			put_text(t, name, name);
		}
	}
	close(t);
	expect_code(scan_text(p, &mine, &out, &totals, &err), 0);
	assert_int_equal(totals.files, 6003);
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(out.data, out.len);
	struct ay_entry e;
	while (ay_manifest_next(r, &e, &err) == 1) {
		int i;
		struct ay_digest want;
		if (sscanf(e.path, "/f%05d", &i) != 1)
			continue;
		ay_digest_mem(e.path + 1, e.path_len - 1, &want);
		assert_string_equal(ay_digest_hex(&e.digest, hex),
				    ay_digest_hex(i % 2 ? &digests[i / 2 % 3] : &want, (char[65]){0}));
	}
	assert_int_equal(err.code, 0);
	ay_manifest_reader_free(r);
	ay_buf_release(&out);
}

static int full(void *ctx, const void *data, size_t len)
{
	size_t *left = ctx;
	(void)data;
	if (len > *left)
		return -ENOSPC;
	*left -= len;
	return 0;
}

static void test_write_fails(void **state)
{
	struct place *p = *state;
	tree(p);
	int t = openat(p->dir, "t", O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 2000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "file-with-a-longer-name-%d", i);
		put_text(t, name, name);
	}
	for (size_t left = 0; left < 200000; left += 66000) {
		struct ay_err err = {0};
		size_t room = left;
		expect_code(ay_scan(t, "t", &mine, full, &room, NULL, &err), -ENOSPC);
		assert_int_not_equal(err.msg[0], 0);
	}
	close(t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, place_make, place_remove)
	const struct CMUnitTest tests[] = {
		T(test_empty),
		T(test_order_and_types),
		T(test_owners_and_devices),
		T(test_xattrs),
		cmocka_unit_test(test_xattr_kept),
		T(test_socket),
		T(test_unreadable),
		T(test_file_changes),
		T(test_directory_changes),
		T(test_racy_write),
		T(test_deep),
		T(test_path_too_long),
		T(test_many),
		T(test_write_fails),
	};
	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
