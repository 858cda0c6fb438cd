/* SPDX-License-Identifier: MIT */
/*
 * ayni checkout: a tree to write into. Its own files (--writable), an overlay over the store's (--overlay), or links
 * for reading only (--hardlink).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/losses.h"
#include "node/mount.h"
#include "node/overlay.h"
#include "node/paths.h"
#include "node/use.h"
#include "store/checkout.h"

struct checkout_args {
	const char *store;
	int json, writable, overlay, hardlink, no_sync;
	char *branch;
	uint32_t serial;
	const char *dir;
};

static int checkout_each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct checkout_args *a = ctx;

	(void)val;
	(void)err;
	a->store = arg;
	return 0;
}

static int checkout_parse(struct checkout_args *a, int argc, char **argv, struct ay_err *err)
{
	*a = (struct checkout_args){.store = AY_STORE_PATH};
	const struct option longs[] = {{"store", required_argument, NULL, 's'},
				       {"json", no_argument, &a->json, 1},
				       {"writable", no_argument, &a->writable, 1},
				       {"overlay", no_argument, &a->overlay, 1},
				       {"hardlink", no_argument, &a->hardlink, 1},
				       {"no-sync", no_argument, &a->no_sync, 1},
				       {0}};
	int first = 0;
	int r = ay_options(argc, argv, longs, checkout_each, a, &first, err);
	if (r < 0)
		return r;
	if (a->writable + a->overlay + a->hardlink != 1)
		return ay_usage(err, argv[0], "say how: --writable, --overlay or --hardlink");
	if (argc - first != 2)
		return ay_usage(err, argv[0], "say which branch, and the directory to make");
	a->branch = argv[first];
	a->dir = argv[first + 1];
	return ay_use_parse(a->branch, &a->serial, err);
}

static int print_checkout(const struct checkout_args *a, const struct ay_use *use, const char *how, int pid,
			  struct ay_err *err)
{
	if (a->json) {
		json_t *o = json_pack("{s:s, s:I, s:s, s:s}", "branch", a->branch, "serial",
				      (json_int_t)use->serial, "at", a->dir, "how", how);
		if (o && pid)
			json_object_set_new(o, "holder", json_integer(pid));
		return ay_print_json(o, err);
	}
	printf("%s %u is checked out at %s (%s)\n", a->branch, use->serial, a->dir, how);
	return 0;
}

static int check_out(const struct checkout_args *a, struct ay_store *s, const struct ay_use *use,
		     struct ay_err *err)
{
	char name[NAME_MAX + 1];
	int pid = 0;
	AY_CLOSE int parent = ay_parent_open(a->dir, name, err);

	if (parent < 0)
		return parent;
	int in = ay_checkout_check_place(s, parent, a->dir, err);
	if (in < 0)
		return in;
	if (a->overlay) {
		const struct ay_overlay o = {.branch = a->branch,
					     .use = use,
					     .parent = parent,
					     .name = name,
					     .dir = a->dir,
					     .store = a->store};
		int r = ay_overlay_mount(&o, &pid, err);
		return r < 0 ? r : print_checkout(a, use, "overlay", pid, err);
	}
	const struct ay_checkout c = {.branch = a->branch,
				      .use = use,
				      .parent = parent,
				      .name = name,
				      .link = a->hardlink,
				      .no_sync = a->no_sync};
	int r = ay_store_checkout(s, &c, err);
	return r < 0 ? r
		     : print_checkout(a, use, a->hardlink ? "hardlinks, to read only" : "writable", 0, err);
}

static int run_checkout(int argc, char **argv, struct ay_err *err)
{
	struct ay_use use = AY_USE_NONE;
	struct ay_store *s = NULL;
	struct checkout_args a;
	int r = checkout_parse(&a, argc, argv, err);

	if (r < 0 || (r = ay_use_open(a.store, a.branch, a.serial, &s, &use, err)) < 0)
		return r;
	ay_tell_losses(s);
	r = check_out(&a, s, &use, err);
	ay_use_release(&use);
	ay_store_close(s);
	return r;
}

const struct ay_cmd ay_cmd_checkout = {
	"checkout",
	"put a tree somewhere to be written to",
	"Usage: ayni checkout BRANCH[@SERIAL] DIR --writable|--overlay|--hardlink [--no-sync] [--store DIR] [--json]\n"
	"\n"
	"      --writable       DIR, new, gets files of its own: sharing blocks where the file system can (btrfs, xfs), else\n"
	"                       copies. Nothing done there reaches the store.\n"
	"      --overlay        DIR (made if it is not there) shows the tree; what is written goes to .DIR.ayni beside it, and is\n"
	"                       there again when it is checked out the next time. Takes no time and no room. Until\n"
	"                       `ayni umount DIR` or a restart; the tree stays whole meanwhile. Only root can.\n"
	"      --hardlink       DIR, new, gets links to the store's files, on the same file system. Nobody may write into them:\n"
	"                       it would change the store. To read only.\n"
	"      --no-sync        do not wait for the disk; after a power cut DIR may be incomplete\n"
	"  -s, --store DIR      the store (" AY_STORE_PATH ")\n"
	"      --json           print JSON\n"
	"\n"
	"DIR appears when it is complete. There may be no symbolic link on the way to it.\n",
	run_checkout,
};
