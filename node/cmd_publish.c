/* SPDX-License-Identifier: MIT */
/*
 * `ayni publish`: options in, one sentence per fact out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/keyfile.h"
#include "node/progress.h"
#include "node/publish.h"

enum { OPT_NAME = 256, OPT_NOTES, OPT_MIN_SERIAL, OPT_ROLLOUT, OPT_MEMORY, OPT_THREADS };

struct args {
	struct ay_publish p;
	const char *key;
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
		a->key = arg;
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
		r = ay_parse_u32(arg, 64, 1u << 20, "--memory (MiB)", &n, err);
		a->p.memory = (uint64_t)n << 20;
		break;
	default:
		r = ay_parse_u32(arg, 1, 256, "--threads", &n, err);
		a->p.threads = n;
		break;
	}
	return r;
}

static void print_words(const struct ay_publish *p, const struct ay_published *out)
{
	char a[32], b[32];
	printf("published %s %u%s%s: %" PRIu64 " entries, %s\n", p->branch, out->release.serial,
	       out->release.name[0] ? " " : "", out->release.name, out->release.entries,
	       ay_human_bytes(out->release.unpacked_size, a));
	for (unsigned i = 0; i < out->n_bundles; i++) {
		if (out->bundles[i].from)
			printf("bundle from %u: %s\n", out->bundles[i].from,
			       ay_human_bytes(out->bundles[i].size, b));
		else
			printf("bundle from nothing: %s\n", ay_human_bytes(out->bundles[i].size, b));
	}
}

static int print_json(const struct ay_publish *p, const struct ay_published *out)
{
	char manifest[AY_DIGEST_HEX + 1], release[AY_DIGEST_HEX + 1];
	json_t *bundles = json_array();
	for (unsigned i = 0; i < out->n_bundles; i++)
		json_array_append_new(bundles,
				      json_pack("{s:I, s:I}", "from", (json_int_t)out->bundles[i].from,
						"bytes", (json_int_t)out->bundles[i].size));
	json_t *all = json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:o}", "branch", p->branch, "serial",
				(json_int_t)out->release.serial, "name", out->release.name, "manifest",
				ay_digest_hex(&out->release.manifest, manifest), "release",
				ay_digest_hex(&out->head.release, release), "entries",
				(json_int_t)out->release.entries, "bytes",
				(json_int_t)out->release.unpacked_size, "bundles", bundles);
	int r = all && json_dumpf(all, stdout, JSON_INDENT(2)) == 0 ? 0 : -1;
	putchar('\n');
	json_decref(all);
	return r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {.p = {.rollout = 100}};
	int json = 0, full = AY_FULL_AUTO, owner_root = 0, again = 0, first = 0;
	const struct option longs[] = {{"repo", required_argument, NULL, 'r'},
				       {"branch", required_argument, NULL, 'b'},
				       {"key", required_argument, NULL, 'k'},
				       {"root", required_argument, NULL, 'R'},
				       {"name", required_argument, NULL, OPT_NAME},
				       {"notes", required_argument, NULL, OPT_NOTES},
				       {"min-serial", required_argument, NULL, OPT_MIN_SERIAL},
				       {"rollout", required_argument, NULL, OPT_ROLLOUT},
				       {"memory", required_argument, NULL, OPT_MEMORY},
				       {"threads", required_argument, NULL, OPT_THREADS},
				       {"full", no_argument, &full, AY_FULL_YES},
				       {"no-full", no_argument, &full, AY_FULL_NO},
				       {"owner-root", no_argument, &owner_root, 1},
				       {"again", no_argument, &again, 1},
				       {"json", no_argument, &json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (argc - first != 1 || !a.p.repo || !a.p.branch || !a.key)
		return ay_usage(err, "publish", "publish needs --repo, --branch, --key and one directory");
	a.p.tree = argv[first];
	a.p.full = (enum ay_publish_full)full;
	a.p.owner_root = owner_root;
	a.p.again = again;
	a.p.now_s = (uint64_t)time(NULL);

	struct ay_secret_key key;
	r = ay_keyfile_secret(a.key, &key, err);
	if (r < 0)
		return r;
	a.p.key = &key;
	struct ay_published out;
	r = ay_publish(&a.p, &out, err);
	ay_secret_key_wipe(&key);
	if (r < 0)
		return r;
	if (json)
		return print_json(&a.p, &out);
	print_words(&a.p, &out);
	return 0;
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
	"  -r, --repo DIR        the repository; made when it is not there\n"
	"  -b, --branch NAME     the branch (xo/stable)\n"
	"  -k, --key SECRET      signs; must hold the roles release and head\n"
	"  -R, --root FILE       put this root into the repository first (needed once)\n"
	"      --name TEXT       the release's name for people (2026.3)\n"
	"      --notes TEXT      what is new\n"
	"      --rollout N       percent of laptops that may take it now (100)\n"
	"      --min-serial N    laptops below N must not stay there\n"
	"      --full, --no-full make or leave out the bundle from nothing (made for serial 1, 8, 16, ...)\n"
	"      --owner-root      write all owners as root (for a plain user who publishes a system's tree)\n"
	"      --again           publish even when nothing changed\n"
	"      --memory MIB      memory for making diffs (half of the machine)\n"
	"      --threads N       cores to use (all)\n"
	"      --json            print the result as JSON\n",
	run,
};
