/* SPDX-License-Identifier: MIT */
/* State machines as tables: a move is checked, made and traced. */
#include "proto/sm.h"
#include "proto/trace.h"

#include "base/error.h"

void ay__sm_move(struct ay_core *core, const char *room, const char *subject,
		 const struct ay__sm_state *table, uint8_t *state, uint8_t to, const char *why)
{
	uint8_t from = *state;

	if (from == to)
		return;
	AY_ASSERT(table[from].next & AY__TO(to));
	*state = to;
	AY__TRACE(core, room, "%s: %s -> %s (%s)", subject, table[from].name, table[to].name, why);
}
