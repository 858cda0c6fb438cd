/* SPDX-License-Identifier: MIT */
/*
 * node/address.h - the core's addresses, as text and as the kernel has them.
 */
#ifndef AYNI_NODE_ADDRESS_H
#define AYNI_NODE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "proto/core.h"

/* "[ffff:...:255.255.255.255%interfacename]:65535" and a NUL, rounded up. */
#define AY_ADDR_TEXT 80

/**
 * ay_addr_parse() - "192.0.2.1", "192.0.2.1:24953", "2001:db8::1", "[fe80::1%eth0]:24953".
 * @text: @len bytes, need not end in NUL.
 * @default_port: when none is written.
 *
 * Names are not looked up: a node must come up without a name server.
 * Return: 0 or AY_EFORMAT (also: an interface that is not there, port 0).
 */
int ay_addr_parse(const char *text, size_t len, uint16_t default_port, struct ay_addr *out);

/** ay_addr_text() - "192.0.2.1:24953" or "[fe80::1%eth0]:24953"; returns @out. */
char *ay_addr_text(const struct ay_addr *a, char out[AY_ADDR_TEXT]);

bool ay_addr_is_v4(const struct ay_addr *a);

/** ay_addr_to_sockaddr() - AF_INET for IPv4, else AF_INET6; returns the length to pass on. */
socklen_t ay_addr_to_sockaddr(const struct ay_addr *a, struct sockaddr_storage *out);
/** ay_addr_from_sockaddr() - AF_INET and AF_INET6; any other family gives zeros. */
void ay_addr_from_sockaddr(const struct sockaddr *sa, struct ay_addr *out);

#endif
