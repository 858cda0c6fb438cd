/* SPDX-License-Identifier: MIT */
/*
 * The configuration. One table says which keys there are; the file and the command line both go through it,
 * so that a mistake reads the same wherever it was made. inih finds sections, keys and comments; the lines are
 * counted here, because Debian's build of it does not tell them.
 */
#include "node/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "node/address.h"
#include "node/paths.h"

#define APPLY_MEMORY_LEAST ((uint64_t)64 << 20) /* more than a plain bundle of the default part size needs */

uint64_t ay_apply_memory_auto(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t half = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 2 : 0;

	return half > APPLY_MEMORY_LEAST ? half : APPLY_MEMORY_LEAST;
}

void ay_config_defaults(struct ay_config *c)
{
	memset(c, 0, sizeof(*c));
	c->role = AY_NODE_LAPTOP;
	snprintf(c->store, sizeof(c->store), "%s", AY_STORE_PATH);
	snprintf(c->control, sizeof(c->control), "%s", AY_CONTROL_PATH);
	c->port = AY_PORT_TCP;
	c->news_port = AY_PORT_NEWS;
	c->chat_port = AY_PORT_CHAT;
	c->auto_update = true;
	c->apply_memory = ay_apply_memory_auto();
}

/* ---- one setter per kind of value; each returns NULL or what is allowed ---- */

struct key {
	const char *name;
	const char *(*set)(struct ay_config *c, const struct key *k, const char *v);
	size_t offset, size;
};

static const char *set_text(struct ay_config *c, const struct key *k, const char *v)
{
	if (strlen(v) >= k->size)
		return "shorter text";
	snprintf((char *)c + k->offset, k->size, "%s", v);
	return NULL;
}

static const char *set_path(struct ay_config *c, const struct key *k, const char *v)
{
	if (!*v)
		return "a path";
	return set_text(c, k, v) ? "a shorter path" : NULL;
}

static const char *set_interface(struct ay_config *c, const struct key *k, const char *v)
{
	if (!*v || strchr(v, '/') || strpbrk(v, " \t"))
		return "an interface's name as `ip link` shows it";
	return set_text(c, k, v) ? "an interface's name of at most 15 characters" : NULL;
}

static const char *set_port(struct ay_config *c, const struct key *k, const char *v)
{
	static const char allowed[] = "a number from 1 to 65535", or_any[] = "a number from 0 (any) to 65535";
	bool tcp = k->offset == offsetof(struct ay_config, port);
	unsigned n = 0;
	const char *p = v;
	for (; *p >= '0' && *p <= '9' && n <= 65535; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if (p == v || *p || n > 65535 || (n == 0 && !tcp))
		return tcp ? or_any : allowed;
	uint16_t port = (uint16_t)n;
	memcpy((char *)c + k->offset, &port, sizeof(port));
	return NULL;
}

static const char *set_role(struct ay_config *c, const struct key *k, const char *v)
{
	(void)k;
	if (strcmp(v, "laptop") == 0)
		c->role = AY_NODE_LAPTOP;
	else if (strcmp(v, "school") == 0)
		c->role = AY_NODE_SCHOOL;
	else
		return "laptop or school";
	return NULL;
}

static const char *set_bool(struct ay_config *c, const struct key *k, const char *v)
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off",
										    "0"};
	bool value;
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(v, yes[i]) == 0 || strcmp(v, no[i]) == 0) {
			value = strcmp(v, yes[i]) == 0;
			memcpy((char *)c + k->offset, &value, sizeof(value));
			return NULL;
		}
	}
	return "yes or no";
}

static const char *set_address(struct ay_config *c, const struct key *k, const char *v)
{
	struct ay_addr a;
	(void)k;
	if (ay_addr_parse(v, strlen(v), 1, &a) || a.port != 1)
		return "an IP address of this machine, without a port";
	a.port = 0;
	c->address = a;
	c->has_address = true;
	return NULL;
}

static const char *set_peers(struct ay_config *c, const struct key *k, const char *v)
{
	static const char allowed[] = "IP addresses, each with :PORT or without, separated by spaces: "
				      "192.0.2.1 192.0.2.2:24953 [2001:db8::1]:24953";
	struct ay_addr found[AY_CONFIG_PEERS_MAX];
	unsigned n = 0;
	(void)k;
	for (;;) {
		v += strspn(v, " \t,");
		size_t len = strcspn(v, " \t,");
		if (len == 0)
			break;
		if (c->n_peers + n == AY_CONFIG_PEERS_MAX)
			return "at most 32 addresses";
		if (ay_addr_parse(v, len, AY_PORT_TCP, &found[n++]))
			return allowed;
		v += len;
	}
	memcpy(c->peers + c->n_peers, found, n * sizeof(found[0]));
	c->n_peers += n;
	return NULL;
}

