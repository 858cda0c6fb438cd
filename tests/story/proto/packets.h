/* SPDX-License-Identifier: MIT */
/* What is under way in a story, in the order of (time, sequence). */
#ifndef AYNI_TESTS_STORY_PACKETS_H
#define AYNI_TESTS_STORY_PACKETS_H

#include "proto/core.h"

enum what { DATAGRAM, CONNECT, REFUSED, CONNECTED, FRAME, SENT, CLOSED, RUN };

struct packet {
	uint64_t at, seq;
	enum what what;
	unsigned node; /* that it reaches */
	unsigned life; /* of that node; a packet to an earlier life is lost */
	unsigned wire; /* sessions */
	enum ay_group group;
	struct ay_addr from;
	uint8_t type;
	uint8_t *data;
	size_t len;
};

struct packets {
	struct packet *heap;
	size_t n, cap;
};

void packets_push(struct packets *h, struct packet p);
struct packet packets_pop(struct packets *h);
uint64_t packets_next(const struct packets *h); /* UINT64_MAX: nothing is under way */
void packets_release(struct packets *h);

#endif
