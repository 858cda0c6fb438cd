/* SPDX-License-Identifier: MIT */
/*
 * Loaded before libc (LD_PRELOAD), it lets a real process die at a chosen change of the disk.
 *
 *     AYNI_KILL_AT=N     SIGKILL instead of the Nth change (of names, or a sync)
 *     AYNI_COUNT=FILE    how many changes there were, written when the process ends
 *
 * What was written stays in the page cache, as after any kill; power cuts are the fault tests' business.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static long changes, kill_at = -1;

static void change(void)
{
	if (kill_at < 0) {
		const char *at = getenv("AYNI_KILL_AT");
		kill_at = at ? strtol(at, NULL, 10) : 0;
	}
	if (__atomic_add_fetch(&changes, 1, __ATOMIC_SEQ_CST) == kill_at)
		kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void tell(void)
{
	const char *path = getenv("AYNI_COUNT");
	FILE *f = path ? fopen(path, "w") : NULL;
	if (f) {
		fprintf(f, "%ld\n", changes);
		fclose(f);
	}
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd)
{
	change();
	return REAL(fsync)(fd);
}

int syncfs(int fd)
{
	change();
	return REAL(syncfs)(fd);
}

int renameat(int a, const char *from, int b, const char *to)
{
	change();
	return REAL(renameat)(a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	change();
	return REAL(renameat2)(a, from, b, to, flags);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
	change();
	return REAL(linkat)(a, from, b, to, flags);
}

int symlinkat(const char *target, int dir, const char *name)
{
	change();
	return REAL(symlinkat)(target, dir, name);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	change();
	return REAL(mkdirat)(dir, name, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
	change();
	return REAL(unlinkat)(dir, name, flags);
}
