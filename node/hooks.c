/* SPDX-License-Identifier: MIT */
/*
 * Hooks (node/hooks.h). A hook may do anything: hang, fork away, write without end, stop reading signals. So its
 * output is always read, its time is counted by a clock that cannot be set, and when that is over the group
 * dies, then whoever left the group: we are the one to whom the kernel gives the orphans (PR_SET_CHILD_SUBREAPER).
 * What an earlier hook started for good, a service perhaps, is told apart and lives.
 */
#include "node/hooks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/log.h"
#include "node/progress.h"

#define ORPHANS_MAX  256
#define LINE_MAX_OUT 512
#define STEP_MS      50 /* how often a hook is looked at where the kernel has no pidfd (before 5.3) */

static const char *phase_name(enum ay_hook_phase phase)
{
	static const char *const names[] = {"pre-switch", "post-switch", "health"};
	return names[phase];
}

bool ay_hook_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return len > 0 && len < AY_HOOK_NAME_MAX && name[len] == 0;
}

/* ---- which ---- */

struct names {
	char list[AY_HOOKS_MAX][AY_HOOK_NAME_MAX];
	unsigned n;
};

static int cmp_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int open_phase(const struct ay_hooks *h, enum ay_hook_phase phase, char path[PATH_MAX],
		      struct ay_err *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s.d", h->dir, phase_name(phase)) >= PATH_MAX)
		return ay_err_set(err, -ENAMETOOLONG, "hooks: %s is too long a path", h->dir);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ENOENT : ay_err_errno(err, errno, "cannot open %s", path);
}

/*
 * What may be executed; a symbolic link counts as what it leads to. 1, 0, -errno: a hook that cannot be looked at is not left out, it
 * might have said no.
 */
static int runnable(int dir, const char *name)
{
	struct stat st;
	if (!ay_hook_name_ok(name))
		return 0;
	if (fstatat(dir, name, &st, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	if (faccessat(dir, name, X_OK, AT_EACCESS) == 0)
		return 1;
	return errno == EACCES || errno == ENOENT ? 0 : -errno;
}

static int list_hooks(int dir, const char *path, struct names *names, struct ay_err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	names->n = 0;
	if (!d) {
		int code = errno;
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, code, "cannot read %s", path);
	}
	for (struct dirent *e; (errno = 0, e = readdir(d));) {
		int r = runnable(dir, e->d_name);
		if (r < 0)
			return ay_err_errno(err, -r, "cannot look at %s/%s", path, e->d_name);
		if (r == 0)
			continue;
		if (names->n == AY_HOOKS_MAX)
			return ay_err_set(err, AY_ELIMIT, "%s: more than %d hooks", path, AY_HOOKS_MAX);
		memcpy(names->list[names->n++], e->d_name,
		       strlen(e->d_name) + 1); /* its length was looked at */
	}
	if (errno) /* what is behind it was not seen */
		return ay_err_errno(err, errno, "cannot read %s", path);
	if (names->n)
		qsort(names->list, names->n, sizeof(names->list[0]), cmp_names);
	return 0;
}

int ay_hooks_any(const struct ay_hooks *h, enum ay_hook_phase phase, struct ay_err *err)
{
	AY_FREE struct names *names = malloc(sizeof(*names));
	char path[PATH_MAX];
	AY_CLOSE int dir = names ? open_phase(h, phase, path, err) : -ENOMEM;
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	int r = list_hooks(dir, path, names, err);
	return r < 0 ? r : names->n > 0;
}

/* Root runs it: nobody but root (or who we are) may have written it, nor may be able to. */
static int check_owner(int dir, const char *path, const char *name, struct ay_err *err)
{
	struct stat st[2];
	if (fstat(dir, &st[0]) < 0 || fstatat(dir, name, &st[1], 0) < 0)
		return ay_err_errno(err, errno, "%s/%s", path, name);
	for (int i = 0; i < 2; i++) {
		if ((st[i].st_uid != 0 && st[i].st_uid != geteuid()) || st[i].st_mode & S_IWOTH)
			return ay_err_set(
				err, AY_EHOOK,
				"%s%s%s is not run: it can be written by others than root; mend its "
				"owner and mode",
				path, i ? "/" : "", i ? name : "");
	}
	return 0;
}

/* ---- its output ---- */

struct output {
	const char *who;
	int fd;
	size_t kept;
	uint64_t left_out;
	char line[LINE_MAX_OUT];
	size_t len;
};

static void put_line(struct output *o)
{
	if (o->len)
		ay_log(AY_LOG_INFO, "%s: %.*s", o->who, (int)o->len, o->line);
	o->len = 0;
}

static void take(struct output *o, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (o->kept == AY_HOOK_OUTPUT_MAX) {
			o->left_out += n - i;
			return;
		}
		o->kept++;
		if (data[i] == '\n' || o->len == sizeof(o->line))
			put_line(o);
		if (data[i] != '\n')
			o->line[o->len++] = data[i];
	}
}

