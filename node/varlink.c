/* SPDX-License-Identifier: MIT */
/*
 * The control socket's messages, without a socket: cut, parsed and written here, so that hostile ones can be tried
 * against pure functions.
 */
#include "node/varlink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

void ay_varlink_in_release(struct ay_varlink_in *in)
{
	ay_buf_release(&in->buf);
}

int ay_varlink_next(struct ay_varlink_in *in, const uint8_t *data, size_t len, size_t *used,
		    struct ay_slice *msg)
{
	const uint8_t *zero = len ? memchr(data, 0, len) : NULL;
	size_t n = zero ? (size_t)(zero - data) : len;
	*used = 0;
	if (in->handed_out) {
		/* A large message must not stay a large buffer. */
		ay_buf_release(&in->buf);
		in->handed_out = false;
	}
	if (n > in->max - in->buf.len)
		return AY_ELIMIT;
	ay_put_bytes(&in->buf, data, n);
	*used = zero ? n + 1 : n;
	if (!zero)
		return ay_buf_status(&in->buf);
	if (!ay_buf_cstr(&in->buf))
		return ay_buf_status(&in->buf);
	*msg = (struct ay_slice){in->buf.data, in->buf.len};
	in->handed_out = true;
	return 1;
}

/* ---- calls ---- */

static const struct {
	const char *name;
	enum ay_method method;
} methods[] = {
	{AY_IFACE_SERVICE ".GetInfo", AY_METHOD_GET_INFO},
	{AY_IFACE_SERVICE ".GetInterfaceDescription", AY_METHOD_GET_INTERFACE},
	{AY_IFACE_NODE ".Status", AY_METHOD_STATUS},
	{AY_IFACE_NODE ".Update", AY_METHOD_UPDATE},
	{AY_IFACE_NODE ".Reload", AY_METHOD_RELOAD},
	{AY_IFACE_NODE ".Fetch", AY_METHOD_FETCH},
};

/* false: it is there and no boolean. */
static bool get_flag(const json_t *o, const char *key, bool *out)
{
	const json_t *v = json_object_get(o, key);
	*out = json_is_true(v);
	return !v || json_is_boolean(v) || json_is_null(v);
}

static void parse_update(const json_t *p, struct ay_call *out)
{
	const json_t *branch = json_object_get(p, "branch");
	const char *name = json_string_value(branch);
	if (!get_flag(p, "force", &out->force))
		out->bad_parameter = "force";
	if (!branch || json_is_null(branch) || (name && !*name))
		return;
	if (!name || json_string_length(branch) != strlen(name) || ay_branch_check(name, strlen(name)))
		out->bad_parameter = "branch";
	else
		snprintf(out->branch, sizeof(out->branch), "%s", name);
}

static void parse_fetch(const json_t *p, struct ay_call *out)
{
	const char *hex = json_string_value(json_object_get(p, "manifest"));

	parse_update(p, out);
	if (!out->bad_parameter && !out->branch[0])
		out->bad_parameter = "branch";
	if (!out->bad_parameter && (!hex || ay_digest_parse(&out->manifest, hex, strlen(hex)) < 0 ||
				    ay_digest_is_zero(&out->manifest)))
		out->bad_parameter = "manifest";
}

int ay_call_parse(const char *text, size_t len, struct ay_call *out)
{
	memset(out, 0, sizeof(*out));
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(o, "method"));
	const json_t *p = json_object_get(o, "parameters");
	if (!name || !get_flag(o, "more", &out->more) || !get_flag(o, "oneway", &out->oneway) ||
	    (p && !json_is_object(p) && !json_is_null(p))) {
		json_decref(o);
		return AY_EFORMAT;
	}
	snprintf(out->name, sizeof(out->name), "%s", name);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].name, name) == 0)
			out->method = methods[i].method;
	}
	if (out->method == AY_METHOD_UPDATE)
		parse_update(p, out);
	if (out->method == AY_METHOD_FETCH)
		parse_fetch(p, out);
	if (out->method == AY_METHOD_GET_INTERFACE) {
		const char *iface = json_string_value(json_object_get(p, "interface"));
		if (iface)
			snprintf(out->interface, sizeof(out->interface), "%s", iface);
		else
			out->bad_parameter = "interface";
	}
	json_decref(o);
	return 0;
}

