/* SPDX-License-Identifier: MIT */
/*
 * `ayni delta`: the difference between two directories or two files, made and applied by hand, outside of any store.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "node/cmd.h"
#include "node/config.h"
#include "node/progress.h"
#include "node/size.h"
#include "store/patch.h"

struct delta_args {
	const char *out, *format;
	int json, force, from_nothing, owner_root, fast, no_filters;
	uint64_t memory, apply_memory, max_size;
	uint32_t threads;
	unsigned without;
	bool make;
	char name[NAME_MAX + 1]; /* the result's, in its directory */
};

/* MiB, as for `ayni publish`. */
#define MEMORY_MIN       64
#define APPLY_MEMORY_MIN 4
#define MEMORY_MAX       (1u << 20)

enum { OPT_FORMAT = 256, OPT_MEMORY, OPT_APPLY_MEMORY, OPT_THREADS, OPT_MAX_SIZE, OPT_WITHOUT };

static int delta_each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct delta_args *a = ctx;

	switch (val) {
	case 'o':
		a->out = arg;
		return 0;
	case OPT_FORMAT:
		a->format = arg;
		return 0;
	case 's': /* every command takes it; here there is no store */
		return 0;
	case OPT_MEMORY:
		return ay_size_mib(arg, APPLY_MEMORY_MIN, MEMORY_MAX, "--memory", &a->memory, err);
	case OPT_APPLY_MEMORY:
		return ay_size_mib(arg, APPLY_MEMORY_MIN, MEMORY_MAX, "--apply-memory", &a->apply_memory,
				   err);
	case OPT_MAX_SIZE:
		return ay_size_mib(arg, 1, UINT32_MAX, "--max-size", &a->max_size, err);
	case OPT_WITHOUT:
		return ay_techniques_parse(arg, &a->without, err);
	default:
		return ay_parse_u32(arg, 1, 256, "--threads", &a->threads, err);
	}
}

/* A regular file or a directory; never waits for a fifo. */
static int open_side(const char *path, struct ay_patch_side *side, struct ay_err *err)
{
	struct stat st;

	side->name = path;
	side->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (side->fd < 0 || fstat(side->fd, &st) < 0)
		return ay_err_errno(err, errno, "cannot open %s", path);
	side->is_dir = S_ISDIR(st.st_mode);
	if (!side->is_dir && !S_ISREG(st.st_mode))
		return ay_err_set(err, AY_EUSAGE, "%s is neither a file nor a directory", path);
	return 0;
}

static void side_close(struct ay_patch_side *side)
{
	if (side->fd >= 0)
		close(side->fd);
}