/* What is there now, at most as much as a pipe holds: one who writes without end does not hold us here. */
static void drain(struct output *o)
{
	char buf[4096];
	for (int i = 0; i < 16 && o->fd >= 0; i++) {
		ssize_t n = read(o->fd, buf, sizeof(buf));
		if (n > 0) {
			take(o, buf, (size_t)n);
		} else if (n == 0) {
			close(o->fd);
			o->fd = -1;
		} else if (errno != EINTR) {
			return;
		}
	}
}

static void end_output(struct output *o)
{
	drain(o);
	put_line(o);
	if (o->left_out)
		ay_log(AY_LOG_INFO, "%s: %llu more bytes of output are left out", o->who,
		       (unsigned long long)o->left_out);
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

/* ---- its life ---- */

struct orphans {
	pid_t pid[ORPHANS_MAX];
	unsigned n;
};

/* Our children. */
static void list_children(struct orphans *o)
{
	char path[64], text[4096];
	o->n = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	AY_FCLOSE FILE *f = fopen(path, "re");
	text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = 0;
	for (char *p = text, *end; o->n < ORPHANS_MAX; p = end) {
		long pid = strtol(p, &end, 10);
		if (end == p)
			return;
		o->pid[o->n++] = (pid_t)pid;
	}
}

static bool among(const struct orphans *o, pid_t pid)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (o->pid[i] == pid)
			return true;
	}
	return false;
}

/* Who left the group comes to us when his parent died; his own children when he dies. */
static void kill_orphans(const struct orphans *before, pid_t hook)
{
	for (int round = 0; round < 20; round++) {
		struct orphans now;
		unsigned killed = 0;
		list_children(&now);
		for (unsigned i = 0; i < now.n; i++) {
			if (now.pid[i] == hook || among(before, now.pid[i]))
				continue;
			killed += kill(now.pid[i], SIGKILL) == 0;
			waitpid(now.pid[i], NULL, 0);
		}
		if (!killed)
			return;
	}
}

static void child(int dir, const char *name, int out, char *const env[])
{
	sigset_t none;
	sigemptyset(&none);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || fchdir(dir) < 0)
		_exit(126);
	/* Whatever was open without O_CLOEXEC is none of its business. */
	syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
	char path[PATH_MAX + AY_HOOK_NAME_MAX], cwd[PATH_MAX];
	char *const argv[] = {path, NULL};
	umask(0022);
	if (getcwd(cwd, sizeof(cwd)) && snprintf(path, sizeof(path), "%s/%s", cwd, name) > 0 &&
	    chdir("/") == 0)
		execve(path, argv, env);
	dprintf(2, "cannot be executed: %s\n", strerror(errno));
	_exit(126);
}

static int spawn(int dir, const char *name, char *const env[], struct output *o, pid_t *pid,
		 struct ay_err *err)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return ay_err_errno(err, errno, "cannot run %s", o->who);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	*pid = fork();
	if (*pid == 0)
		child(dir, name, p[1], env);
	int code = errno;
	close(p[1]);
	if (*pid < 0) {
		close(p[0]);
		return ay_err_errno(err, code, "cannot run %s", o->who);
	}
	setpgid(*pid, *pid); /* both do it: whoever is first */
	o->fd = p[0];
	return 0;
}

/* Reads its output until it ended or @until. True: it ended, with @status. */
static bool wait_until(pid_t pid, int pidfd, uint64_t until_ns, struct output *o, int *status)
{
	for (;;) {
		drain(o);
		pid_t done = waitpid(pid, status, WNOHANG);
		if (done == pid || (done < 0 && errno == ECHILD))
			return true;
		uint64_t now = ay_monotonic_ns();
		if (now >= until_ns)
			return false;
		uint64_t ms = (until_ns - now) / 1000000 + 1;
		if (pidfd < 0 && ms > STEP_MS)
			ms = STEP_MS;
		struct pollfd p[2] = {{o->fd, POLLIN, 0}, {pidfd, POLLIN, 0}};
		poll(p, 2, ms > 60000 ? 60000 : (int)ms);
	}
}

