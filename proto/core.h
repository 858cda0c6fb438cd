/* SPDX-License-Identifier: MIT */
/*
 * proto/core.h - the one door: what a node hears, decides and says, without I/O.
 *
 *     event ──► ay_core_step() ──► orders
 *
 * The core knows no clock, no randomness, no socket and no file. Time is
 * event.now_ns, chance is config.seed. Payload never enters it: who runs the core
 * (node/ or sim/) checks a received block against the bundle's Merkle tree, writes
 * it, and tells the core only the verdict.
 *
 * Whoever runs it carries out the orders in sequence. A STORE order carries a
 * token; the core says nothing that promises the stored thing until it was given
 * AY_EV_STORED with that token.
 *
 * Two cores can live in one process; there are no globals.
 */
#ifndef AYNI_PROTO_CORE_H
#define AYNI_PROTO_CORE_H

#include "proto/check.h"
#include "proto/event.h"

struct ay_core;

/** ay_core_new() - a core that knows nothing yet; @config is copied. NULL: out of memory. */
struct ay_core *ay_core_new(const struct ay_core_config *config);
void ay_core_free(struct ay_core *core);

/**
 * ay_core_step() - give the core one event, collect its orders.
 *
 * Return: 0, or
 *   AY_EFORMAT, AY_EPEER  hostile or broken packet: counted and dropped (the orders may close its session).
 *   AY_ESIG, AY_EROLE, AY_EROLLBACK  a local document (ROOT, HEAD, RELEASE, OFFER) is refused: report it.
 *   -ENOMEM     without orders: nothing changed; the same event may be given again. With orders: some were
 *               lost; carry out those that are there, then start the core anew, all it knew is on the disk.
 * @out is valid in every case (perhaps empty).
 */
int ay_core_step(struct ay_core *core, const struct ay_event *ev, struct ay_orders *out);

#endif