/* The directory that @path lies in, and its name there; what is there already is not written over unasked. */
static int open_target(struct delta_args *a, bool dir, struct ay_patch_to *to, struct ay_err *err)
{
	char parent[PATH_MAX];
	size_t n = strlen(a->out);
	struct stat st;

	while (n > 1 && a->out[n - 1] == '/')
		n--;
	size_t cut = n;
	while (cut > 0 && a->out[cut - 1] != '/')
		cut--;
	if (n - cut == 0 || n - cut > NAME_MAX || cut >= sizeof(parent) ||
	    (n - cut == 1 && a->out[cut] == '.') || (n - cut == 2 && strncmp(a->out + cut, "..", 2) == 0))
		return ay_err_set(err, AY_EUSAGE, "-o %s: that is no name for something new", a->out);
	memcpy(a->name, a->out + cut, n - cut);
	a->name[n - cut] = '\0';
	memcpy(parent, a->out, cut);
	parent[cut] = '\0';
	to->parent = open(cut ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to->parent < 0)
		return ay_err_errno(err, errno, "cannot open the directory of %s", a->out);
	to->name = a->name;
	to->replace = a->force && !dir;
	if (fstatat(to->parent, a->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (dir || !S_ISREG(st.st_mode))
		return ay_err_set(err, -EEXIST, "%s is there already, and only files are replaced", a->out);
	return a->force ? 0 : ay_err_set(err, -EEXIST, "%s is there already (--force replaces it)", a->out);
}

/* A signal ends the work at its next step, so that what grew beside the result is removed; a second one ends us. */
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static void catch_signals(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, was;

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		if (sigaction(sigs[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)
			sigaction(sigs[i], &a, NULL);
	}
}

static int show_progress(void *ctx, uint64_t done, uint64_t total)
{
	ay_progress_show(ctx, done, total);
	return stop ? -EINTR : 0;
}

static int parse_format(const char *text, enum ay_patch_format *format, struct ay_err *err)
{
	static const char *const words[] = {[AY_PATCH_BUNDLE] = "bundle", [AY_PATCH_BSDIFF40] = "bsdiff40"};
	int i = text ? ay_parse_word(text, words, 2, "--format", err) : AY_PATCH_BUNDLE;

	if (i >= 0)
		*format = (enum ay_patch_format)i;
	return i < 0 ? i : 0;
}

/* ---- make ---- */

static int print_made(const struct delta_args *a, const struct ay_patch_made *made, const char *new_path,
		      enum ay_patch_format format, struct ay_err *err)
{
	const struct ay_make_result *res = &made->bundle;
	char size[32], part[32], whole[32], hex[AY_DIGEST_HEX + 1];

	if (a->json) {
		json_t *o =
			json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I}", "delta", a->out, "format",
				  format == AY_PATCH_BSDIFF40 ? "bsdiff40" : "bundle", "bytes",
				  (json_int_t)res->bundle_size, "unpacked", (json_int_t)res->unpacked_size,
				  "new_bytes", (json_int_t)made->bytes, "same", (int)made->same, "records",
				  (json_int_t)res->n_records, "differences", (json_int_t)res->n_diffed,
				  "whole", (json_int_t)res->n_literal);
		if (o && format == AY_PATCH_BUNDLE) {
			json_object_set_new(o, "digest", json_string(ay_digest_hex(&res->bundle, hex)));
			json_object_set_new(o, "apply_memory", json_integer((json_int_t)res->apply_memory));
		}
		return ay_print_json(o, err);
	}
	ay_human_bytes(res->bundle_size, size);
	ay_human_bytes(made->bytes, whole);
	if (made->same)
		printf("%s: %s; nothing differs (%s has %s)\n", a->out, size, new_path, whole);
	else if (format == AY_PATCH_BSDIFF40)
		printf("%s: %s for %s\n", a->out, size, whole);
	else
		printf("%s: %s for %s, of which %s changed: %" PRIu64 " %s as differences, %" PRIu64
		       " whole\n",
		       a->out, size, whole, ay_human_bytes(res->unpacked_size, part), res->n_diffed,
		       res->n_diffed == 1 ? "file" : "files", res->n_literal);
	return 0;
}

/* What the classic format knows nothing of is refused, not left out silently. */
static int check_classic(const struct delta_args *a, struct ay_err *err)
{
	if (a->apply_memory || a->threads || a->fast || a->no_filters || a->without || a->owner_root)
		return ay_usage(
			err, "delta",
			"--apply-memory, --threads, --fast, --no-filters, --without and --owner-root are not "
			"for the bsdiff40 format");
	return 0;
}

static int make(struct delta_args *a, const struct ay_patch_side *old, const char *new_path,
		struct ay_patch_to *to, struct ay_err *err)
{
	AY_CLEANUP(side_close) struct ay_patch_side new_ = {.fd = -1};
	struct ay_patch_made made = {0};
	enum ay_patch_format format;
	int r = parse_format(a->format, &format, err);

	if (r == 0 && format == AY_PATCH_BSDIFF40)
		r = check_classic(a, err);
	if (r == 0)
		r = open_side(new_path, &new_, err);
	if (r == 0 && old->fd >= 0 && old->is_dir != new_.is_dir)
		r = ay_err_set(err, AY_EUSAGE, "%s is a directory and %s is a file",
			       old->is_dir ? old->name : new_.name, old->is_dir ? new_.name : old->name);
	if (r == 0 && old->fd < 0 && !new_.is_dir)
		r = ay_err_set(err, AY_EUSAGE, "--from-nothing is for directories; %s is a file", new_.name);
	if (r == 0 && format == AY_PATCH_BSDIFF40 && new_.is_dir)
		r = ay_err_set(err, AY_EUSAGE, "the bsdiff40 format is for files; %s is a directory",
			       new_.name);
	if (r == 0)
		r = open_target(a, false, to, err);
	if (r < 0)
		return r;
	struct ay_progress progress;
	ay_progress_init(&progress, "making the delta");
	const struct ay_make_options options = {.threads = a->threads,
						.memory = a->memory,
						.apply_memory = a->apply_memory,
						.no_filters = a->no_filters,
						.fast = a->fast,
						.without = a->without,
						.progress = show_progress,
						.progress_ctx = &progress};
	r = ay_patch_make(old, &new_, format, a->owner_root, &options, to, &made, err);
	ay_progress_end(&progress);
	return r < 0 ? r : print_made(a, &made, new_path, format, err);
}

/* ---- apply ---- */

static void tell_losses(const struct delta_args *a, const struct ay_patch_result *res)
{
	struct ay_buf text = {0};

	if (!ay_losses_any(&res->losses))
		return;
	const char *words = ay_losses_text(&res->losses, &text);
	fprintf(stderr, "ayni delta: %s is a plain user's and does not keep: %s\n", a->out,
		words ? words : "(out of memory)");
	ay_buf_release(&text);
}

static int print_applied(const struct delta_args *a, const struct ay_patch_result *res, bool dir,
			 struct ay_err *err)
{
	char size[32], hex[AY_DIGEST_HEX + 1];

	ay_digest_hex(&res->digest, hex);
	if (a->json)
		return ay_print_json(json_pack("{s:s, s:I, s:b, s:s}", "at", a->out, "bytes",
					       (json_int_t)res->bytes, "checked", (int)res->checked,
					       dir ? "manifest" : "digest", hex),
				     err);
	printf("%s: %s", a->out, ay_human_bytes(res->bytes, size));
	if (dir)
		printf(" in %" PRIu64 " entries", res->entries);
	printf(", %s %s%s\n", dir ? "manifest" : "digest", hex,
	       res->checked ? "" : " (the bsdiff40 format has none to compare it with)");
	return 0;
}

static int apply(struct delta_args *a, const struct ay_patch_side *old, const char *delta,
		 struct ay_patch_to *to, struct ay_err *err)
{
	AY_CLEANUP(side_close) struct ay_patch_side file = {.fd = -1};
	enum ay_patch_format format, said;
	struct ay_patch_result res;
	bool dir = old->fd < 0 || old->is_dir;
	int r = parse_format(a->format, &said, err);

	if (r == 0)
		r = open_side(delta, &file, err);
	if (r == 0 && file.is_dir)
		r = ay_err_set(err, AY_EUSAGE, "%s is a directory", delta);
	if (r == 0 && (r = ay_patch_format_of(file.fd, &format, err)) < 0)
		ay_err_wrap(err, r, "%s", delta);
	if (r == 0 && a->format && said != format)
		r = ay_err_set(err, AY_EFORMAT, "%s is not of the format %s", delta, a->format);
	if (r == 0 && format == AY_PATCH_BSDIFF40 && dir)
		r = ay_err_set(err, AY_EUSAGE, "%s is a bsdiff40 patch, which is for a file", delta);
	if (r == 0 && format == AY_PATCH_BSDIFF40 && (a->owner_root || a->memory))
		r = ay_usage(err, "delta", "--memory and --owner-root are not for a bsdiff40 patch");
	if (r == 0)
		r = open_target(a, dir, to, err);
	if (r < 0)
		return r;
	struct ay_progress progress;
	ay_progress_init(&progress, "applying the delta");
	const struct ay_patch_apply how = {.owner_root = a->owner_root,
					   .memory = a->memory ? a->memory : ay_apply_memory_auto(),
					   .max_size = a->max_size,
					   .progress = show_progress,
					   .progress_ctx = &progress};
	r = ay_patch_apply(old, file.fd, format, &how, to, &res, err);
	ay_progress_end(&progress);
	if (r < 0)
		return ay_err_wrap(err, r, "%s", delta);
	tell_losses(a, &res);
	return print_applied(a, &res, dir, err);
}

/* ---- both ---- */

static int parse(struct delta_args *a, int argc, char **argv, int *first, struct ay_err *err)
{
	const struct option longs[] = {{"output", required_argument, NULL, 'o'},
				       {"store", required_argument, NULL, 's'},
				       {"format", required_argument, NULL, OPT_FORMAT},
				       {"from-nothing", no_argument, &a->from_nothing, 1},
				       {"owner-root", no_argument, &a->owner_root, 1},
				       {"memory", required_argument, NULL, OPT_MEMORY},
				       {"apply-memory", required_argument, NULL, OPT_APPLY_MEMORY},
				       {"max-size", required_argument, NULL, OPT_MAX_SIZE},
				       {"threads", required_argument, NULL, OPT_THREADS},
				       {"fast", no_argument, &a->fast, 1},
				       {"no-filters", no_argument, &a->no_filters, 1},
				       {"without", required_argument, NULL, OPT_WITHOUT},
				       {"force", no_argument, &a->force, 1},
				       {"json", no_argument, &a->json, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, delta_each, a, first, err);

	if (r < 0)
		return r;
	a->make = *first < argc && strcmp(argv[*first], "make") == 0;
	if (*first == argc || (!a->make && strcmp(argv[*first], "apply") != 0))
		return ay_usage(err, "delta", "say what to do: make or apply");
	if (argc - *first - 1 != (a->from_nothing ? 1 : 2))
		return ay_usage(err, "delta",
				a->from_nothing ? a->make ? "make --from-nothing needs NEW alone"
							  : "apply --from-nothing needs DELTA alone"
				: a->make       ? "make needs OLD and NEW"
						: "apply needs OLD and DELTA");
	if (!a->out)
		return ay_usage(err, "delta", "say where the result goes: -o NAME");
	if (a->make && a->memory && a->memory < (uint64_t)MEMORY_MIN << 20)
		return ay_usage(err, "delta", "--memory for make must be at least 64M");
	if (a->make && a->max_size)
		return ay_usage(err, "delta", "--max-size is for apply");
	if (!a->make && (a->apply_memory || a->threads || a->fast || a->no_filters || a->without))
		return ay_usage(err, "delta",
				"--apply-memory, --threads, --fast, --no-filters and --without are for make");
	return 0;
}

static int run_delta(int argc, char **argv, struct ay_err *err)
{
	struct delta_args a = {0};
	AY_CLEANUP(side_close) struct ay_patch_side old = {.fd = -1};
	mode_t mask = umask(0);
	int first = 0;

	umask(mask);
	catch_signals();
	struct ay_patch_to to = {.fs = ay_fs_real(), .parent = -1, .mode = 0666 & ~mask};
	int r = parse(&a, argc, argv, &first, err);
	char **operands = argv + first + 1;
	if (r == 0 && !a.from_nothing)
		r = open_side(*operands++, &old, err);
	if (r == 0)
		r = (a.make ? make : apply)(&a, &old, *operands, &to, err);
	if (to.parent >= 0)
		close(to.parent);
	return r;
}

const struct ay_cmd ay_cmd_delta = {
	"delta",
	"make or apply the difference between two directories or files",
	"Usage: ayni delta make OLD NEW -o DELTA [OPTION...]\n"
	"       ayni delta apply OLD DELTA -o NEW [OPTION...]\n"
	"       ayni delta make --from-nothing NEW -o DELTA [OPTION...]\n"
	"       ayni delta apply --from-nothing DELTA -o NEW [OPTION...]\n"
	"\n"
	"OLD and NEW are two directories or two files. The difference is a bundle, as releases have them, but not signed:\n"
	"`ayni show DELTA` tells what is in it. Of files only the content counts; of directories everything: names, contents,\n"
	"modes, owners, times, attributes. NEW appears when it is complete and all of it was found right.\n"
	"\n"
	"  -o, --output NAME    where the result goes\n"
	"      --format FORMAT  bundle, or bsdiff40: for files, as bsdiff(1) writes and bspatch(1) reads it; it cannot tell\n"
	"                       whether OLD is the right file. apply sees by itself which it is\n"
	"      --from-nothing   without OLD: DELTA holds all of the directory NEW\n"
	"      --owner-root     directories: write every owner as 0:0; to be said when it is applied too\n"
	"      --force          replace a file that is there under the result's name (a directory never is)\n"
	"      --fast           make: in less time, larger\n"
	"      --no-filters     make: do not look into what is packed (gzip, xz, zstd); applying then needs no encoder\n"
	"      --without NAME[,NAME...]  make: leave techniques out, to see what each is worth: rename, sketch, several (bases\n"
	"                       by name, by content, more than one), elf, mask, btf (predicted addresses, of these masked\n"
	"                       matching, type numbers), deflate, xz, zstd (looking into these), pack-xz (DELTA's own parts),\n"
	"                       threshold (of matching, a second one where a file costs much)\n"
	"      --memory SIZE    make: memory for it, at most, from 64M; apply: refuse a bundle that needs more, from 4M\n"
	"                       (both: half of the machine)\n"
	"      --apply-memory SIZE  make: memory that applying may need, from 4M (400M)\n"
	"      --threads N      make: so many (one per core)\n"
	"      --max-size SIZE  apply: refuse what gives more, copies of OLD's files counted, from 1M (otherwise only that\n"
	"                       is refused for whose new contents there is no room)\n"
	"  -s, --store DIR      accepted as everywhere; not needed\n"
	"      --json           print JSON\n"
	"\n"
	"SIZE: 512M or 2G (units of 1024); a number without a unit counts MiB. Exit code 0 also when nothing differs (it is\n"
	"said): DELTA is there then, and applies; `ayni diff` has an exit code for that. A signal stops it: 1.\n",
	run_delta,
};
