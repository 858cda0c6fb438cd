/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the owner's hour (node/switcher.h). All that this remembers is in the store, so a node that is
 * killed knows it again.
 */
#include "node/switcher.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/child.h"
#include "node/log.h"
#include "node/turn_run.h"

#define LOOK_MS      60000  /* while a window is waited for: clocks are set and machines sleep */
#define BUSY_MS      2000   /* another process was at it */
#define AGAIN_MIN_MS 600000 /* a hook said no: it may say yes later */
#define AGAIN_MAX_MS 3600000
#define TRIGGER_MS   10000 /* that long whoever waits for the trigger has to tell us that he is done */
#define OUTPUT_MAX   (64 << 10)

struct ay_switcher {
	uv_loop_t *loop;
	const struct ay_config *config;
	struct ay_switcher_ops ops;
	struct ay_switcher_view views[AY_CORE_BRANCHES_MAX];
	size_t n;
	bool closed, running, again, reading; /* reading: the store is read since the child ended */
	bool exited, eof;
	uv_process_t process;
	uv_pipe_t pipe;
	uv_timer_t timer;
	uint64_t not_before_ms, again_ms;
	char *output;
	size_t len;
};

static void start(struct ay_switcher *w);
static void plan(struct ay_switcher *w);

bool ay_switcher_busy(const struct ay_switcher *w)
{
	return w->running || w->again || w->reading;
}

const struct ay_switcher_view *ay_switcher_view(const struct ay_switcher *w, const char *branch)
{
	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->views[i].state.branch, branch) == 0)
			return &w->views[i];
	}
	return NULL;
}

/* ---- what the child said ---- */

static int code_of(const char *name)
{
	static const int codes[] = {AY_EHOOK, AY_EHEALTH, AY_EBUSY};
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(name, ay_error_name(codes[i])) == 0)
			return codes[i];
	}
	return -EIO;
}

static void take_results(struct ay_switcher *w)
{
	size_t i;
	unsigned failures = 0;
	const json_t *o;
	json_t *all = w->output ? json_loadb(w->output, w->len, 0, NULL) : NULL;
	json_array_foreach(all, i, o)
	{
		const char *branch = json_string_value(json_object_get(o, "branch"));
		const char *error = json_string_value(json_object_get(o, "error"));
		const char *message = json_string_value(json_object_get(o, "message"));
		if (!branch || !message)
			continue;
		if (!error) {
			ay_log(AY_LOG_NOTICE, "%s", message);
			continue;
		}
		int code = code_of(error);
		if (code == AY_EBUSY) {
			w->not_before_ms = uv_now(w->loop) + BUSY_MS;
			continue;
		}
		failures++;
		ay_log(AY_LOG_ERROR, "%s", message);
		w->not_before_ms = uv_now(w->loop) + w->again_ms;
		w->again_ms = w->again_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : w->again_ms * 2;
		w->ops.failed(w->ops.ctx, branch, code, message);
	}
	if (failures == 0)
		w->ops.failed(w->ops.ctx, "", 0, "");
	json_decref(all);
}

/* ---- the child ---- */

static void on_end(struct ay_switcher *w)
{
	if (!w->exited || !w->eof)
		return;
	w->running = false;
	if (!w->closed)
		take_results(w);
	free(w->output);
	w->output = NULL;
	w->len = 0;
	if (w->closed)
		return;
	if (w->again) {
		start(w);
		return;
	}
	w->reading = true;
	w->ops.reload(w->ops.ctx);
}

static void on_process_closed(uv_handle_t *h)
{
	struct ay_switcher *w = h->data;
	w->exited = true;
	on_end(w);
}

static void on_pipe_closed(uv_handle_t *h)
{
	struct ay_switcher *w = h->data;
	w->eof = true;
	on_end(w);
}

static void on_exit_process(uv_process_t *p, int64_t status, int term_signal)
{
	struct ay_switcher *w = p->data;
	if (term_signal) {
		ay_log(AY_LOG_ERROR, "`ayni switch` was killed by signal %d", term_signal);
		w->not_before_ms = uv_now(w->loop) + BUSY_MS;
	}
	(void)status; /* each branch's end is in its output */
	uv_close((uv_handle_t *)p, on_process_closed);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct ay_switcher *w = s->data;
	if (n < 0) {
		if (!uv_is_closing((uv_handle_t *)s))
			uv_close((uv_handle_t *)s, on_pipe_closed);
		return;
	}
	char *grown = w->len + (size_t)n <= OUTPUT_MAX ? realloc(w->output, w->len + (size_t)n + 1) : NULL;
	if (!grown)
		return;
	w->output = grown;
	memcpy(w->output + w->len, buf->base, (size_t)n);
	w->len += (size_t)n;
}

