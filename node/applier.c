/* SPDX-License-Identifier: MIT */
/*
 * The step before is the swarm, which has the whole bundle; the next is store/apply, in the worker. Here is only the
 * pipe between: start it, read its lines, turn its end into an event.
 */
#include "node/applier.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/child.h"
#include "node/log.h"

struct task {
	struct task *next;
	char branch[AY_BRANCH_NAME_MAX + 1];
	uint32_t serial;
	char release[AY_DIGEST_HEX + 1], offer[AY_DIGEST_HEX + 1], bundle[AY_DIGEST_HEX + 1];
};

struct ay_applier {
	uv_loop_t *loop;
	const char *store, *config; /* config: "": the default one */
	uint64_t memory;            /* that applying may take; 0: any number of bytes */
	struct ay_events events;
	void (*failed)(void *ctx, const char *branch, int code, const char *message);
	void *ctx;
	struct task *first, *last; /* the first one is running when `running` */
	bool running, closed;
	bool exited, eof; /* of the worker; both must have come */
	int64_t exit_status;
	int term_signal;
	uv_process_t process;
	uv_pipe_t pipe;
	uv_async_t start; /* a spawn that fails must not answer inside the order */
	char line[AY_APPLIER_LINE_MAX];
	size_t line_len;
	bool line_too_long, have_result;
	struct ay_applier_line result;
	struct ay_applier_progress progress;
};

/* ---- the worker's lines ---- */

static bool get_u64(json_t *v, uint64_t *out)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static bool parse_object(json_t *o, struct ay_applier_line *out)
{
	json_t *v = json_object_get(o, "progress");
	if (v) {
		out->kind = AY_APPLIER_PROGRESS;
		return get_u64(json_array_get(v, 0), &out->done_bytes) &&
		       get_u64(json_array_get(v, 1), &out->total_bytes);
	}
	v = json_object_get(o, "done");
	if (v) {
		const char *hex = json_string_value(json_object_get(v, "manifest"));
		uint64_t serial;
		out->kind = AY_APPLIER_DONE;
		if (!get_u64(json_object_get(v, "serial"), &serial) || serial < 1 || serial > UINT32_MAX ||
		    !hex)
			return false;
		out->serial = (uint32_t)serial;
		return ay_digest_parse(&out->manifest, hex, strlen(hex)) == 0 &&
		       !ay_digest_is_zero(&out->manifest);
	}
	v = json_object_get(o, "error");
	const char *message = json_string_value(json_object_get(v, "message"));
	json_t *code = json_object_get(v, "code");
	if (!message || !json_is_integer(code) || json_integer_value(code) >= 0 ||
	    json_integer_value(code) < -100000)
		return false;
	out->kind = AY_APPLIER_ERROR;
	out->code = (int)json_integer_value(code);
	snprintf(out->message, sizeof(out->message), "%s", message);
	return true;
}

int ay_applier_parse(const char *line, size_t len, struct ay_applier_line *out)
{
	memset(out, 0, sizeof(*out));
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	bool good = json_is_object(o) && parse_object(o, out);
	json_decref(o);
	return good ? 0 : AY_EFORMAT;
}

static void on_line(struct ay_applier *a)
{
	struct ay_applier_line l;
	if (a->line_too_long || ay_applier_parse(a->line, a->line_len, &l)) {
		ay_log(AY_LOG_WARNING, "the apply worker wrote a line that is none of its own");
	} else if (l.kind == AY_APPLIER_PROGRESS) {
		a->progress.done_bytes = l.done_bytes;
		a->progress.total_bytes = l.total_bytes;
	} else {
		a->result = l;
		a->have_result = true;
	}
	a->line_len = 0;
	a->line_too_long = false;
}

/* ---- its life ---- */

static void start_next(struct ay_applier *a);

static void finish(struct ay_applier *a, int status, const char *message)
{
	struct task *t = a->first;
	struct ay_event ev = {.type = AY_EV_APPLIED,
			      .status = status,
			      .applied = {.branch = t->branch, .serial = t->serial}};
	if (status == 0)
		ev.applied.manifest = a->result.manifest;
	a->running = false;
	a->first = t->next;
	if (!a->first)
		a->last = NULL;
	memset(&a->progress, 0, sizeof(a->progress));
	if (!a->closed) {
		if (status < 0 && a->failed)
			a->failed(a->ctx, t->branch, status, message);
		ay_events_post(&a->events, &ev);
	}
	free(t);
	start_next(a);
}

static void on_end(struct ay_applier *a)
{
	char text[128];
	if (!a->exited || !a->eof)
		return;
	if (a->have_result && a->result.kind == AY_APPLIER_DONE && a->exit_status == 0 &&
	    a->term_signal == 0) {
		finish(a, 0, "");
	} else if (a->have_result && a->result.kind == AY_APPLIER_ERROR) {
		finish(a, a->result.code, a->result.message);
	} else {
		if (a->term_signal)
			snprintf(text, sizeof(text), "the apply worker was killed by signal %d%s",
				 a->term_signal, a->term_signal == SIGKILL ? " (out of memory?)" : "");
		else
			snprintf(text, sizeof(text),
				 "the apply worker ended with exit code %d without a result",
				 (int)a->exit_status);
		finish(a, -EIO, text);
	}
}

