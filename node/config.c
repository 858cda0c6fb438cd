/* SPDX-License-Identifier: MIT */
/*
 * The configuration. One table says which keys there are; the file and the command line both go through it,
 * so that a mistake reads the same wherever it was made. inih finds sections, keys and comments; the lines are
 * counted here, because Debian's build of it does not tell them.
 */
#include "node/config.h"

#include <ctype.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "node/address.h"
#include "node/paths.h"
#include "node/size.h"

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
	ay_policy_defaults(&c->policy);
	snprintf(c->hooks, sizeof(c->hooks), "%s", AY_HOOKS_PATH);
	c->hook_timeout_s = 60;
	c->hooks_timeout_s = 300;
	c->reserve = 16 << 20;
	c->auto_gc = true;
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

/* Bytes a second: a number and K, M or G of 1000; from 1000 to 10^12. False: it is none. */
static bool get_rate(const char *v, uint64_t *out)
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
			unit *= 1000;
	}
	if (n < 1 || n > 1000000000000u / unit || n * unit < 1000)
		return false;
	*out = n * unit;
	return true;
}

static const char *set_rate(struct ay_config *c, const struct key *k, const char *v)
{
	(void)k;
	if (strcmp(v, "none") == 0)
		c->rate = 0;
	else if (!get_rate(v, &c->rate))
		return "none, or bytes a second from 1K to 1000G, as in 500K, 2M";
	return NULL;
}

static const char *set_memory(struct ay_config *c, const struct key *k, const char *v)
{
	uint64_t n;
	(void)k;
	if (strcmp(v, "none") == 0)
		c->apply_memory = 0;
	else if (strcmp(v, "auto") == 0)
		c->apply_memory = ay_apply_memory_auto();
	else if (!ay_size_read(v, 1, &n) || n < 1u << 20)
		return "auto, none, or bytes from 1M, as in 128M, 1G";
	else
		c->apply_memory = n;
	return NULL;
}

