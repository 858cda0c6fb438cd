/* SPDX-License-Identifier: MIT */
/*
 * A branch's history (store/journal.h).
 */
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/state_internal.h"

#define DIR_NAME "journal" /* in state/ */
#define MAGIC    "ayni-journal 1\n"
#define FILE_MAX (64 << 10)

static const char *const names[AY_JOURNAL_EVENTS] = {"installed", "switched", "refused",
						     "good",      "failed",   "rolled-back",
						     "pinned",    "unpinned", "collected"};

const char *ay_journal_event_name(enum ay_journal_event e)
{
	return names[e];
}

/* The word up to the next space (or the end), which *@p moves behind. */
static const char *word(const char **p, const char *end, size_t *len)
{
	const char *w = *p, *space = memchr(w, ' ', (size_t)(end - w));

	*len = (size_t)((space ? space : end) - w);
	*p = space ? space + 1 : end;
	return w;
}

static bool get_time(const char *w, size_t len, int64_t *out)
{
	bool minus = len > 0 && w[0] == '-';
	int64_t v = 0;

	w += minus;
	len -= minus;
	if (len < 1 || len > 18 || (w[0] == '0' && (len > 1 || minus)))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (w[i] < '0' || w[i] > '9')
			return false;
		v = v * 10 + (w[i] - '0');
	}
	*out = minus ? -v : v;
	return true;
}

bool ay__journal_parse_line(const char *line, size_t line_len, struct ay_journal_entry *out)
{
	const char *p = line, *end = line + line_len, *w;
	size_t len;
	int event = 0;

	*out = (struct ay_journal_entry){0};
	w = word(&p, end, &len);
	if (!get_time(w, len, &out->time_s))
		return false;
	w = word(&p, end, &len);
	while (event < AY_JOURNAL_EVENTS &&
	       (strlen(names[event]) != len || memcmp(names[event], w, len) != 0))
		event++;
	if (event == AY_JOURNAL_EVENTS)
		return false;
	out->event = (enum ay_journal_event)event;
	w = word(&p, end, &len);
	if (!ay__u32_get(w, len, &out->serial))
		return false;
	w = word(&p, end, &len);
	if (!ay__u32_get(w, len, &out->from) || p == w + len) /* a space stands behind it in any case */
		return false;
	len = (size_t)(end - p);
	if (len > AY_JOURNAL_WHY_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return false;
	}
	memcpy(out->why, p, len);
	return true;
}

void ay__journal_write_line(const struct ay_journal_entry *e, struct ay_buf *out)
{
	ay_put_fmt(out, "%" PRId64 " %s %" PRIu32 " %" PRIu32 " %s\n", e->time_s, names[e->event], e->serial,
		   e->from, e->why);
}

static int file_name(const char *branch, char name[NAME_MAX + 1])
{
	struct ay_buf b;

	if (ay_branch_check(branch, strlen(branch)) < 0)
		return AY_EUSAGE;
	ay_buf_init(&b, NAME_MAX + 1);
	int r = ay_percent_name(&b, branch);
	if (r == 0)
		snprintf(name, NAME_MAX + 1, "%s", ay_buf_cstr(&b));
	ay_buf_release(&b);
	return r;
}

/* The good lines of the file, the newest AY_JOURNAL_MAX. */
static int read_entries(struct ay_store *s, const char *name, struct ay_journal_entry *out, size_t *n,
			struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	char path[sizeof(DIR_NAME) + NAME_MAX + 1];
	size_t len = 0;

	*n = 0;
	snprintf(path, sizeof(path), DIR_NAME "/%s", name);
	struct ay_err why = {0};
	int r = ay__read_file(s->state, path, FILE_MAX, &data, &len, &why);
	if (r == -ENOENT || r == AY_ELIMIT)
		return 0;
	if (r < 0)
		return ay_err_set(err, r, "%s", why.msg);
	const char *p = (const char *)data, *end = p + len;
	if (len < sizeof(MAGIC) - 1 || memcmp(p, MAGIC, sizeof(MAGIC) - 1) != 0)
		return 0;
	for (p += sizeof(MAGIC) - 1; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline)
			break;
		if (*n == AY_JOURNAL_MAX)
			memmove(out, out + 1, --*n * sizeof(*out));
		if (ay__journal_parse_line(p, (size_t)(newline - p), &out[*n]))
			++*n;
		p = newline + 1;
	}
	return 0;
}

int ay_journal_read(struct ay_store *s, const char *branch, struct ay_journal_entry **out, size_t *n,
		    struct ay_err *err)
{
	AY_FREE struct ay_journal_entry *all = calloc(AY_JOURNAL_MAX, sizeof(*all));
	char name[NAME_MAX + 1];
	int r = all ? file_name(branch, name) : -ENOMEM;

	*out = NULL;
	*n = 0;
	if (r == 0)
		r = read_entries(s, name, all, n, err);
	if (r < 0)
		return ay_err_wrap(err, r, "%s/state/" DIR_NAME, s->path);
	*out = ay_steal_ptr(&all);
	return 0;
}

static int write_entries(struct ay_store *s, int dir, const char *name, const struct ay_journal_entry *all,
			 size_t n, struct ay_err *err)
{
	struct ay_buf text = {0};

	ay_put_str(&text, MAGIC);
	for (size_t i = 0; i < n; i++)
		ay__journal_write_line(&all[i], &text);
	int r = ay_buf_status(&text);
	if (r == 0)
		r = ay__store_replace_file(s->fs, dir, name, text.data, text.len, err);
	ay_buf_release(&text);
	return r;
}

static void set_why(struct ay_journal_entry *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why ? why : "");
	for (char *p = e->why; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

int ay_journal_add(struct ay_store *s, const char *branch, enum ay_journal_event event, uint32_t serial,
		   uint32_t from, const char *why, struct ay_err *err)
{
	AY_FREE struct ay_journal_entry *all = calloc(AY_JOURNAL_MAX + 1, sizeof(*all));
	char name[NAME_MAX + 1];
	bool made = false;
	size_t n = 0;
	int r = all ? ay__store_writable(s, err) : -ENOMEM;

	if (r == 0)
		r = file_name(branch, name);
	if (r < 0)
		return ay_err_wrap(err, r, "journal of %s", branch);
	AY_CLOSE int dir = ay__make_dir(s->fs, s->state, DIR_NAME, 0755, &made);
	if (dir < 0)
		return ay_err_errno(err, -dir, "cannot make %s/state/" DIR_NAME, s->path);
	if (made)
		r = s->fs->ops->fsync(s->fs, s->state);
	/* Two at once would each write the other's entry away. */
	AY_CLOSE int lock = s->fs->ops->open(s->fs, dir, ".lock", O_RDWR | O_CREAT, 0600);
	if (r == 0)
		r = lock < 0 ? lock : ay__lock(lock, LOCK_EX);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot lock %s/state/" DIR_NAME, s->path);
	ay__sweep_tmp(s->fs, dir);
	if ((r = read_entries(s, name, all, &n, err)) < 0)
		return r;
	if (n == AY_JOURNAL_MAX)
		memmove(all, all + 1, --n * sizeof(*all));
	all[n] = (struct ay_journal_entry){
		.time_s = time(NULL), .event = event, .serial = serial, .from = from};
	set_why(&all[n++], why);
	r = write_entries(s, dir, name, all, n, err);
	return r < 0 ? ay_err_wrap(err, r, "%s/state/" DIR_NAME, s->path) : 0;
}