static void on_process_closed(uv_handle_t *h)
{
	struct ay_applier *a = h->data;
	a->exited = true;
	on_end(a);
}

static void on_pipe_closed(uv_handle_t *h)
{
	struct ay_applier *a = h->data;
	a->eof = true;
	on_end(a);
}

static void on_exit_process(uv_process_t *p, int64_t status, int term_signal)
{
	struct ay_applier *a = p->data;
	a->exit_status = status;
	a->term_signal = term_signal;
	uv_close((uv_handle_t *)p, on_process_closed);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct ay_applier *a = s->data;
	if (n < 0) {
		if (!uv_is_closing((uv_handle_t *)s))
			uv_close((uv_handle_t *)s, on_pipe_closed);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf->base[i] == '\n')
			on_line(a);
		else if (a->line_len < sizeof(a->line))
			a->line[a->line_len++] = buf->base[i];
		else
			a->line_too_long = true;
	}
}

static int spawn(struct ay_applier *a, const struct task *t)
{
	char serial[16], parent[16], memory[24];
	snprintf(serial, sizeof(serial), "%" PRIu32, t->serial);
	snprintf(parent, sizeof(parent), "%ld", (long)getpid());
	snprintf(memory, sizeof(memory), "%" PRIu64, a->memory);
	const char *words[] = {"ayni",     "apply-worker", "--store",   a->store,   "--branch", t->branch,
			       "--serial", serial,         "--release", t->release, "--offer",  t->offer,
			       "--bundle", t->bundle,      "--parent",  parent,     "--memory", memory,
			       "--config", a->config,      NULL};
	const size_t n = sizeof(words) / sizeof(words[0]) - 3; /* without the last option and the end */
	if (!a->config[0])
		words[n] = NULL;
	char *args[sizeof(words) / sizeof(words[0])];
	memcpy(args, words, sizeof(args)); /* execvp() wants char *, and changes nothing */
	uv_stdio_container_t io[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&a->pipe},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	};
	uv_process_options_t options = {.file = "/proc/self/exe",
					.args = args,
					.stdio = io,
					.stdio_count = 3,
					.exit_cb = on_exit_process};
	a->exited = a->eof = a->have_result = a->line_too_long = false;
	a->line_len = 0;
	a->process.data = a->pipe.data = a;
	uv_pipe_init(a->loop, &a->pipe, 0);
	int r = uv_spawn(a->loop, &a->process, &options);
	if (r < 0) {
		a->exit_status = 0;
		a->term_signal = 0;
		uv_close((uv_handle_t *)&a->process, on_process_closed);
		uv_close((uv_handle_t *)&a->pipe, on_pipe_closed);
		a->have_result = true;
		a->result = (struct ay_applier_line){.kind = AY_APPLIER_ERROR, .code = r};
		snprintf(a->result.message, sizeof(a->result.message), "cannot start the apply worker: %s",
			 uv_strerror(r));
		return r;
	}
	return uv_read_start((uv_stream_t *)&a->pipe, ay_child_alloc, on_read);
}

static void start_next(struct ay_applier *a)
{
	if (a->running || a->closed || !a->first)
		return;
	a->running = true;
	snprintf(a->progress.branch, sizeof(a->progress.branch), "%s", a->first->branch);
	spawn(a, a->first);
}

static void on_start(uv_async_t *h)
{
	start_next(h->data);
}

void ay_applier_order(struct ay_applier *a, const struct ay_order *order)
{
	struct task *t = calloc(1, sizeof(*t));
	AY_ASSERT(t); /* an order that cannot be answered would stall the core for good */
	snprintf(t->branch, sizeof(t->branch), "%s", order->apply.branch);
	t->serial = order->apply.serial;
	ay_digest_hex(&order->apply.release, t->release);
	ay_digest_hex(&order->apply.offer, t->offer);
	ay_digest_hex(&order->apply.bundle, t->bundle);
	if (a->last)
		a->last->next = t;
	else
		a->first = t;
	a->last = t;
	uv_async_send(&a->start);
}

void ay_applier_config(struct ay_applier *a, const char *path, uint64_t memory)
{
	a->memory = memory;
	a->config = path;
}

void ay_applier_progress(const struct ay_applier *a, struct ay_applier_progress *out)
{
	*out = a->progress;
}

int ay_applier_new(uv_loop_t *loop, const char *store_path, const struct ay_events *events,
		   void (*failed)(void *ctx, const char *branch, int code, const char *message), void *ctx,
		   struct ay_applier **out)
{
	struct ay_applier *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->loop = loop;
	a->store = store_path;
	a->config = "";
	a->events = *events;
	a->failed = failed;
	a->ctx = ctx;
	int r = uv_async_init(loop, &a->start, on_start);
	if (r < 0) {
		free(a);
		return r;
	}
	a->start.data = a;
	*out = a;
	return 0;
}

void ay_applier_close(struct ay_applier *a)
{
	a->closed = true;
	uv_close((uv_handle_t *)&a->start, NULL);
	if (a->running &&
	    uv_is_active((const uv_handle_t *)&a->process)) /* reaped: the pid is nobody's, or another's */
		uv_process_kill(&a->process, SIGKILL);
}

void ay_applier_free(struct ay_applier *a)
{
	if (!a)
		return;
	while (a->first) {
		struct task *t = a->first;
		a->first = t->next;
		free(t);
	}
	free(a);
}
