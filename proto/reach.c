/* SPDX-License-Identifier: MIT */
/*
 * Addresses that were passed on: told by a stranger, and so held to what a classroom needs.
 *
 * One table of prefixes says what kind an address is (after the IANA special-purpose
 * registries, RFC 6890); the first that fits counts. Private blocks are kinds of their
 * own, so that "the same block" is "the same kind".
 */
#include "proto/reach.h"

#include <string.h>

#define PORT_MIN  1024 /* below are system services: nobody is to be sent there */
#define V4_BITS   96   /* IPv4 is ::ffff:a.b.c.d */
#define V4_WIDEST (V4_BITS + 8)
#define V6_WIDEST 32 /* wider ones are no network of an interface, but a mistake */
#define ULA_SITE  48 /* RFC 4193 §3.1: a site's own prefix */
#define V4(a, b, c)                                                                                          \
	{                                                                                                    \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (a), (b), (c)                                      \
	}

enum kind {
	NOBODY,
	LOOPBACK,
	LINK,
	PRIVATE_10,
	PRIVATE_172,
	PRIVATE_192,
	SHARED, /* behind a provider's translation, RFC 6598 */
	UNIQUE_LOCAL,
	GLOBAL,
};

static const struct {
	uint8_t ip[16];
	unsigned bits;
	enum kind kind;
} kinds[] = {
	{V4(0, 0, 0), V4_BITS + 8, NOBODY},
	{V4(10, 0, 0), V4_BITS + 8, PRIVATE_10},
	{V4(100, 64, 0), V4_BITS + 10, SHARED},
	{V4(127, 0, 0), V4_BITS + 8, LOOPBACK},
	{V4(169, 254, 0), V4_BITS + 16, LINK},
	{V4(172, 16, 0), V4_BITS + 12, PRIVATE_172},
	{V4(192, 0, 0), V4_BITS + 24, NOBODY},
	{V4(192, 168, 0), V4_BITS + 16, PRIVATE_192},
	{V4(224, 0, 0), V4_BITS + 4, NOBODY}, /* multicast */
	{V4(240, 0, 0), V4_BITS + 4, NOBODY}, /* reserved, broadcast */
	{V4(0, 0, 0), V4_BITS, GLOBAL},
	{{[15] = 1}, 128, LOOPBACK},
	{{0}, 80, NOBODY},                      /* unspecified, and old ways to write IPv4 */
	{{0x00, 0x64, 0xff, 0x9b}, 32, NOBODY}, /* translated to IPv4, RFC 6052, RFC 8215 */
	{{0x01}, 64, NOBODY},                   /* discard, RFC 6666 */
	{{0x20, 0x01, 0x00}, 23, NOBODY},       /* Teredo and other special purposes */
	{{0x20, 0x02}, 16, NOBODY},             /* 6to4 */
	{{0xfc}, 7, UNIQUE_LOCAL},
	{{0xfe, 0x80}, 10, LINK},
	{{0xff}, 8, NOBODY}, /* multicast */
	{{0x20}, 3, GLOBAL}, /* what IANA gives out */
	{{0}, 0, NOBODY},
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	return memcmp(a, b, bytes) == 0 && (rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0);
}

static bool is_v4(const uint8_t ip[16])
{
	static const uint8_t mapped[16] = V4(0, 0, 0);

	return same_bits(ip, mapped, V4_BITS);
}

static enum kind kind_of(const uint8_t ip[16])
{
	unsigned i = 0;

	while (!same_bits(ip, kinds[i].ip, kinds[i].bits))
		i++;
	return kinds[i].kind;
}

static bool is_private(enum kind kind)
{
	return kind >= PRIVATE_10 && kind <= UNIQUE_LOCAL;
}

/* Are all bits behind the prefix @set? Then it is the network itself, or all of it. */
static bool rest_is(const uint8_t ip[16], unsigned bits, bool set)
{
	for (unsigned i = bits; i < 128; i++)
		if ((ip[i / 8] >> (7 - i % 8) & 1) != (set ? 1 : 0))
			return false;
	return true;
}

static bool is_inside(const struct ay_network *own, const struct ay_addr *a)
{
	unsigned widest = is_v4(own->ip) ? V4_WIDEST : V6_WIDEST;

	return own->bits >= widest && own->bits <= 128 && same_bits(own->ip, a->ip, own->bits);
}

static bool is_broadcast(const struct ay_network *own, const struct ay_addr *a)
{
	return is_v4(own->ip) && own->bits < 127 &&
	       (rest_is(a->ip, own->bits, true) || rest_is(a->ip, own->bits, false));
}

bool ay_reach_passed(const struct ay_network *own, unsigned n, const struct ay_addr *teller,
		     const struct ay_addr *addr)
{
	enum kind kind = kind_of(addr->ip), from = kind_of(teller->ip);
	bool near = false;

	if (kind == NOBODY || addr->port < PORT_MIN || addr->scope)
		return false;
	if (kind == LOOPBACK || kind == LINK)
		return kind == from && (kind == LOOPBACK || is_v4(addr->ip));
	for (unsigned i = 0; i < n; i++) {
		if (is_inside(&own[i], addr))
			return !is_broadcast(&own[i], addr);
		near |= kind != UNIQUE_LOCAL && kind_of(own[i].ip) == kind;
	}
	if (!is_private(kind))
		return false;
	return near || (kind == from && (kind != UNIQUE_LOCAL || same_bits(addr->ip, teller->ip, ULA_SITE)));
}
