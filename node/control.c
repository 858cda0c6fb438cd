/* SPDX-License-Identifier: MIT */
/*
 * The control socket. One call at a time per client, as Varlink has it; an update with "more" is answered again and
 * again by a timer until update.c says that it is over. A client that does not read is closed, so that it costs the
 * node no more than AY_CONTROL_OUT_MAX.
 */
#include "node/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/log.h"
#include "node/varlink.h"

#ifndef AYNI_VERSION
#define AYNI_VERSION "unknown"
#endif

#define JUDGE_MS 200

struct client {
	struct ay_control *control;
	struct client *next;
	uv_pipe_t pipe;
	struct ay_varlink_in in;
	bool dead, updating, more, reloading, oneway;
	struct ay_update update;
};

struct ay_control {
	uv_loop_t *loop;
	struct ay_control_ops ops;
	char path[108];
	uv_pipe_t listener;
	uv_timer_t timer;
	struct client *clients;
	unsigned n_clients;
	bool closed;
};

struct write {
	uv_write_t req;
	struct client *client;
	char *text;
};

/* ---- clients ---- */

static void on_client_closed(uv_handle_t *h)
{
	struct client *c = h->data;
	ay_varlink_in_release(&c->in);
	free(c);
}

/* It waits no more. A bundle that nobody else waits for is fetched no more: that would only hold up updates. */
static void stop_waiting(struct client *c, bool came)
{
	struct ay_control *k = c->control;
	bool fetched = c->updating && c->update.fetch;
	c->updating = false;
	for (const struct client *o = k->clients; o; o = o->next)
		fetched &=
			!(o->updating && o->update.fetch && strcmp(o->update.branch, c->update.branch) == 0);
	if (fetched && !came && !k->closed)
		k->ops.fetch(k->ops.ctx, c->update.branch, &(struct ay_digest){0});
}

