/* SPDX-License-Identifier: MIT */
/*
 * `ayni publish`: options in, one sentence per fact out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/keyfile.h"
#include "node/progress.h"
#include "node/publish.h"
#include "node/size.h"

enum { OPT_NAME = 256, OPT_NOTES, OPT_MIN_SERIAL, OPT_ROLLOUT, OPT_MEMORY, OPT_APPLY_MEMORY, OPT_THREADS };

struct args {
	struct ay_publish p;
	struct ay_secret_key keys[AY_SIGNATURES_MAX];
	const char *key_paths[AY_SIGNATURES_MAX];
	unsigned n_keys;
	int json, full, owner_root, again, exact_mtimes, read_all, fast;
};

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	uint32_t n = 0;
	int r = 0;
	switch (val) {
	case 'r':
		a->p.repo = arg;
		break;
	case 'b':
		a->p.branch = arg;
		break;
	case 'k':
		if (a->n_keys == AY_SIGNATURES_MAX)
			return ay_err_set(err, AY_ELIMIT, "a release has at most %d signatures",
					  AY_SIGNATURES_MAX);
		a->key_paths[a->n_keys++] = arg;
		break;
	case 'R':
		a->p.root = arg;
		break;
	case OPT_NAME:
		a->p.name = arg;
		break;
	case OPT_NOTES:
		a->p.notes = arg;
		break;
	case OPT_MIN_SERIAL:
		return ay_parse_u32(arg, 0, AY_SERIAL_MAX, "--min-serial", &a->p.min_serial, err);
	case OPT_ROLLOUT:
		r = ay_parse_u32(arg, 0, 100, "--rollout", &n, err);
		a->p.rollout = (uint8_t)n;
		break;
	case OPT_MEMORY:
		return ay_size_mib(arg, 64, 1u << 20, "--memory", &a->p.memory, err);
	case OPT_APPLY_MEMORY:
		return ay_size_mib(arg, 4, 1u << 20, "--apply-memory", &a->p.apply_memory, err);
	default:
		r = ay_parse_u32(arg, 1, 256, "--threads", &n, err);
		a->p.threads = n;
		break;
	}
	return r;
}

static void print_words(const struct ay_publish *p, const struct ay_published *out)
{
	char a[32], b[32], c[32];
	printf("published %s %u%s%s: %" PRIu64 " entries, %s\n", p->branch, out->release.serial,
	       out->release.name[0] ? " " : "", out->release.name, out->release.entries,
	       ay_human_bytes(out->release.unpacked_size, a));
	if (out->carried.entries > 0)
		printf("times carried over from the release before: %" PRIu64 " entries, %s\n",
		       out->carried.entries, ay_human_bytes(out->carried.bytes, a));
	for (unsigned i = 0; i < out->n_bundles; i++) {
		if (out->bundles[i].from)
			printf("bundle from %u: %s, %s of memory to apply\n", out->bundles[i].from,
			       ay_human_bytes(out->bundles[i].size, b),
			       ay_human_bytes(out->bundles[i].memory, c));
		else
			printf("bundle from nothing: %s\n", ay_human_bytes(out->bundles[i].size, b));
	}
}

static int print_json(const struct ay_publish *p, const struct ay_published *out, struct ay_err *err)
{
	char manifest[AY_DIGEST_HEX + 1], release[AY_DIGEST_HEX + 1];
	json_t *bundles = json_array();
	for (unsigned i = 0; i < out->n_bundles; i++)
		json_array_append_new(bundles,
				      json_pack("{s:I, s:I, s:I}", "from", (json_int_t)out->bundles[i].from,
						"bytes", (json_int_t)out->bundles[i].size, "memory",
						(json_int_t)out->bundles[i].memory));
	return ay_print_json(
		json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I}, s:o}",
			  "branch", p->branch, "serial", (json_int_t)out->release.serial, "name",
			  out->release.name, "manifest", ay_digest_hex(&out->release.manifest, manifest),
			  "release", ay_digest_hex(&out->head.release, release), "entries",
			  (json_int_t)out->release.entries, "bytes", (json_int_t)out->release.unpacked_size,
			  "carried", "entries", (json_int_t)out->carried.entries, "files",
			  (json_int_t)out->carried.files, "bytes", (json_int_t)out->carried.bytes, "read",
			  "files", (json_int_t)out->read_files, "bytes", (json_int_t)out->read_bytes,
			  "bundles", bundles),
		err);
}

/* The real path of @path, or of the directory in which it is going to be; NULL: there is none. */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL);
	if (real || errno != ENOENT)
		return real;
	AY_FREE char *parent = strdup(path);
	size_t n = parent ? strlen(parent) : 0;
	while (n > 0 && parent[n - 1] == '/')
		n--;
	while (n > 0 && parent[n - 1] != '/')
		n--;
	if (!parent)
		return NULL;
	parent[n] = '\0';
	return realpath(n ? parent : ".", NULL);
}

/* A repository inside the tree would be published with itself, and a secret key inside it to everybody. */
static int check_outside(const char *tree, const char *what, const char *path, struct ay_err *err)
{
	AY_FREE char *outer = realpath(tree, NULL), *inner = resolve(path);
	size_t n = outer ? strlen(outer) : 0;
	if (!outer || !inner || strncmp(outer, inner, n) != 0 ||
	    (n > 1 && inner[n] != '/' && inner[n] != '\0'))
		return 0;
	return ay_err_set(err, AY_EUSAGE,
			  "the %s %s lies in the tree %s and would be published with it; move it elsewhere",
			  what, path, tree);
}

