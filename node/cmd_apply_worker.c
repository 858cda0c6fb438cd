/* SPDX-License-Identifier: MIT */
/*
 * `ayni apply-worker`: the node's hand. Makes one tree out of one bundle, notes that it is ready, and ends.
 *
 * It is told digests only, and reads and verifies all else itself: release and offer against the store's root, the
 * bundle against its digest. Its node gone, it dies (PR_SET_PDEATHSIG): the durable commit makes that harmless.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/collect.h"
#include "node/losses.h"
#include "node/paths.h"
#include "node/progress.h"
#include "store/bundles.h"
#include "store/journal.h"
#include "store/turn.h"

#define NICE        10
#define PROGRESS_NS 100000000u
#define OPTION(c)   (1ull << ((c) - '@')) /* letters, large and small ones apart */

struct worker {
	const char *store, *branch, *config_path; /* config_path: NULL: the default one */
	struct ay_config *config;
	uint32_t serial, parent;
	struct ay_digest release, offer, bundle;
	uint64_t have;   /* OPTION()s that were given */
	uint64_t memory; /* that applying may take; 0: any number of bytes */
	uint64_t told_ns;
};

static void tell(json_t *line)
{
	if (line)
		json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct worker *w = ctx;
	uint64_t now = ay_monotonic_ns();
	if (w->told_ns && now - w->told_ns < PROGRESS_NS && done < total)
		return 0;
	w->told_ns = now;
	tell(json_pack("{s:[I,I]}", "progress", (json_int_t)done, (json_int_t)total));
	return ferror(stdout) ? -EPIPE : 0; /* nobody listens: the node is gone */
}

static int each_option(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct worker *w = ctx;
	struct ay_digest *digest = val == 'R'   ? &w->release
				   : val == 'O' ? &w->offer
				   : val == 'B' ? &w->bundle
						: NULL;
	w->have |= OPTION(val);
	if (digest)
		return ay_digest_parse(digest, arg, strlen(arg))
			       ? ay_err_set(err, AY_EUSAGE, "\"%s\" is not a digest", arg)
			       : 0;
	if (val == 's')
		w->store = arg;
	else if (val == 'b')
		w->branch = arg;
	else if (val == 'c')
		w->config_path = arg;
	else if (val == 'm')
		w->memory = strtoull(arg, NULL, 10);
	else if (val == 'n')
		return ay_parse_u32(arg, 1, UINT32_MAX, "--serial", &w->serial, err);
	else
		return ay_parse_u32(arg, 1, UINT32_MAX, "--parent", &w->parent, err);
	return 0;
}

static void note(struct ay_store *s, const struct worker *w)
{
	struct ay_err why = {0};
	if (ay_journal_add(s, w->branch, AY_JOURNAL_INSTALLED, w->serial, 0, "from the network", &why) < 0)
		ay_complain("apply-worker", why.msg);
}

static int apply(struct worker *w, struct ay_store *s, struct ay_release *release, struct ay_err *err)
{
	AY_FREE uint8_t *release_data = NULL, *offer_data = NULL;
	size_t release_len, offer_len;
	const struct ay_root *root;
	struct ay_offer offer;
	struct ay_bundle_file *file = NULL;
	int r = ay_state_root(s, &root, err);
	if (r == 0)
		r = ay_state_get_doc(s, AY_DOC_RELEASE, &w->release, &release_data, &release_len, err);
	if (r == 0)
		r = ay_trust_release(root, w->branch, release_data, release_len, release, err);
	if (r == 0 && release->serial != w->serial)
		r = ay_err_set(err, AY_EFORMAT, "the release has serial %" PRIu32 ", not %" PRIu32,
			       release->serial, w->serial);
	if (r == 0)
		r = ay_state_get_doc(s, AY_DOC_OFFER, &w->offer, &offer_data, &offer_len, err);
	if (r == 0)
		r = ay_trust_offer(root, w->branch, offer_data, offer_len, &offer, err);
	if (r == 0 &&
	    (!ay_digest_eq(&offer.bundle, &w->bundle) || !ay_digest_eq(&offer.to, &release->manifest)))
		r = ay_err_set(err, AY_EFORMAT, "the offer is of another bundle or leads to another release");
	if (r == 0)
		r = ay_bundle_file_open(s, &w->bundle, offer.bundle_size, false, &file, err);
	if (r == 0 && !ay_bundle_file_whole(file))
		r = ay_err_set(err, -EAGAIN, "the bundle is not complete");
	if (r == 0) {
		struct ay_apply a = {.branch = w->branch,
				     .release = release_data,
				     .release_len = release_len,
				     .bundle_fd = ay_bundle_file_fd(file),
				     .offer = &offer,
				     .memory = w->memory,
				     .progress = on_progress,
				     .ctx = w};
		r = ay_apply_with_room(s, w->config, &a, err);
	}
	ay_bundle_file_close(file);
	if (r == 0)
		note(s, w);
	return r == AY_ENOTHING ? 0 : r; /* the tree is there already: only that it is ready was not noted */
}

