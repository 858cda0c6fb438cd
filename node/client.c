/* SPDX-License-Identifier: MIT */
/*
 * The other end of the control socket: blocking, because a command has nothing else to do.
 */
#include "node/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/varlink.h"

#define TIMEOUT_MS 10000

struct ay_client {
	int fd;
	char path[108];
	struct ay_varlink_in in;
	uint8_t buf[16384];
	size_t start, end; /* of what was read and not yet used */
};

int ay_client_open(const char *path, struct ay_client **out, struct ay_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa.sun_path))
		return ay_err_set(err, AY_EUSAGE, "the control socket's path %s is too long", path);
	memcpy(sa.sun_path, path, strlen(path));
	AY_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int e = errno;
		if (e == ENOENT || e == ECONNREFUSED)
			return ay_err_set(
				err, -e,
				"no node is running at %s: start it (`systemctl start ayni-node`, or `ayni "
				"node`), or name its socket with --control",
				path);
		return ay_err_errno(err, e, "cannot speak to the node at %s%s", path,
				    e == EACCES ? " (only its owner and control-group may)" : "");
	}
	struct ay_client *c = calloc(1, sizeof(*c));
	if (!c)
		return ay_err_set(err, -ENOMEM, "out of memory");
	c->fd = ay_steal_fd(&fd);
	c->in.max = AY_VARLINK_REPLY_MAX;
	snprintf(c->path, sizeof(c->path), "%s", path);
	*out = c;
	return 0;
}

void ay_client_close(struct ay_client *c)
{
	if (!c)
		return;
	close(c->fd);
	ay_varlink_in_release(&c->in);
	free(c);
}

static int send_all(struct ay_client *c, const char *text, size_t len, struct ay_err *err)
{
	while (len > 0) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "cannot speak to the node at %s", c->path);
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill(struct ay_client *c, int timeout_ms, struct ay_err *err)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int r = poll(&p, 1, timeout_ms ? timeout_ms : TIMEOUT_MS);
	if (r == 0)
		return ay_err_set(err, -ETIMEDOUT, "the node at %s does not answer", c->path);
	ssize_t n = r < 0 ? -1 : recv(c->fd, c->buf, sizeof(c->buf), 0);
	if (n < 0 && errno != EINTR)
		return ay_err_errno(err, errno, "cannot hear the node at %s", c->path);
	if (n == 0)
		return ay_err_set(err, -ECONNRESET, "the node at %s went away", c->path);
	c->start = 0;
	c->end = n > 0 ? (size_t)n : 0;
	return 0;
}

static int next_reply(struct ay_client *c, int timeout_ms, json_t **out, struct ay_err *err)
{
	for (;;) {
		struct ay_slice msg;
		size_t used;
		int r = ay_varlink_next(&c->in, c->buf + c->start, c->end - c->start, &used, &msg);
		c->start += used;
		if (r == 1) {
			*out = json_loadb((const char *)msg.data, msg.len, JSON_REJECT_DUPLICATES, NULL);
			return *out ? 0 : ay_err_set(err, AY_EFORMAT, "the node's answer is no JSON");
		}
		if (r == 0)
			r = fill(c, timeout_ms, err);
		else
			ay_err_set(err, r, "the node's answer is too large");
		if (r < 0)
			return r;
	}
}

/* The node's error becomes ours. */
static int node_error(const json_t *o, struct ay_err *err)
{
	const char *name = json_string_value(json_object_get(o, "error"));
	const json_t *p = json_object_get(o, "parameters");
	const char *message = json_string_value(json_object_get(p, "message"));
	json_int_t code = json_integer_value(json_object_get(p, "code"));
	if (!name)
		return 0;
	if (message && code < 0 && code > -100000)
		return ay_err_set(err, (int)code, "%s", message);
	return ay_err_set(err, AY_EUNSUPPORTED, "the node answers %s (is it another version?)", name);
}

int ay_client_call(struct ay_client *c, const char *method, json_t *parameters,
		   int (*each)(void *ctx, const json_t *parameters, bool last), void *ctx, json_t **reply,
		   int timeout_ms, struct ay_err *err)
{
	AY_FREE char *text = ay_call_write(method, parameters, each != NULL);
	if (!text)
		return ay_err_set(err, -ENOMEM, "out of memory");
	int r = send_all(c, text, strlen(text) + 1, err);
	for (bool last = false; r == 0 && !last;) {
		json_t *o;
		r = next_reply(c, timeout_ms, &o, err);
		if (r < 0)
			break;
		last = !json_is_true(json_object_get(o, "continues"));
		json_t *p = json_object_get(o, "parameters");
		r = node_error(o, err);
		if (r == 0 && !json_is_object(p))
			r = ay_err_set(err, AY_EFORMAT, "the node's answer has no parameters");
		if (r == 0 && each)
			r = each(ctx, p, last);
		else if (r == 0 && reply)
			*reply = json_incref(p);
		json_decref(o);
		if (!each)
			break;
	}
	return r;
}

void ay_client_reload(const char *path)
{
	struct ay_client *c = NULL;
	struct ay_err err = {0};
	int r = ay_client_open(path, &c, &err);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return;
	if (c)
		r = ay_client_call(c, AY_IFACE_NODE ".Reload", NULL, NULL, NULL, NULL, 0, &err);
	if (r < 0)
		fprintf(stderr, "ayni: the running node does not know of it yet: %s\n", err.msg);
	ay_client_close(c);
}
