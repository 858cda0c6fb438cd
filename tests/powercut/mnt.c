/* SPDX-License-Identifier: MIT */
/* mkfs, losetup, mount and umount as functions. */
#include "tests/powercut/mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MIB (1ull << 20)

/*
 * Sizes: the smallest at which each has the layout of a large one. xfs below 300 MB needs leave of mkfs, btrfs has two
 * copies of metadata from 128 MiB on. All are sparse.
 */
static const struct kind {
	const char *fs;
	uint64_t size;
	const char *argv[10];
} kinds[] = {
	{"ext4", 32 * MIB, {"mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "nodiscard"}},
	{"xfs", 64 * MIB, {"mkfs.xfs", "--unsupported", "-q", "-f", "-K"}},
	{"btrfs", 128 * MIB, {"mkfs.btrfs", "-q", "-f", "-K"}},
};

static const struct kind *kind_of(const char *fs)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].fs, fs) == 0)
			return &kinds[i];
	}
	return NULL;
}

static bool kernel_has(const char *fs)
{
	char line[64], name[64];
	AY_FCLOSE FILE *f = fopen("/proc/filesystems", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nodev %63s", name) != 1 && sscanf(line, "%63s", name) != 1)
			continue;
		if (strcmp(name, fs) == 0)
			return true;
	}
	return false;
}

static bool has_program(const char *name)
{
	static const char *const dirs[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"};
	char path[64];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

bool mnt_missing(const char *fs, char *why, size_t len)
{
	const struct kind *k = kind_of(fs);

	if (geteuid() != 0)
		snprintf(why, len, "needs root, to mount");
	else if (access("/dev/fuse", R_OK | W_OK) < 0)
		snprintf(why, len, "needs /dev/fuse");
	else if (access("/dev/loop-control", R_OK | W_OK) < 0)
		snprintf(why, len, "needs loop devices");
	else if (!k || !kernel_has(fs))
		snprintf(why, len, "the kernel does not know %s", fs);
	else if (!has_program(k->argv[0]))
		snprintf(why, len, "needs %s", k->argv[0]);
	else
		return false;
	return true;
}

int mnt_private(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

int mnt_other_boot(const char *scratch)
{
	static const char id[] = "00000000-0000-4000-8000-000000000001\n";
	AY_CLOSE int fd = open(scratch, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);

	if (fd < 0 || write(fd, id, sizeof(id) - 1) != sizeof(id) - 1 ||
	    mount(scratch, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL) < 0)
		return -errno;
	return 0;
}

uint64_t fs_disk_size(const char *fs)
{
	const struct kind *k = kind_of(fs);

	return k ? k->size : 0;
}

int fs_make(const char *fs, const char *image)
{
	const struct kind *k = kind_of(fs);
	char said[2048] = "";
	size_t n = 0;
	int fds[2], status = 0;

	AY_CLOSE int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)k->size) < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[12] = {0};
		for (size_t i = 0; i < 10 && k->argv[i]; i++)
			argv[i] = strdup(k->argv[i]);
		for (size_t i = 0; i < 11; i++) {
			if (!argv[i]) {
				argv[i] = strdup(image);
				break;
			}
		}
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin", 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	for (ssize_t got; n < sizeof(said) - 1 && (got = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0;)
		n += (size_t)got;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	if (status != 0)
		fprintf(stderr, "%s: status %d\n%s\n", k->argv[0], status, said);
	return status == 0 ? 0 : -EIO;
}

int loop_attach(const char *file, int *held, char dev[32])
{
	AY_CLOSE int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	AY_CLOSE int fd = open(file, O_RDWR | O_CLOEXEC);
	struct loop_config c = {.fd = (uint32_t)fd, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};

	if (ctl < 0 || fd < 0)
		return -errno;
	snprintf((char *)c.info.lo_file_name, sizeof(c.info.lo_file_name), "%s", file);
	/* Somebody else may take the free one first. */
	for (int tries = 0; tries < 64; tries++) {
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);
		if (n < 0)
			return -errno;
		snprintf(dev, 32, "/dev/loop%d", n);
		AY_CLOSE int loop = open(dev, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &c) == 0) {
			*held = ay_steal_fd(&loop);
			return 0;
		}
		if (errno != EBUSY && errno != ENXIO)
			return -errno;
		usleep(10000);
	}
	return -EBUSY;
}

/*
 * Workers mount the same file system at the same time, from disks of their own. xfs has to be told; btrfs gives the
 * second one another name by itself (since Linux 6.7), but must not take one disk for the other.
 */
int fs_mount(const char *fs, const char *dev, const char *dir)
{
	const char *options = strcmp(fs, "xfs") == 0 ? "nouuid" : "";
	struct btrfs_ioctl_dev_info_args info = {.devid = 1};

	if (mount(dev, dir, fs, MS_NOATIME, options) < 0)
		return -errno;
	if (strcmp(fs, "btrfs") != 0)
		return 0;
	AY_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, BTRFS_IOC_DEV_INFO, &info) == 0 && strcmp((char *)info.path, dev) == 0)
		return 0;
	close(ay_steal_fd(&fd));
	fs_umount(dir);
	return -ENODEV;
}

int fs_umount(const char *dir)
{
	for (int tries = 0; umount2(dir, 0) < 0; tries++) {
		if (errno != EBUSY || tries == 200)
			return -errno;
		usleep(10000);
	}
	return 0;
}