static void spawn(struct ay_switcher *w)
{
	const char *words[] = {"ayni",      "switch", "--due",    "--json", "--store", w->config->store,
			       "--control", "",       "--config", NULL,     NULL};
	char *args[sizeof(words) / sizeof(words[0])];
	if (w->config->path[0])
		words[9] = w->config->path;
	else
		words[8] = NULL;
	memcpy(args, words, sizeof(args)); /* execvp() wants char *, and changes nothing */
	uv_stdio_container_t io[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&w->pipe},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	};
	uv_process_options_t options = {.file = "/proc/self/exe",
					.args = args,
					.stdio = io,
					.stdio_count = 3,
					.exit_cb = on_exit_process};
	w->running = true;
	w->exited = w->eof = false;
	w->process.data = w->pipe.data = w;
	uv_pipe_init(w->loop, &w->pipe, 0);
	int r = uv_spawn(w->loop, &w->process, &options);
	if (r < 0) {
		ay_log(AY_LOG_ERROR, "cannot start `ayni switch`: %s", uv_strerror(r));
		w->not_before_ms = uv_now(w->loop) + BUSY_MS;
		uv_close((uv_handle_t *)&w->process, on_process_closed);
		uv_close((uv_handle_t *)&w->pipe, on_pipe_closed);
		return;
	}
	uv_read_start((uv_stream_t *)&w->pipe, ay_child_alloc, on_read);
}

static void on_timer(uv_timer_t *t)
{
	struct ay_switcher *w = t->data;
	if (w->reading) { /* nobody told us that the trigger was heard: look for ourselves */
		w->ops.reload(w->ops.ctx);
		return;
	}
	plan(w);
}

/* Whoever waits for the trigger tells us over the control socket when he is done. */
static void trigger(struct ay_switcher *w)
{
	static const char line[] = "a release is ready\n";
	AY_CLOSE int fd =
		open(w->config->switch_trigger, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, line, sizeof(line) - 1) < 0)
		ay_log(AY_LOG_ERROR, "cannot write %s: %s", w->config->switch_trigger, strerror(errno));
	w->reading = true;
	w->not_before_ms = uv_now(w->loop) + LOOK_MS;
	uv_timer_start(&w->timer, on_timer, TRIGGER_MS, 0);
}

static void start(struct ay_switcher *w)
{
	w->again = false;
	if (w->config->switch_trigger[0])
		trigger(w);
	else
		spawn(w);
}

/* ---- when ---- */

static bool trial_waits(const struct ay_switcher *w, const struct ay_switcher_view *v)
{
	struct ay_policy p;
	ay_config_policy(w->config, v->state.branch, &p);
	return v->turn.unconfirmed && !p.confirm_by_boot;
}

static void plan(struct ay_switcher *w)
{
	uint64_t now = uv_now(w->loop), look = 0;
	bool due = false;
	if (w->closed || w->running)
		return;
	for (size_t i = 0; i < w->n; i++) {
		const struct ay_switcher_view *v = &w->views[i];
		unsigned wait_min = 0;
		enum ay_due when = v->turn.ready
					   ? ay_turn_when(w->config, &v->turn, &v->state, false, &wait_min)
					   : AY_DUE_ASK;
		due |= when == AY_DUE_NOW || trial_waits(w, v);
		/* Also when it is to be at boot only because the clock is wrong now. */
		if (when == AY_DUE_WINDOW || when == AY_DUE_BOOT)
			look = LOOK_MS;
	}
	if (due && now >= w->not_before_ms) {
		start(w);
		return;
	}
	if (due)
		look = w->not_before_ms - now;
	if (look)
		uv_timer_start(&w->timer, on_timer, look, 0);
	else
		uv_timer_stop(&w->timer);
}

void ay_switcher_kick(struct ay_switcher *w)
{
	w->not_before_ms = 0;
	w->again_ms = AGAIN_MIN_MS;
	if (w->closed)
		return;
	if (w->running)
		w->again = true;
	else
		start(w);
}

void ay_switcher_views(struct ay_switcher *w, const struct ay_switcher_view *views, size_t n)
{
	if (views) {
		w->n = n < AY_CORE_BRANCHES_MAX ? n : AY_CORE_BRANCHES_MAX;
		memcpy(w->views, views, w->n * sizeof(views[0]));
	}
	w->reading = false;
	plan(w);
}

/* ---- life ---- */

int ay_switcher_new(uv_loop_t *loop, const struct ay_config *config, const struct ay_switcher_ops *ops,
		    struct ay_switcher **out)
{
	struct ay_switcher *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->config = config;
	w->ops = *ops;
	w->again_ms = AGAIN_MIN_MS;
	w->timer.data = w;
	uv_timer_init(loop, &w->timer);
	*out = w;
	return 0;
}

void ay_switcher_close(struct ay_switcher *w)
{
	w->closed = true;
	uv_close((uv_handle_t *)&w->timer, NULL);
	if (!w->running)
		return;
	if (!uv_is_closing((uv_handle_t *)&w->process))
		uv_close((uv_handle_t *)&w->process, on_process_closed);
	if (!uv_is_closing((uv_handle_t *)&w->pipe))
		uv_close((uv_handle_t *)&w->pipe, on_pipe_closed);
}

void ay_switcher_free(struct ay_switcher *w)
{
	if (w)
		free(w->output);
	free(w);
}
