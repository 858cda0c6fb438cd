/* SPDX-License-Identifier: MIT */
/*
 * `ayni show`: any file of Ayni's, in words or as JSON. One table says how each kind is
 * recognised, how large it may be, and which function prints it (node/show.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/show.h"

#define MARKER_MAX 64

/* The one line that says which version of store or repository a directory is. */
static int show_marker(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	bool store = strncmp(data, "ayni-store", 10) == 0;
	if (strcmp(data, "ayni-store 1\n") != 0 && strcmp(data, "ayni-store 1\nowner=me\n") != 0 &&
	    strcmp(data, "ayni-repo 1\n") != 0)
		return ay_err_set(err, AY_EVERSION, "the mark of a %s of another version",
				  store ? "store" : "repository");
	if (s->json)
		return ay_print_json(json_pack("{s:s, s:i, s:b}", "type", store ? "store" : "repository",
					       "version", 1, "owner_me", strstr(data, "owner=me") != NULL),
				     err);
	fwrite(data, 1, len, stdout);
	return 0;
}

enum { TAKES_ROOT = 1, TAKES_SPLIT = 2, TAKES_MTREE = 4, TAKES_STATS = 8 };

static const struct kind {
	const char *name;
	const char *magic;
	size_t magic_len;
	size_t max; /* bytes */
	int takes;
	ay_show_fn show; /* NULL: a bundle, which is read from its file */
} kinds[] = {
	{"a manifest", "ayni-manifest ", 14, AY_MANIFEST_SIZE_MAX, TAKES_MTREE, ay_show_manifest},
	{"a manifest delta", "ayni-manifest-delta ", 20, AY_MANIFEST_SIZE_MAX, 0, ay_show_delta},
	{"a signed text", "ayni-envelope ", 14, AY_ENVELOPE_MAX, TAKES_ROOT | TAKES_SPLIT, ay_show_envelope},
	{"a head", "AyniHd", 6, AY_HEAD_SIZE, TAKES_ROOT, ay_show_head},
	{"a bundle", "AyniBn", 6, 0, TAKES_STATS, NULL},
	{"a key", "untrusted comment: ", 19, 4096, 0, ay_show_key},
	{"a store's mark", "ayni-store ", 11, MARKER_MAX, 0, show_marker},
	{"a repository's mark", "ayni-repo ", 10, MARKER_MAX, 0, show_marker},
	{"a datagram", "Ay\x01", 3, AY_DATAGRAM_MAX, TAKES_ROOT, ay_show_datagram},
};

static const struct kind *find_kind(const char *start, size_t len)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (len >= kinds[i].magic_len && memcmp(start, kinds[i].magic, kinds[i].magic_len) == 0)
			return &kinds[i];
	}
	return NULL;
}

static int check_options(const struct ay_show *s, const struct kind *k, struct ay_err *err)
{
	const char *wrong = s->split && !(k->takes & TAKES_SPLIT)      ? "--split is for signed texts"
			    : s->mtree && !(k->takes & TAKES_MTREE)    ? "--mtree is for manifests"
			    : s->root_path && !(k->takes & TAKES_ROOT) ? "--root is for what is signed"
			    : (s->stats || s->from_path) && !(k->takes & TAKES_STATS)
				    ? "--stats and --from are for bundles"
				    : NULL;
	return wrong ? ay_err_set(err, AY_EUSAGE, "this is %s; %s", k->name, wrong) : 0;
}

/* A file that is named by its digest, as in repositories and stores, must be what its name says. */
static int check_name(const struct ay_show *s, const struct ay_digest *got, struct ay_err *err)
{
	const char *slash = strrchr(s->path, '/'), *name = slash ? slash + 1 : s->path;
	struct ay_digest named;
	if (ay_digest_parse(&named, name, strlen(name)) < 0 || ay_digest_eq(&named, got))
		return 0;
	return ay_err_set(err, AY_EDIGEST,
			  "damaged or not complete: its name is a digest, and its bytes have another one");
}

