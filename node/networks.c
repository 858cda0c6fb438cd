/* SPDX-License-Identifier: MIT */
/* An interface's address and netmask, as the core compares addresses. */
#include "node/networks.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "node/address.h"

#define V4_BITS 96 /* before the four bytes of an IPv4 address */

static bool ones(const struct sockaddr *mask, uint8_t *bits)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint8_t bytes[16] = {0};
	unsigned n = 0;

	if (mask->sa_family == AF_INET) {
		memcpy(&in, mask, sizeof(in));
		memcpy(bytes, &in.sin_addr, 4);
	} else {
		memcpy(&in6, mask, sizeof(in6));
		memcpy(bytes, &in6.sin6_addr, 16);
	}
	while (n < 128 && bytes[n / 8] >> (7 - n % 8) & 1)
		n++;
	*bits = (uint8_t)(mask->sa_family == AF_INET ? V4_BITS + n : n);
	return n > 0;
}

unsigned ay_networks(struct ay_network *out, unsigned max)
{
	struct ifaddrs *all;
	unsigned n = 0;

	if (getifaddrs(&all))
		return 0;
	for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next) {
		struct ay_addr a;
		if (!i->ifa_addr || !i->ifa_netmask || !(i->ifa_flags & IFF_UP) ||
		    (i->ifa_flags & IFF_LOOPBACK) ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		ay_addr_from_sockaddr(i->ifa_addr, &a);
		memcpy(out[n].ip, a.ip, sizeof(a.ip));
		n += ones(i->ifa_netmask, &out[n].bits);
	}
	freeifaddrs(all);
	return n;
}