static char *write_object(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

char *ay_call_write(const char *method, json_t *parameters, bool more)
{
	json_t *o = json_pack("{s:s}", "method", method);
	if (parameters)
		json_object_set_new(o, "parameters", parameters);
	if (more)
		json_object_set_new(o, "more", json_true());
	return write_object(o);
}

char *ay_reply_write(const char *error, json_t *parameters, bool continues)
{
	json_t *o = json_object();
	if (error)
		json_object_set_new(o, "error", json_string(error));
	json_object_set_new(o, "parameters", parameters ? parameters : json_object());
	if (continues)
		json_object_set_new(o, "continues", json_true());
	return write_object(o);
}

json_t *ay_json_text(const char *s)
{
	json_t *v = json_string(s);
	if (v)
		return v;
	size_t len = strlen(s);
	char *copy = malloc(len + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0; i <= len; i++)
		copy[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
	v = json_string(copy);
	free(copy);
	return v;
}

/* ---- descriptions ---- */

static const char node_text[] =
	"# A node of Ayni: what it has, what it does, and the owner's wishes.\n"
	"interface " AY_IFACE_NODE "\n"
	"\n"
	"type Branch (\n"
	"  branch: string,\n"
	"  have: int,\n"
	"  head: int,\n"
	"  target: int,\n"
	"  phase: (idle, learning, searching, collecting, applying, held),\n"
	"  blocks_had: int,\n"
	"  blocks_total: int,\n"
	"  bytes_had: int,\n"
	"  bytes_total: int,\n"
	"  apply_done: int,\n"
	"  apply_total: int,\n"
	"  problem: string,\n"
	"  # of a branch in the store:\n"
	"  ready: ?int,\n"
	"  when: ?string,\n"
	"  unconfirmed: ?int,\n"
	"  tries: ?int,\n"
	"  bad: ?int,\n"
	"  pinned: ?[]int,\n"
	"  stays: ?bool\n"
	")\n"
	"\n"
	"type Peer (\n"
	"  address: string,\n"
	"  school: bool,\n"
	"  incoming: bool,\n"
	"  up: bool,\n"
	"  bytes_from: int,\n"
	"  bytes_to: int,\n"
	"  score: int\n"
	")\n"
	"\n"
	"# Everything `ayni status` shows.\n"
	"method Status() -> (\n"
	"  version: string,\n"
	"  role: (laptop, school),\n"
	"  pid: int,\n"
	"  uptime_s: int,\n"
	"  store: string,\n"
	"  store_device: int,\n"
	"  store_inode: int,\n"
	"  repo: string,\n"
	"  port: int,\n"
	"  interfaces: string,\n"
	"  neighbours: int,\n"
	"  connections: int,\n"
	"  bytes_from_peers: int,\n"
	"  bytes_from_school: int,\n"
	"  bytes_served: int,\n"
	"  bytes_twice: int,\n"
	"  socket_bytes_in: int,\n"
	"  socket_bytes_out: int,\n"
	"  packets_refused: int,\n"
	"  encrypted: bool,\n"
	"  problem: string,\n"
	"  branches: []Branch,\n"
	"  peers: []Peer\n"
	")\n"
	"\n"
	"# Take the newest release of a branch (\"\": of all) now. With \"more\": replies until it is over.\n"
	"method Update(branch: string, force: bool) -> (\n"
	"  state: (running, done, nothing, failed, refused),\n"
	"  message: string,\n"
	"  branch: string,\n"
	"  phase: string,\n"
	"  have: int,\n"
	"  target: int,\n"
	"  bytes_had: int,\n"
	"  bytes_total: int,\n"
	"  apply_done: int,\n"
	"  apply_total: int,\n"
	"  bytes_from_peers: int,\n"
	"  bytes_from_school: int\n"
	")\n"
	"\n"
	"# Bring a bundle that leads to a tree of the branch, for what is in it (its content was lost here): the cheapest that is not\n"
	"# here. \"failed\" when nobody in reach has one. Replies as Update does.\n"
	"method Fetch(branch: string, manifest: string) -> (\n"
	"  state: (running, done, nothing, failed, refused),\n"
	"  message: string,\n"
	"  branch: string,\n"
	"  phase: string,\n"
	"  have: int,\n"
	"  target: int,\n"
	"  bytes_had: int,\n"
	"  bytes_total: int,\n"
	"  apply_done: int,\n"
	"  apply_total: int,\n"
	"  bytes_from_peers: int,\n"
	"  bytes_from_school: int,\n"
	"  bytes_fetched: int\n"
	")\n"
	"\n"
	"# Read the store's state again: another command changed it.\n"
	"method Reload() -> ()\n"
	"\n"
	"error Failed (code: int, message: string)\n";

static const char service_text[] =
	"# The Varlink Service Interface is provided by every varlink service.\n"
	"interface " AY_IFACE_SERVICE "\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n";

const char *ay_interface_text(const char *name)
{
	if (strcmp(name, AY_IFACE_NODE) == 0)
		return node_text;
	return strcmp(name, AY_IFACE_SERVICE) == 0 ? service_text : NULL;
}