static const char *set_seconds(struct ay_config *c, const struct key *k, const char *v)
{
	uint32_t n = 0;
	const char *p = v;
	for (; *p >= '0' && *p <= '9' && n <= 86400; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	if (p == v || *p || n < 1 || n > 86400)
		return "seconds, from 1 to 86400";
	memcpy((char *)c + k->offset, &n, sizeof(n));
	return NULL;
}

/* Bytes with a unit of 1024; none is 0. */
static const char *set_size(struct ay_config *c, const struct key *k, const char *v)
{
	uint64_t n = 0;
	if (strcmp(v, "none") != 0 && !ay_size_read(v, 1, &n))
		return "none, or bytes, as in 300M, 2G, 1T";
	memcpy((char *)c + k->offset, &n, sizeof(n));
	return NULL;
}

static const char *set_trigger(struct ay_config *c, const struct key *k, const char *v)
{
	if (strcmp(v, "none") == 0) {
		c->switch_trigger[0] = 0;
		return NULL;
	}
	return set_path(c, k, v) ? "a path, or none" : NULL;
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
	{"hooks", set_path, FIELD(hooks)},
	{"hook-timeout", set_seconds, FIELD(hook_timeout_s)},
	{"hooks-timeout", set_seconds, FIELD(hooks_timeout_s)},
	{"switch-trigger", set_trigger, FIELD(switch_trigger)},
	{"reserve", set_size, FIELD(reserve)},
	{"max-size", set_size, FIELD(max_size)},
	{"auto-gc", set_bool, FIELD(auto_gc)},
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
	size_t n = 0;
	for (size_t i = 0; i < N_KEYS; i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s, ", keys[i].name);
	for (int i = 0; i < AY_POLICY_KEYS; i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", ay_policy_keys[i]);
	return ay_err_set(err, AY_EUSAGE, "there is no key \"%.64s\"; there are %s", key, names);
}

int ay_config_set(struct ay_config *c, const char *key, const char *value, struct ay_err *err)
{
	int i = find_key(key), p = ay_policy_key(key);
	if (i < 0 && p < 0)
		return unknown_key(key, err);
	const char *allowed = i >= 0 ? keys[i].set(c, &keys[i], value) : ay_policy_set(&c->policy, p, value);
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
	unsigned seen[N_KEYS];                 /* in which line */
	char section[16 + AY_BRANCH_NAME_MAX]; /* inih keeps less of it */
	unsigned seen_policy[AY_POLICY_KEYS];
	unsigned seen_branch[AY_CORE_BRANCHES_MAX][AY_POLICY_KEYS];
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
	if (buf[0] == '[') {
		size_t n = strcspn(buf + 1, "]");
		snprintf(f->section, sizeof(f->section), "%.*s",
			 n < sizeof(f->section) ? (int)n : (int)sizeof(f->section) - 1, buf + 1);
	}
	return buf;
}

static int stands_already(struct file *f, const char *key, unsigned line)
{
	ay_err_set(f->err, AY_EUSAGE, "%s stands already in line %u; once is allowed", key, line);
	return fail_at(f, AY_EUSAGE);
}

/* The section of a branch, a new one if need be. */
static struct ay_config_branch *find_branch(struct file *f, const char *name)
{
	struct ay_config *c = f->c;
	for (unsigned i = 0; i < c->n_branches; i++) {
		if (strcmp(c->branches[i].name, name) == 0)
			return &c->branches[i];
	}
	if (ay_branch_check(name, strlen(name)) < 0) {
		ay_err_set(f->err, AY_EUSAGE, "[branch %s]: this is no branch's name", name);
		return NULL;
	}
	if (c->n_branches == AY_CORE_BRANCHES_MAX) {
		ay_err_set(f->err, AY_EUSAGE, "[branch %s]: at most %d branches have their own section", name,
			   AY_CORE_BRANCHES_MAX);
		return NULL;
	}
	struct ay_config_branch *b = &c->branches[c->n_branches++];
	*b = (struct ay_config_branch){0};
	snprintf(b->name, sizeof(b->name), "%s", name);
	return b;
}

static int on_branch_value(struct file *f, const char *name, const char *key, const char *value)
{
	struct ay_config_branch *b = find_branch(f, name);
	int i = ay_policy_key(key);
	if (!b)
		return fail_at(f, AY_EUSAGE);
	if (i < 0) {
		ay_err_set(f->err, AY_EUSAGE,
			   "there is no key \"%.64s\" of a branch; there are switch, confirm, tries, keep",
			   key);
		return fail_at(f, AY_EUSAGE);
	}
	unsigned *seen = &f->seen_branch[b - f->c->branches][i];
	if (*seen)
		return stands_already(f, key, *seen);
	*seen = f->line;
	const char *allowed = ay_policy_set(&b->policy, i, value);
	if (allowed) {
		ay_err_set(f->err, AY_EUSAGE, "%s = %.200s: must be %s", key, value, allowed);
		return fail_at(f, AY_EUSAGE);
	}
	b->set |= 1u << i;
	return 1;
}

static int on_node_value(struct file *f, const char *key, const char *value)
{
	int i = find_key(key), p = ay_policy_key(key);
	bool peers = i >= 0 && keys[i].set == set_peers;
	unsigned *seen = i >= 0 ? &f->seen[i] : p >= 0 ? &f->seen_policy[p] : NULL;
	if (seen && *seen && !peers)
		return stands_already(f, key, *seen);
	if (peers && !*seen)
		f->c->n_peers = 0;
	if (seen)
		*seen = f->line;
	int r = ay_config_set(f->c, key, value, f->err);
	return r < 0 ? fail_at(f, r) : 1;
}

static int on_value(void *ctx, const char *section, const char *key, const char *value)
{
	struct file *f = ctx;
	static const char branch[] = "branch ";
	if (f->result)
		return 0;
	/* What inih takes for a section and we did not: one that does not begin its line. */
	if (strncmp(section, f->section, strlen(section)) != 0) {
		ay_err_set(f->err, AY_EUSAGE, "[%.48s] does not stand at the beginning of its line", section);
		return fail_at(f, AY_EUSAGE);
	}
	if (strcmp(f->section, "node") == 0)
		return on_node_value(f, key, value);
	if (strncmp(f->section, branch, sizeof(branch) - 1) == 0)
		return on_branch_value(f, f->section + sizeof(branch) - 1, key, value);
	ay_err_set(f->err, AY_EUSAGE,
		   "%s stands in section [%.64s]; only [node] and [branch NAME] are allowed", key,
		   f->section);
	return fail_at(f, AY_EUSAGE);
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

void ay_config_policy(const struct ay_config *c, const char *branch, struct ay_policy *out)
{
	*out = c->policy;
	for (unsigned i = 0; i < c->n_branches; i++) {
		const struct ay_config_branch *b = &c->branches[i];
		for (int k = 0; k < AY_POLICY_KEYS && strcmp(b->name, branch) == 0; k++) {
			if (b->set & 1u << k)
				ay_policy_take(out, k, &b->policy);
		}
	}
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