static void client_close(struct client *c)
{
	struct ay_control *k = c->control;
	if (c->dead)
		return;
	c->dead = true;
	stop_waiting(c, false);
	struct client **p = &k->clients;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	k->n_clients--;
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

static void on_written(uv_write_t *req, int status)
{
	struct write *w = (struct write *)(void *)req;
	if (status < 0 && status != UV_ECANCELED)
		client_close(w->client);
	free(w->text);
	free(w);
}

/* Takes @parameters over. */
static void reply(struct client *c, const char *error, json_t *parameters, bool continues)
{
	if (c->dead || c->oneway) {
		json_decref(parameters);
		return;
	}
	struct write *w = calloc(1, sizeof(*w));
	char *text = ay_reply_write(error, parameters, continues);
	if (!w || !text || uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > AY_CONTROL_OUT_MAX) {
		free(w);
		free(text);
		client_close(c);
		return;
	}
	w->client = c;
	w->text = text;
	uv_buf_t buf = uv_buf_init(text, (unsigned)strlen(text) + 1);
	if (uv_write(&w->req, (uv_stream_t *)&c->pipe, &buf, 1, on_written)) {
		free(w);
		free(text);
		client_close(c);
	}
}

static void reply_failed(struct client *c, int code, const char *message)
{
	reply(c, AY_IFACE_NODE ".Failed",
	      json_pack("{s:i,s:o}", "code", code, "message", ay_json_text(message)), false);
}

/* ---- updates ---- */

static void put_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *update_object(const struct ay_update *u, const struct ay_update_view *v,
			     enum ay_update_state state)
{
	static const struct ay_branch_status none;
	const struct ay_branch_status *b = u->show >= 0 ? &v->core->branches[u->show] : &none;
	uint64_t had = b->blocks_had * (uint64_t)AY_BLOCK_SIZE;
	bool applying = b->branch[0] && strcmp(v->apply_branch, b->branch) == 0;
	json_t *o = json_object();
	json_object_set_new(o, "state", ay_json_text(ay_update_state_name(state)));
	json_object_set_new(o, "message", ay_json_text(u->message));
	json_object_set_new(o, "branch", ay_json_text(b->branch));
	json_object_set_new(o, "phase", ay_json_text(ay_phase_name(b->phase)));
	put_int(o, "have", b->have_serial);
	put_int(o, "target", b->target_serial);
	put_int(o, "bytes_had", had < b->bytes_total ? had : b->bytes_total);
	put_int(o, "bytes_total", b->bytes_total);
	put_int(o, "apply_done", applying ? v->apply_done : 0);
	put_int(o, "apply_total", applying ? v->apply_total : 0);
	put_int(o, "bytes_from_peers", v->core->bytes_from_peers - u->from_peers);
	put_int(o, "bytes_from_school", v->core->bytes_from_school - u->from_school);
	if (u->fetch)
		put_int(o, "bytes_fetched", b->fetched_bytes - (u->show >= 0 ? u->fetched_bytes : 0));
	return o;
}

static void judge(struct client *c, const struct ay_update_view *v)
{
	enum ay_update_state state = ay_update_judge(&c->update, v, uv_now(c->control->loop));
	bool over = state != AY_UPDATE_RUNNING;
	if (over)
		stop_waiting(c, state == AY_UPDATE_DONE);
	if (over || c->more)
		reply(c, NULL, update_object(&c->update, v, state), !over);
}

static void on_timer(uv_timer_t *t)
{
	struct ay_control *k = t->data;
	struct ay_core_status *core = malloc(sizeof(*core));
	struct ay_update_view v;
	bool any = false;
	if (!core)
		return;
	k->ops.view(k->ops.ctx, core, &v);
	for (struct client *c = k->clients, *next; c; c = next) {
		next = c->next;
		if (c->updating)
			judge(c, &v);
		any |= !c->dead && c->updating;
	}
	free(core);
	if (!any)
		uv_timer_stop(t);
}

static const struct ay_branch_status *branch_of(const struct ay_core_status *core, const char *branch)
{
	for (unsigned i = 0; i < core->n_branches; i++) {
		if (strcmp(core->branches[i].branch, branch) == 0)
			return &core->branches[i];
	}
	return NULL;
}

/* One tree of a branch at a time; who wants the same one waits with the first. */
static int start_fetch(struct client *c, const struct ay_call *call, const struct ay_core_status *core,
		       struct ay_err *err)
{
	const struct ay_branch_status *b = branch_of(core, call->branch);
	if (b && b->fetching && !ay_digest_eq(&b->fetch, &call->manifest))
		return ay_err_set(
			err, AY_EBUSY,
			"%s: another repair fetches a bundle to another tree; again when it is over",
			call->branch);
	ay_update_start_fetch(&c->update, b ? b->fetched : 0, b ? b->fetched_bytes : 0);
	c->control->ops.fetch(c->control->ops.ctx, call->branch, &call->manifest);
	return 0;
}

/* An update, or a bundle that is wanted for itself. */
static void do_update(struct client *c, const struct ay_call *call)
{
	struct ay_control *k = c->control;
	struct ay_core_status *core = malloc(sizeof(*core));
	struct ay_update_view v;
	struct ay_err err = {0};
	if (!core) {
		reply_failed(c, -ENOMEM, "out of memory");
		return;
	}
	k->ops.view(k->ops.ctx, core, &v);
	int r = ay_update_start(&c->update, call->branch, core, uv_now(k->loop), &err);
	if (r == 0 && call->method == AY_METHOD_FETCH)
		r = start_fetch(c, call, core, &err);
	else if (r == 0)
		k->ops.update(k->ops.ctx, call->branch, call->force);
	free(core);
	if (r < 0) {
		reply_failed(c, r, err.msg);
		return;
	}
	if (c->oneway)
		return;
	c->updating = true;
	c->more = call->more;
	if (!uv_is_active((uv_handle_t *)&k->timer))
		uv_timer_start(&k->timer, on_timer, JUDGE_MS, JUDGE_MS);
}

void ay_control_failed(struct ay_control *k, const char *branch, int code, const char *message)
{
	for (struct client *c = k->clients; c; c = c->next) {
		if (c->updating)
			ay_update_failed(&c->update, branch, code, message);
	}
}

/* ---- calls ---- */

/* The client may be gone when the store was read: look it up. */
static void on_reloaded(void *arg, int status, const char *message)
{
	struct ay_control *k = arg;
	for (struct client *c = k->clients, *next; c; c = next) {
		next = c->next;
		if (!c->reloading)
			continue;
		c->reloading = false;
		if (status < 0)
			reply_failed(c, status, message);
		else
			reply(c, NULL, NULL, false);
	}
}

static void on_call(struct client *c, const struct ay_call *call)
{
	struct ay_control *k = c->control;
	c->oneway = call->oneway;
	if (call->bad_parameter) {
		reply(c, AY_IFACE_SERVICE ".InvalidParameter",
		      json_pack("{s:s}", "parameter", call->bad_parameter), false);
		return;
	}
	switch (call->method) {
	case AY_METHOD_GET_INFO:
		reply(c, NULL,
		      json_pack("{s:s,s:s,s:s,s:s,s:[s,s]}", "vendor", "Ayni", "product", "ayni", "version",
				AYNI_VERSION, "url", "", "interfaces", AY_IFACE_SERVICE, AY_IFACE_NODE),
		      false);
		return;
	case AY_METHOD_GET_INTERFACE:
		if (ay_interface_text(call->interface))
			reply(c, NULL, json_pack("{s:s}", "description", ay_interface_text(call->interface)),
			      false);
		else
			reply(c, AY_IFACE_SERVICE ".InterfaceNotFound",
			      json_pack("{s:s}", "interface", call->interface), false);
		return;
	case AY_METHOD_STATUS:
		reply(c, NULL, k->ops.status(k->ops.ctx), false);
		return;
	case AY_METHOD_UPDATE:
	case AY_METHOD_FETCH:
		do_update(c, call);
		return;
	case AY_METHOD_RELOAD:
		c->reloading = true;
		k->ops.reload(k->ops.ctx, on_reloaded, k);
		return;
	case AY_METHOD_UNKNOWN:
		break;
	}
	reply(c, AY_IFACE_SERVICE ".MethodNotFound", json_pack("{s:s}", "method", call->name), false);
}

static void on_message(struct client *c, const struct ay_slice *msg)
{
	struct ay_call call;
	/* Calls are answered in order; who calls again while waiting has lost interest in the first. */
	stop_waiting(c, false);
	c->reloading = false;
	if (ay_call_parse((const char *)msg->data, msg->len, &call))
		client_close(c);
	else
		on_call(c, &call);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char chunk[16384]; /* one loop: read and used within one callback */
	(void)h;
	(void)suggested;
	*buf = uv_buf_init(chunk, sizeof(chunk));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = s->data;
	if (n < 0) {
		client_close(c);
		return;
	}
	const uint8_t *data = (const uint8_t *)buf->base;
	for (size_t pos = 0; pos < (size_t)n && !c->dead;) {
		struct ay_slice msg;
		size_t used;
		int r = ay_varlink_next(&c->in, data + pos, (size_t)n - pos, &used, &msg);
		pos += used;
		if (r < 0)
			client_close(c);
		else if (r == 1)
			on_message(c, &msg);
	}
}

static void on_connection(uv_stream_t *s, int status)
{
	struct ay_control *k = s->data;
	struct client *c = status < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return;
	c->control = k;
	c->in.max = AY_VARLINK_CALL_MAX;
	c->pipe.data = c;
	uv_pipe_init(k->loop, &c->pipe, 0);
	c->next = k->clients;
	k->clients = c;
	k->n_clients++;
	if (uv_accept(s, (uv_stream_t *)&c->pipe) || k->n_clients > AY_CONTROL_CLIENTS_MAX ||
	    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
		client_close(c);
}

/* ---- life ---- */

/* Does somebody answer at @path? */
static bool is_alive(const struct sockaddr_un *sa)
{
	AY_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN);
}

/* Its directory, when that is missing; only the last component (/run/ayni). */
static int make_dir(const char *path, struct ay_err *err)
{
	AY_FREE char *copy = strdup(path);
	if (!copy)
		return ay_err_set(err, -ENOMEM, "out of memory");
	const char *dir = dirname(copy);
	if (mkdir(dir, 0755) && errno != EEXIST)
		return ay_err_errno(err, errno,
				    "cannot make the directory %s for the control socket (another with "
				    "--control)",
				    dir);
	return 0;
}

static int bind_socket(const struct sockaddr_un *sa, gid_t group, bool has_group, int *out,
		       struct ay_err *err)
{
	AY_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot make a control socket");
	/* Nobody else may connect, not even between bind and chmod. */
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ? errno : 0;
	umask(old);
	if (r)
		return ay_err_errno(err, r, "cannot make the control socket %s (another with --control)",
				    sa->sun_path);
	if (has_group && (chown(sa->sun_path, (uid_t)-1, group) || chmod(sa->sun_path, 0660)))
		r = ay_err_errno(err, errno, "cannot give the control socket %s to its group", sa->sun_path);
	else if (listen(fd, 16))
		r = ay_err_errno(err, errno, "cannot listen at %s", sa->sun_path);
	if (r < 0) {
		unlink(sa->sun_path);
		return r;
	}
	*out = ay_steal_fd(&fd);
	return 0;
}

static int open_socket(const char *path, const char *group, int *fd, struct ay_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct group *g = NULL;
	if (strlen(path) >= sizeof(sa.sun_path))
		return ay_err_set(err, AY_EUSAGE, "the control socket's path %s is longer than %zu bytes",
				  path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	if (group[0] && !(g = getgrnam(group)))
		return ay_err_set(err, AY_EUSAGE, "control-group: there is no group %s", group);
	int r = make_dir(path, err);
	if (r < 0)
		return r;
	if (is_alive(&sa))
		return ay_err_set(err, AY_EBUSY,
				  "another node answers at %s: stop it, or give this one another --control",
				  path);
	if (unlink(path) && errno != ENOENT)
		return ay_err_errno(err, errno, "cannot replace the control socket %s", path);
	return bind_socket(&sa, g ? g->gr_gid : 0, g != NULL, fd, err);
}

int ay_control_new(uv_loop_t *loop, const char *path, const char *group, const struct ay_control_ops *ops,
		   struct ay_control **out, struct ay_err *err)
{
	int fd = -1, r = open_socket(path, group, &fd, err);
	if (r < 0)
		return r;
	struct ay_control *k = calloc(1, sizeof(*k));
	if (!k) {
		close(fd);
		unlink(path);
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	k->loop = loop;
	k->ops = *ops;
	snprintf(k->path, sizeof(k->path), "%s", path);
	k->listener.data = k->timer.data = k;
	uv_timer_init(loop, &k->timer);
	uv_pipe_init(loop, &k->listener, 0);
	if (uv_pipe_open(&k->listener, fd) || uv_listen((uv_stream_t *)&k->listener, 16, on_connection)) {
		/* Only a fault of our own gets here; the loop ends with the process. */
		ay_log(AY_LOG_ERROR, "cannot watch the control socket");
		unlink(path);
	}
	*out = k;
	return 0;
}

void ay_control_close(struct ay_control *k)
{
	k->closed = true;
	unlink(k->path);
	while (k->clients)
		client_close(k->clients);
	uv_close((uv_handle_t *)&k->listener, NULL);
	uv_close((uv_handle_t *)&k->timer, NULL);
}

void ay_control_free(struct ay_control *k)
{
	free(k);
}