static int work(struct worker *w, struct ay_release *release, struct ay_err *err)
{
	struct ay_store *s = NULL;
	int r = ay_store_open(ay_fs_real(), w->store, 0, &s, err);
	if (r == 0) {
		ay_store_set_reserve(s, w->config->reserve);
		ay_store_set_threads(s, 0);
	}
	if (r == 0)
		ay_tell_losses(s);
	if (r == 0)
		r = apply(w, s, release, err);
	if (r == 0)
		r = ay_turn_ready(s, w->branch, w->serial, err);
	ay_store_close(s);
	return r;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	static const struct option longs[] = {
		{"store", required_argument, NULL, 's'},  {"branch", required_argument, NULL, 'b'},
		{"serial", required_argument, NULL, 'n'}, {"release", required_argument, NULL, 'R'},
		{"offer", required_argument, NULL, 'O'},  {"bundle", required_argument, NULL, 'B'},
		{"parent", required_argument, NULL, 'p'}, {"memory", required_argument, NULL, 'm'},
		{"config", required_argument, NULL, 'c'}, {0}};
	static const uint64_t needed =
		OPTION('s') | OPTION('b') | OPTION('n') | OPTION('R') | OPTION('O') | OPTION('B');
	struct worker w = {0};
	int first;
	int r = ay_options(argc, argv, longs, each_option, &w, &first, err);
	if (r < 0)
		return r;
	if (first != argc || (w.have & needed) != needed)
		return ay_usage(err, "apply-worker", "apply-worker is started by the node");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (w.parent && (uint32_t)getppid() != w.parent)
		return ay_err_set(err, -ESRCH, "the node that started this is gone");
	setpriority(PRIO_PROCESS, 0, NICE);
	signal(SIGPIPE, SIG_IGN);

	AY_FREE struct ay_config *config = malloc(sizeof(*config));
	AY_FREE struct ay_release *release = calloc(1, sizeof(*release));
	struct ay_err why = {0};
	char hex[AY_DIGEST_HEX + 1];
	if (!release || !config)
		return -ENOMEM;
	ay_config_defaults(config);
	w.config = config;
	r = ay_config_load(config, w.config_path ? w.config_path : AY_CONFIG_PATH, w.config_path != NULL,
			   &why);
	if (r == 0)
		r = work(&w, release, &why);
	if (r == 0) {
		tell(json_pack("{s:{s:I,s:s}}", "done", "serial", (json_int_t)w.serial, "manifest",
			       ay_digest_hex(&release->manifest, hex)));
		return 0;
	}
	/* A sentence may quote a stranger's bytes: JSON wants UTF-8, and escapes would outgrow the node's line. */
	for (char *p = why.msg; *p; p++)
		*p = *p >= ' ' && *p < 0x7f ? *p : '?';
	tell(json_pack("{s:{s:i,s:s}}", "error", "code", r, "message",
		       why.msg[0] ? why.msg : ay_strerror(r)));
	return r;
}

const struct ay_cmd ay_cmd_apply_worker = {
	"apply-worker",
	NULL,
	"Usage: ayni apply-worker --store DIR --branch NAME --serial N --release DIGEST --offer DIGEST\n"
	"                         --bundle DIGEST [--parent PID] [--memory BYTES] [--config FILE]\n"
	"\n"
	"Makes the tree of one release out of one bundle; `ayni switch` makes it current. Started by `ayni node`; its\n"
	"standard output is JSON lines.\n",
	run,
};