static int check_places(const struct args *a, struct ay_err *err)
{
	int r = check_outside(a->p.tree, "repository", a->p.repo, err);
	for (unsigned i = 0; r == 0 && i < a->n_keys; i++)
		r = check_outside(a->p.tree, "secret key", a->key_paths[i], err);
	return r;
}

static int publish(struct args *a, struct ay_err *err)
{
	struct ay_published out;
	int r = check_places(a, err);
	unsigned n = 0;
	while (r == 0 && n < a->n_keys && (r = ay_keyfile_secret(a->key_paths[n], &a->keys[n], err)) == 0)
		n++;
	a->p.keys = a->keys;
	a->p.n_keys = n;
	if (r == 0)
		r = ay_publish(&a->p, &out, err);
	while (n > 0)
		ay_secret_key_wipe(&a->keys[--n]);
	if (r != 0)
		return r;
	if (a->json)
		return print_json(&a->p, &out, err);
	print_words(&a->p, &out);
	return 0;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.p = {.rollout = 100}, .full = AY_FULL_AUTO};
	int first = 0;
	const struct option longs[] = {{"repo", required_argument, NULL, 'r'},
				       {"branch", required_argument, NULL, 'b'},
				       {"key", required_argument, NULL, 'k'},
				       {"root", required_argument, NULL, 'R'},
				       {"name", required_argument, NULL, OPT_NAME},
				       {"notes", required_argument, NULL, OPT_NOTES},
				       {"min-serial", required_argument, NULL, OPT_MIN_SERIAL},
				       {"rollout", required_argument, NULL, OPT_ROLLOUT},
				       {"memory", required_argument, NULL, OPT_MEMORY},
				       {"apply-memory", required_argument, NULL, OPT_APPLY_MEMORY},
				       {"threads", required_argument, NULL, OPT_THREADS},
				       {"full", no_argument, &a.full, AY_FULL_YES},
				       {"no-full", no_argument, &a.full, AY_FULL_NO},
				       {"owner-root", no_argument, &a.owner_root, 1},
				       {"again", no_argument, &a.again, 1},
				       {"exact-mtimes", no_argument, &a.exact_mtimes, 1},
				       {"read-all", no_argument, &a.read_all, 1},
				       {"fast", no_argument, &a.fast, 1},
				       {"json", no_argument, &a.json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (argc - first != 1 || !a.p.repo || !a.p.branch || a.n_keys == 0)
		return ay_usage(err, "publish", "publish needs --repo, --branch, --key and one directory");
	a.p.tree = argv[first];
	a.p.full = (enum ay_publish_full)a.full;
	a.p.owner_root = a.owner_root;
	a.p.again = a.again;
	a.p.exact_mtimes = a.exact_mtimes;
	a.p.read_all = a.read_all;
	a.p.fast = a.fast;
	a.p.now_s = (uint64_t)time(NULL);
	return publish(&a, err);
}

const struct ay_cmd ay_cmd_publish = {
	"publish",
	"make a directory the next release of a branch",
	"Usage: ayni publish --repo DIR --branch NAME --key SECRET [OPTION...] TREE\n"
	"\n"
	"Scans the directory TREE, makes a bundle from the release before, signs release, offer and head, and writes\n"
	"all of it into the repository, the head last. A school server (`ayni node --role=school --repo DIR`) or any\n"
	"web server can serve that directory. Publishing again what the newest release holds already does nothing\n"
	"(exit code 3).\n"
	"\n"
	"What equals the last release's entry in all but its time keeps the time of the last release, so that a tree that\n"
	"was unpacked anew costs no laptop a second copy of each file. Not so a .py whose byte code (.pyc) changed, nor a\n"
	"directory in which a name came or went. --exact-mtimes keeps all times as they are.\n"
	"\n"
	"Files whose inode, size, mtime and ctime are those of the last publication are not read again (--read-all reads\n"
	"them).\n"
	"\n"
	"  -r, --repo DIR        the repository; made when it is not there\n"
	"  -b, --branch NAME     the branch (xo/stable)\n"
	"  -k, --key SECRET      signs; the keys given must hold the roles release and head; repeatable\n"
	"  -R, --root FILE       put this root into the repository first (needed once, and for each new root)\n"
	"      --name TEXT       the release's name for people (2026.3)\n"
	"      --notes TEXT      what is new\n"
	"      --rollout N       percent of laptops that may take it now (100)\n"
	"      --min-serial N    laptops below N must not stay there\n"
	"      --full, --no-full make the bundle from nothing, or only where nothing else leads to the release\n"
	"                        (otherwise also for the serials 8, 16, 24, ...)\n"
	"      --owner-root      write all owners as root (for a plain user who publishes a system's tree)\n"
	"      --exact-mtimes    carry no times over from the last release\n"
	"      --read-all        read every file, also those that the last publication knew\n"
	"      --again           publish even when nothing changed\n"
	"      --fast            make the bundle in a fraction of the time; it is larger\n"
	"      --memory SIZE     memory for making diffs, from 64M (half of the machine)\n"
	"      --apply-memory SIZE  memory that applying a bundle may need, from 4M (400M)\n"
	"      --threads N       cores to use (all)\n"
	"      --json            print the result as JSON\n"
	"\n"
	"SIZE: 512M or 2G (units of 1024); a number without a unit counts MiB.\n",
	run,
};
