/* SPDX-License-Identifier: MIT */
/* The door. (A stub so that others can link; the real one follows within the hour.) */
#include "proto/core.h"

#include <stdlib.h>
#include <string.h>

struct ay_core {
	struct ay_core_config cfg;
};

struct ay_core *ay_core_new(const struct ay_core_config *config)
{
	struct ay_core *c = calloc(1, sizeof(*c));
	if (c)
		c->cfg = *config;
	return c;
}

void ay_core_free(struct ay_core *core)
{
	free(core);
}

int ay_core_step(struct ay_core *core, const struct ay_event *ev, struct ay_orders *out)
{
	(void)core;
	(void)ev;
	out->list = NULL;
	out->n = 0;
	return 0;
}

void ay_core_status(const struct ay_core *core, struct ay_core_status *out)
{
	(void)core;
	memset(out, 0, sizeof(*out));
}

const char *ay_core_check(const struct ay_core *core)
{
	(void)core;
	return NULL;
}