static int show_file(const struct ay_show *s, int fd, const struct kind *k, struct ay_err *err)
{
	struct ay_digest d;
	if (!k->show) {
		int r = ay_show_bundle(s, fd, err);
		if (r == 0 && (r = ay_digest_fd(fd, &d, NULL)) < 0)
			return ay_err_errno(err, -r, "cannot read it");
		return r == 0 ? check_name(s, &d, err) : r;
	}
	AY_FREE char *data = NULL;
	size_t len = 0;
	int r = ay_read_input(s->path, k->max, &data, &len, err);
	if (r < 0)
		return r;
	ay_digest_mem(data, len, &d);
	r = k->show(s, data, len, err);
	return r == 0 ? check_name(s, &d, err) : r;
}

static int show(const struct ay_show *s, struct ay_err *err)
{
	char start[32] = "";
	AY_CLOSE int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", s->path);
	ssize_t n = pread(fd, start, sizeof(start), 0);
	if (n < 0)
		return ay_err_errno(err, errno, "cannot read %s", s->path);
	if (n == 0)
		return ay_err_set(err, AY_EFORMAT, "%s is empty", s->path);
	const struct kind *k = find_kind(start, (size_t)n);
	if (!k)
		return ay_err_set(err, AY_EFORMAT,
				  "%s: not a file of Ayni's: its first bytes are of no kind that is known",
				  s->path);
	int r = check_options(s, k, err);
	if (r == 0)
		r = show_file(s, fd, k, err);
	return r < 0 ? ay_err_wrap(err, r, "%s", s->path) : 0;
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct ay_show *s = ctx;
	*(val == 'S' ? &s->split : val == 'F' ? &s->from_path : &s->root_path) = arg;
	return 0;
}

static int load_root(struct ay_show *s, struct ay_err *err)
{
	int r = ay_read_input(s->root_path, AY_ENVELOPE_MAX, &s->root_data, &s->root_len, err);
	if (r == 0)
		r = ay_trust_first_root(s->root_data, s->root_len, &s->root, err);
	return r < 0 ? ay_err_wrap(err, r, "--root %s", s->root_path) : 0;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct ay_show s = {0};
	int first = 0;
	const struct option longs[] = {{"split", required_argument, NULL, 'S'},
				       {"root", required_argument, NULL, 'R'},
				       {"mtree", no_argument, &s.mtree, 1},
				       {"from", required_argument, NULL, 'F'},
				       {"stats", no_argument, &s.stats, 1},
				       {"json", no_argument, &s.json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &s, &first, err);
	if (r < 0)
		return r;
	if (argc - first != 1)
		return ay_usage(err, "show", "show needs one file");
	if (s.mtree && s.json)
		return ay_usage(err, "show", "--mtree and --json exclude each other");
	s.path = argv[first];
	if (s.root_path)
		r = load_root(&s, err);
	if (r == 0)
		r = show(&s, err);
	ay_root_free(s.root);
	free(s.root_data);
	return r;
}

const struct ay_cmd ay_cmd_show = {
	"show",
	"print any file of Ayni's in words",
	"Usage: ayni show [--root FILE] [--split NAME] [--mtree] [--stats] [--from TREE] [--json] FILE\n"
	"\n"
	"Recognises manifests, manifest deltas, roots, releases, offers, heads, bundles, public keys, and datagrams that\n"
	"were saved from the network. A file that is named by its digest must be what its name says.\n"
	"\n"
	"  -R, --root FILE     check signatures against this root; exit code 4 when they are refused\n"
	"  -S, --split NAME    write a signed text to NAME and its signatures to NAME.minisig, NAME.minisig.1, ...:\n"
	"                      `minisign -Vm NAME -p PUBLIC` verifies them\n"
	"      --mtree         print a manifest as mtree(5)\n"
	"      --stats         of a bundle: sums by way, by the files' ending, by column, instead of the table of files\n"
	"  -F, --from TREE     of a bundle: the directory that it starts from, or its manifest, to name bases by path\n"
	"      --json          print JSON; of manifests and deltas only a summary\n"
	"\n"
	"A bundle's table has a line per file, what costs most first: the bytes of the bundle that fall to it, its size, how\n"
	"much that saves, how it is made, path and base. Many files are packed together, so a file's bytes are its share of each\n"
	"packed column, by its unpacked bytes there; with the manifest delta, heads and checks they add up to the bundle.\n",
	run,
};
