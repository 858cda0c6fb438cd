/* SPDX-License-Identifier: MIT */
/*
 * node/varlink.h - the control socket's language: JSON objects, each ended by a zero byte.
 *
 * Source: the Varlink specification (varlink.org), "Method Call" and "Service".
 * What may be called and what comes back: docs/protocol.md, "Control socket".
 */
#ifndef AYNI_NODE_VARLINK_H
#define AYNI_NODE_VARLINK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "manifest/root.h"

#define AY_VARLINK_CALL_MAX  (64 * 1024)   /* a call is a branch's name and two flags */
#define AY_VARLINK_REPLY_MAX (1024 * 1024) /* status of 32 branches and 64 peers is 40 KiB */

/* Messages out of a stream. Zero-initialise, set max; release with ay_varlink_in_release(). */
struct ay_varlink_in {
	size_t max; /* bytes of one message at most */
	struct ay_buf buf;
	bool handed_out;
};

/**
 * ay_varlink_next() - take bytes until one message is complete.
 * @msg: without its zero byte, but one stands behind it; the reader's until the next call.
 *
 * Return: 1 a message; 0 all bytes were taken; AY_ELIMIT, -ENOMEM: drop the connection.
 */
int ay_varlink_next(struct ay_varlink_in *in, const uint8_t *data, size_t len, size_t *used,
		    struct ay_slice *msg);
void ay_varlink_in_release(struct ay_varlink_in *in);

enum ay_method {
	AY_METHOD_UNKNOWN,
	AY_METHOD_GET_INFO,
	AY_METHOD_GET_INTERFACE,
	AY_METHOD_STATUS,
	AY_METHOD_UPDATE,
	AY_METHOD_RELOAD,
	AY_METHOD_FETCH,
};

struct ay_call {
	enum ay_method method;
	char name[128]; /* as called, cut */
	bool more, oneway;
	char branch[AY_BRANCH_NAME_MAX + 1]; /* Update: "" is all */
	bool force;
	struct ay_digest manifest; /* Fetch */
	char interface[64];        /* GetInterfaceDescription */
	const char *bad_parameter; /* set: this one is wrong; static storage */
};

/**
 * ay_call_parse() - one message.
 *
 * Return: 0 (also for a method that is not there and for a bad parameter: answer with an error);
 *   AY_EFORMAT it is no call at all: drop the connection.
 */
int ay_call_parse(const char *text, size_t len, struct ay_call *out);

/** ay_call_write() - a call as bytes with its zero byte; @parameters: taken over, may be NULL. NULL: out of memory. */
char *ay_call_write(const char *method, json_t *parameters, bool more);
/**
 * ay_reply_write() - a reply as bytes with its zero byte.
 * @error: NULL or the error's name. @parameters: taken over, may be NULL. @continues: more replies follow.
 */
char *ay_reply_write(const char *error, json_t *parameters, bool continues);

/** ay_json_text() - a string; bytes that are no UTF-8 (a path's, a peer's) become '?'. */
json_t *ay_json_text(const char *s);

#define AY_IFACE_NODE    "org.ayni.Node"
#define AY_IFACE_SERVICE "org.varlink.service"

/** ay_interface_text() - an interface's description, or NULL. */
const char *ay_interface_text(const char *name);

#endif
