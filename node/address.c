/* SPDX-License-Identifier: MIT */
/*
 * Addresses. Inside there is one form, IPv6 with IPv4 mapped into it, so that comparing is memcmp; sockets of
 * the two families stay apart, because a kernel may lack IPv6.
 */
#include "node/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ay_addr_is_v4(const struct ay_addr *a)
{
	return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

static int parse_port(const char *s, uint16_t *port)
{
	unsigned v = 0;
	if (!*s)
		return AY_EFORMAT;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return AY_EFORMAT;
		v = v * 10 + (unsigned)(*s - '0');
		if (v > 65535)
			return AY_EFORMAT;
	}
	if (v == 0)
		return AY_EFORMAT;
	*port = (uint16_t)v;
	return 0;
}

/* @host is ours to cut at the '%'. */
static int parse_host(char *host, struct ay_addr *out)
{
	char *percent = strchr(host, '%');
	if (percent) {
		*percent = 0;
		out->scope = if_nametoindex(percent + 1);
		if (out->scope == 0)
			return AY_EFORMAT;
	}
	struct in_addr v4;
	if (!percent && inet_pton(AF_INET, host, &v4) == 1) {
		memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
		memcpy(out->ip + 12, &v4, 4);
		return 0;
	}
	return inet_pton(AF_INET6, host, out->ip) == 1 ? 0 : AY_EFORMAT;
}

int ay_addr_parse(const char *text, size_t len, uint16_t default_port, struct ay_addr *out)
{
	char buf[AY_ADDR_TEXT];
	if (len == 0 || len >= sizeof(buf) || memchr(text, 0, len))
		return AY_EFORMAT;
	memcpy(buf, text, len);
	buf[len] = 0;
	memset(out, 0, sizeof(*out));
	out->port = default_port;

	char *host = buf, *port = NULL;
	if (buf[0] == '[') {
		char *close = strchr(buf, ']');
		if (!close)
			return AY_EFORMAT;
		host = buf + 1;
		*close = 0;
		if (close[1] == ':')
			port = close + 2;
		else if (close[1])
			return AY_EFORMAT;
	} else {
		/* One colon separates a port; more are IPv6, which needs brackets for a port. */
		char *colon = strchr(buf, ':');
		if (colon && !strchr(colon + 1, ':')) {
			*colon = 0;
			port = colon + 1;
		}
	}
	if (port && parse_port(port, &out->port))
		return AY_EFORMAT;
	return parse_host(host, out);
}

char *ay_addr_text(const struct ay_addr *a, char out[AY_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "?";
	if (ay_addr_is_v4(a)) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		snprintf(out, AY_ADDR_TEXT, "%s:%u", ip, (unsigned)a->port);
		return out;
	}
	inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
	char name[IF_NAMESIZE] = "";
	if (a->scope && !if_indextoname(a->scope, name))
		snprintf(name, sizeof(name), "%u", (unsigned)a->scope);
	snprintf(out, AY_ADDR_TEXT, "[%s%s%s]:%u", ip, name[0] ? "%" : "", name, (unsigned)a->port);
	return out;
}

socklen_t ay_addr_to_sockaddr(const struct ay_addr *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ay_addr_is_v4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	in6->sin6_scope_id = a->scope;
	return sizeof(*in6);
}

void ay_addr_from_sockaddr(const struct sockaddr *sa, struct ay_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		memcpy(out->ip, v4_prefix, sizeof(v4_prefix));
		memcpy(out->ip + 12, &in.sin_addr, 4);
		out->port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->ip, &in6.sin6_addr, 16);
		out->port = ntohs(in6.sin6_port);
		/* A scope is kept only where it tells two addresses apart, so that comparing stays exact. */
		if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
			out->scope = in6.sin6_scope_id;
	}
}