/* A number and K, M or G of @kilo; at least @min, at most 10^12. False: it is none. */
static bool get_amount(const char *v, unsigned kilo, uint64_t min, uint64_t *out)
{
	uint64_t n = 0, unit = 1;
	const char *p = v;
	for (; *p >= '0' && *p <= '9' && n < 1000000000000u; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (p == v)
		return false;
	if (*p) {
		static const char units[] = "KMG";
		const char *u = strchr(units, toupper((unsigned char)*p));
		if (!u || p[1])
			return false;
		for (; u >= units; u--)
			unit *= kilo;
	}
	if (n < 1 || n > 1000000000000u / unit || n * unit < min)
		return false;
	*out = n * unit;
	return true;
}

static const char *set_rate(struct ay_config *c, const struct key *k, const char *v)
{
	(void)k;
	if (strcmp(v, "none") == 0)
		c->rate = 0;
	else if (!get_amount(v, 1000, 1000, &c->rate))
		return "none, or bytes a second from 1K to 1000G, as in 500K, 2M";
	return NULL;
}

static const char *set_memory(struct ay_config *c, const struct key *k, const char *v)
{
	(void)k;
	if (strcmp(v, "none") == 0)
		c->apply_memory = 0;
	else if (strcmp(v, "auto") == 0)
		c->apply_memory = ay_apply_memory_auto();
	else if (!get_amount(v, 1024, 1u << 20, &c->apply_memory))
		return "auto, none, or bytes from 1M, as in 128M, 1G";
	return NULL;
}

static const char *set_heal_from(struct ay_config *c, const struct key *k, const char *v)
{
	static const char allowed[] = "at most 8 absolute paths of directories, blanks between them";
	(void)k;
	unsigned n = 0;
	for (const char *p = v + strspn(v, " \t"); *p; p += strspn(p, " \t")) {
		size_t len = strcspn(p, " \t");
		if (*p != '/' || len >= AY_CONFIG_PATH_MAX || n == AY_CONFIG_HEAL_MAX)
			return allowed;
		p += len;
		n++;
	}
	if (n == 0)
		return allowed;
	c->n_heal_from = 0;
	for (const char *p = v + strspn(v, " \t"); *p; p += strspn(p, " \t")) {
		size_t len = strcspn(p, " \t");
		char *to = c->heal_from[c->n_heal_from++];
		memcpy(to, p, len);
		to[len] = '\0';
		p += len;
	}
	return NULL;
}

#define FIELD(f) offsetof(struct ay_config, f), sizeof(((struct ay_config *)0)->f)
static const struct key keys[] = {
	{"store", set_path, FIELD(store)},
	{"role", set_role, 0, 0},
	{"repo", set_path, FIELD(repo)},
	{"interface", set_interface, FIELD(interface)},
	{"address", set_address, 0, 0},
	{"port", set_port, FIELD(port)},
	{"news-port", set_port, FIELD(news_port)},
	{"chat-port", set_port, FIELD(chat_port)},
	{"control", set_path, FIELD(control)},
	{"control-group", set_text, FIELD(control_group)},
	{"peers", set_peers, 0, 0},
	{"auto-update", set_bool, FIELD(auto_update)},
	{"rate", set_rate, 0, 0},
	{"apply-memory", set_memory, 0, 0},
	{"heal-from", set_heal_from, 0, 0},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static int find_key(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(keys[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static int unknown_key(const char *key, struct ay_err *err)
{
	char names[1024] = "";
	for (size_t i = 0, n = 0; i < N_KEYS; i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", keys[i].name);
	return ay_err_set(err, AY_EUSAGE, "there is no key \"%.64s\"; there are %s", key, names);
}

int ay_config_set(struct ay_config *c, const char *key, const char *value, struct ay_err *err)
{
	int i = find_key(key);
	if (i < 0)
		return unknown_key(key, err);
	const char *allowed = keys[i].set(c, &keys[i], value);
	if (allowed)
		return ay_err_set(err, AY_EUSAGE, "%s = %.200s: must be %s", key, value, allowed);
	return 0;
}

/* ---- a file ---- */

#define LINE_MAX_INIH 200 /* Debian's inih holds lines of 199 bytes and their newline */

struct file {
	struct ay_config *c;
	const char *pos, *end;
	unsigned line;
	unsigned seen[N_KEYS]; /* in which line */
	int result;
	unsigned result_line;
	struct ay_err *err;
};

static int fail_at(struct file *f, int code)
{
	if (f->result == 0) {
		f->result = code;
		f->result_line = f->line;
	}
	return 0; /* inih goes on; what follows is ignored */
}

/* inih's fgets(). */
static char *next_line(char *buf, int size, void *ctx)
{
	struct file *f = ctx;
	if (f->pos == f->end || f->result)
		return NULL;
	f->line++;
	const char *newline = memchr(f->pos, '\n', (size_t)(f->end - f->pos));
	size_t len = (size_t)((newline ? newline + 1 : f->end) - f->pos);
	if (len >= (size_t)size || len >= LINE_MAX_INIH) {
		ay_err_set(f->err, AY_EUSAGE, "a line of %zu bytes; at most 198 are allowed", len);
		fail_at(f, AY_EUSAGE);
		return NULL;
	}
	if (memchr(f->pos, 0, len)) {
		ay_err_set(f->err, AY_EUSAGE, "a zero byte; only text is allowed");
		fail_at(f, AY_EUSAGE);
		return NULL;
	}
	memcpy(buf, f->pos, len);
	buf[len] = 0;
	f->pos += len;
	return buf;
}

static int on_value(void *ctx, const char *section, const char *key, const char *value)
{
	struct file *f = ctx;
	if (f->result)
		return 0;
	if (strcmp(section, "node") != 0) {
		ay_err_set(f->err, AY_EUSAGE, "%s stands in section [%.64s]; only [node] is allowed", key,
			   section);
		return fail_at(f, AY_EUSAGE);
	}
	int i = find_key(key);
	bool peers = i >= 0 && keys[i].set == set_peers;
	if (i >= 0 && f->seen[i] && !peers) {
		ay_err_set(f->err, AY_EUSAGE, "%s stands already in line %u; once is allowed", key,
			   f->seen[i]);
		return fail_at(f, AY_EUSAGE);
	}
	if (peers && !f->seen[i])
		f->c->n_peers = 0;
	if (i >= 0)
		f->seen[i] = f->line;
	int r = ay_config_set(f->c, key, value, f->err);
	return r < 0 ? fail_at(f, r) : 1;
}

int ay_config_parse(struct ay_config *c, const char *name, const char *text, size_t len, struct ay_err *err)
{
	struct ay_err own = {0};
	struct file f = {.c = c, .pos = text, .end = text + len, .err = &own};
	int r = ini_parse_stream(next_line, &f, on_value, &f);
	if (f.result == 0 && r != 0) {
		/* inih says only where. */
		ay_err_set(&own, AY_EUSAGE, "neither [node] nor KEY = VALUE nor a comment");
		f.result = AY_EUSAGE;
		f.result_line = r > 0 ? (unsigned)r : f.line;
	}
	if (f.result)
		return ay_err_set(err, f.result, "%s:%u: %s", name, f.result_line, own.msg);
	return 0;
}

/* ---- files ---- */

static int load_one(struct ay_config *c, const char *path, bool must, struct ay_err *err)
{
	AY_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !must)
		return 0;
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", path);
	struct ay_buf text;
	ay_buf_init(&text, AY_CONFIG_FILE_MAX + 1);
	int r = 0;
	for (;;) {
		uint8_t *room = ay_buf_reserve(&text, 4096);
		if (!room) {
			r = ay_err_set(err, AY_EUSAGE, "%s: larger than 256 KiB: not a configuration", path);
			break;
		}
		ssize_t n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = ay_err_errno(err, errno, "cannot read %s", path);
		if (n <= 0)
			break;
		text.len += (size_t)n;
	}
	if (r == 0)
		r = ay_config_parse(c, path, text.len ? (const char *)text.data : "", text.len, err);
	ay_buf_release(&text);
	return r;
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *list[AY_CONFIG_DROPINS_MAX];
	unsigned n;
};

static void names_release(struct names *names)
{
	for (unsigned i = 0; i < names->n; i++)
		free(names->list[i]);
}

/* The files in @dir that end in .conf, sorted. */
static int list_dropins(const char *dir, struct names *names, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : ay_err_errno(err, errno, "cannot read %s", dir);
	struct dirent *e;
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);
		if (e->d_name[0] == '.' || len < 6 || strcmp(e->d_name + len - 5, ".conf") != 0)
			continue;
		if (names->n == AY_CONFIG_DROPINS_MAX)
			return ay_err_set(err, AY_ELIMIT, "%s: more than %d files", dir,
					  AY_CONFIG_DROPINS_MAX);
		char *path = NULL;
		if (asprintf(&path, "%s/%s", dir, e->d_name) < 0)
			return ay_err_set(err, -ENOMEM, "out of memory");
		names->list[names->n++] = path;
	}
	if (names->n)
		qsort(names->list, names->n, sizeof(names->list[0]), cmp_names);
	return 0;
}

int ay_config_load(struct ay_config *c, const char *path, bool must, struct ay_err *err)
{
	AY_CLEANUP(names_release) struct names names = {.n = 0};
	int r = load_one(c, path, must, err);
	if (r < 0)
		return r;
	AY_FREE char *dir = NULL;
	if (asprintf(&dir, "%s.d", path) < 0) {
		dir = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	r = list_dropins(dir, &names, err);
	for (unsigned i = 0; r == 0 && i < names.n; i++)
		r = load_one(c, names.list[i], false, err);
	return r;
}

int ay_config_check(struct ay_config *c, struct ay_err *err)
{
	if (c->role == AY_NODE_SCHOOL && !c->repo[0])
		return ay_err_set(
			err, AY_EUSAGE,
			"role school needs the repository that it gives out: --repo DIR, or repo = DIR in " AY_CONFIG_PATH);
	if (c->role == AY_NODE_LAPTOP && c->repo[0])
		return ay_err_set(err, AY_EUSAGE, "repo is for role school; a laptop has a store");
	if (c->news_port == c->chat_port)
		return ay_err_set(
			err, AY_EUSAGE,
			"news-port and chat-port are both %u; they must differ, so that a sleeping radio "
			"wakes for news alone",
			c->news_port);
	return 0;
}