static void kill_hook(pid_t pid, int pidfd, const struct orphans *before, struct output *o)
{
	int status;
	kill(-pid, SIGTERM);
	if (!wait_until(pid, pidfd, ay_monotonic_ns() + AY_HOOK_GRACE_MS * UINT64_C(1000000), o, &status)) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	kill(-pid, SIGKILL); /* those of the group that outlived their leader */
	kill_orphans(before, pid);
}

static int verdict(const char *who, int status, struct ay_err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return ay_err_set(err, AY_EHOOK, "%s was killed by signal %d", who, WTERMSIG(status));
	return ay_err_set(err, AY_EHOOK, "%s failed with exit code %d", who, WEXITSTATUS(status));
}

static int run_one(const struct ay_hooks *h, int dir, const char *who, const char *name, char *const env[],
		   uint64_t end_ns, struct ay_err *err)
{
	struct output *o = calloc(1, sizeof(*o));
	struct orphans before;
	uint64_t now = ay_monotonic_ns(), until = now + h->one_s * UINT64_C(1000000000);
	pid_t pid = -1;
	int status = 0;
	if (!o)
		return ay_err_set(err, -ENOMEM, "out of memory");
	*o = (struct output){.who = who, .fd = -1};
	bool all_over = until > end_ns;
	list_children(&before);
	int r = spawn(dir, name, env, o, &pid, err);
	if (r == 0) {
		AY_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (wait_until(pid, pidfd, all_over ? end_ns : until, o, &status)) {
			r = verdict(who, status, err);
		} else {
			kill_hook(pid, pidfd, &before, o);
			r = ay_err_set(err, AY_EHOOK, "%s did not end within %u s%s and was killed", who,
				       all_over ? h->all_s : h->one_s,
				       all_over ? " (together with those before it)" : "");
		}
		end_output(o);
	}
	free(o);
	return r;
}

/* ---- all of a kind ---- */

#define ENV_MAX 12

struct env {
	char *list[ENV_MAX + 1];
	unsigned n;
};

static void env_release(struct env *e)
{
	for (unsigned i = 0; i < e->n; i++)
		free(e->list[i]);
}

static void env_put(struct env *e, const char *key, const char *value)
{
	AY_ASSERT(e->n < ENV_MAX);
	if (asprintf(&e->list[e->n], "%s=%s", key, value) < 0)
		e->list[e->n] = NULL; /* the list ends here; better less than none */
	else
		e->n++;
}

static void make_env(struct env *e, enum ay_hook_phase phase, const struct ay_hook_call *c)
{
	char serial[16], from[16], tries[16];
	snprintf(serial, sizeof(serial), "%u", c->serial);
	snprintf(from, sizeof(from), "%u", c->from);
	snprintf(tries, sizeof(tries), "%u", c->tries_left);
	env_put(e, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env_put(e, "LANG", "C.UTF-8");
	env_put(e, "HOME", "/");
	env_put(e, "AYNI_HOOK", phase_name(phase));
	env_put(e, "AYNI_BRANCH", c->branch);
	env_put(e, "AYNI_SERIAL", serial);
	env_put(e, "AYNI_FROM_SERIAL", from);
	env_put(e, "AYNI_TREE", c->tree);
	env_put(e, "AYNI_STORE", c->store);
	env_put(e, "AYNI_REASON", c->reason);
	env_put(e, "AYNI_TRIES_LEFT", tries);
}

int ay_hooks_run(const struct ay_hooks *h, enum ay_hook_phase phase, const struct ay_hook_call *call,
		 struct ay_err *err)
{
	AY_CLEANUP(env_release) struct env env = {.n = 0};
	AY_FREE struct names *names = malloc(sizeof(*names));
	char path[PATH_MAX], who[AY_HOOK_NAME_MAX + 32];
	uint64_t end = ay_monotonic_ns() + h->all_s * UINT64_C(1000000000);
	AY_CLOSE int dir = names ? open_phase(h, phase, path, err) : -ENOMEM;
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	make_env(&env, phase, call);
	int r = list_hooks(dir, path, names, err);
	for (unsigned i = 0; r == 0 && i < names->n; i++) {
		snprintf(who, sizeof(who), "hook %s.d/%s", phase_name(phase), names->list[i]);
		r = check_owner(dir, path, names->list[i], err);
		if (r == 0)
			r = run_one(h, dir, who, names->list[i], env.list, end, err);
	}
	return r;
}
