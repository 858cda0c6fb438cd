/* SPDX-License-Identifier: MIT */
/*
 * node/config.h - what a node is told: /etc/ayni/ayni.conf, its drop-ins, the command line.
 *
 *     [node]
 *     store = /var/lib/ayni          where trees and bundles live
 *     role = laptop                  or school
 *     repo = /srv/ayni               role school: the repository to give out
 *     interface = wlan0              where to speak and listen (else: all that can multicast)
 *     address = 192.0.2.7            only this address of ours (else: all)
 *     port = 24953                   TCP; 0: any
 *     news-port = 24953              UDP
 *     chat-port = 24954              UDP
 *     control = /run/ayni/control.sock
 *     control-group = adm            who may use it besides us
 *     peers = 192.0.2.1 [2001:db8::1]:24953
 *     auto-update = yes
 *     rate = 500K                    bytes a second to others; none
 *     switch = now                   and confirm, tries, keep: node/policy.h
 *     hooks = /etc/ayni/hooks        pre-switch.d, post-switch.d, health.d (node/hooks.h)
 *     hook-timeout = 60              seconds that one hook may take,
 *     hooks-timeout = 300            and all of one directory
 *     switch-trigger = /run/ayni/switch   a file to touch instead of running `ayni switch --due`; none
 *     reserve = 16M                  room on the disk that updates never take
 *     max-size = none                what the store is to stay below
 *     auto-gc = yes                  collect after each update
 *     apply-memory = 128M            what applying a bundle may take; none; auto: half of the machine's
 *     heal-from = /media/stick       repository directories that `ayni fsck --heal` takes good copies from
 *
 *     [branch xo/stable]             switch, confirm, tries, keep of one branch
 *
 * A key may stand once per file and section, but for peers, which add up within one file; a
 * later file's value replaces an earlier one's. The command line comes last.
 */
#ifndef AYNI_NODE_CONFIG_H
#define AYNI_NODE_CONFIG_H

#include <net/if.h>

#include "base/error.h"
#include "node/policy.h"
#include "proto/core.h"

#define AY_PORT_TCP  24953 /* "ay" */
#define AY_PORT_NEWS 24953
#define AY_PORT_CHAT 24954

#define AY_CONFIG_PATH_MAX    1024
#define AY_CONFIG_HEAL_MAX    8
#define AY_CONFIG_PEERS_MAX   32           /* more is a school's job */
#define AY_CONFIG_FILE_MAX    (256 * 1024) /* bytes of one file */
#define AY_CONFIG_DROPINS_MAX 256

#define AY_HOOKS_PATH "/etc/ayni/hooks"

/* What one branch has that differs. */
struct ay_config_branch {
	char name[AY_BRANCH_NAME_MAX + 1];
	unsigned set; /* a bit per key of ay_policy_keys */
	struct ay_policy policy;
};

struct ay_config {
	char path[AY_CONFIG_PATH_MAX]; /* the file that was named on the command line; "": none */
	enum ay_node_role role;
	char store[AY_CONFIG_PATH_MAX]; /* role school: "" when it has none */
	char repo[AY_CONFIG_PATH_MAX];
	char control[108]; /* as long as a UNIX socket's address can be */
	char control_group[33];
	char interface[IF_NAMESIZE];
	bool has_address;
	struct ay_addr address;
	uint16_t port, news_port, chat_port;
	struct ay_addr peers[AY_CONFIG_PEERS_MAX];
	unsigned n_peers;
	bool auto_update;
	uint64_t rate;           /* bytes a second; 0: no limit */
	struct ay_policy policy; /* of branches that have no other */
	struct ay_config_branch branches[AY_CORE_BRANCHES_MAX];
	unsigned n_branches;
	char hooks[AY_CONFIG_PATH_MAX];
	uint32_t hook_timeout_s, hooks_timeout_s;
	char switch_trigger[AY_CONFIG_PATH_MAX]; /* "": the node runs it itself */
	uint64_t reserve;                        /* bytes */
	uint64_t max_size;                       /* bytes; 0: no limit */
	bool auto_gc;
	uint64_t apply_memory; /* bytes; 0: no limit */
	char heal_from[AY_CONFIG_HEAL_MAX][AY_CONFIG_PATH_MAX];
	unsigned n_heal_from;
};

void ay_config_defaults(struct ay_config *c);

/**
 * ay_apply_memory_auto() - half of the machine's memory, and at least 64 MiB: an update must not drive out what the
 * laptop's owner is doing, and every plain bundle fits.
 */
uint64_t ay_apply_memory_auto(void);

/**
 * ay_config_set() - one key, as in the file; peers are added.
 *
 * Return: 0; AY_EUSAGE with key, value and what is allowed: nothing changed.
 */
int ay_config_set(struct ay_config *c, const char *key, const char *value, struct ay_err *err);

/**
 * ay_config_parse() - one file's text over what @c has.
 * @name: for messages, which begin with it and the line.
 *
 * Return: 0; AY_EUSAGE the first mistake; @c then is partly changed: give up or throw it away.
 */
int ay_config_parse(struct ay_config *c, const char *name, const char *text, size_t len, struct ay_err *err);

/**
 * ay_config_load() - the file @path, then *.conf in the directory @path".d" in the order of their names.
 * @must: whether the file itself must be there (the user named it).
 *
 * Return: 0 (also when nothing is there); AY_EUSAGE as above; -errno of reading.
 */
int ay_config_load(struct ay_config *c, const char *path, bool must, struct ay_err *err);

/** ay_config_policy() - what the owner wants of @branch: [node]'s, and over it its own section's. */
void ay_config_policy(const struct ay_config *c, const char *branch, struct ay_policy *out);

/** ay_config_check() - what no single key can tell: role school needs repo. 0 or AY_EUSAGE. */
int ay_config_check(struct ay_config *c, struct ay_err *err);

#endif
