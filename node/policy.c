/* SPDX-License-Identifier: MIT */
/*
 * The owner's settings of a branch, one row a key.
 */
#include "node/policy.h"

#include <string.h>

#define TRIES_MAX 100
#define KEEP_MAX  1000

const char *const ay_policy_keys[AY_POLICY_KEYS] = {"switch", "confirm", "tries", "keep"};

void ay_policy_defaults(struct ay_policy *p)
{
	*p = (struct ay_policy){.tries = 3, .keep = 2};
}

int ay_policy_key(const char *name)
{
	for (int i = 0; i < AY_POLICY_KEYS; i++) {
		if (strcmp(ay_policy_keys[i], name) == 0)
			return i;
	}
	return -1;
}

static bool number(const char *v, uint32_t max, uint32_t *out)
{
	uint32_t n = 0;
	const char *p = v;

	for (; *p >= '0' && *p <= '9' && n <= max; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	if (p == v || *p || n < 1 || n > max)
		return false;
	*out = n;
	return true;
}

const char *ay_policy_set(struct ay_policy *p, int key, const char *value)
{
	switch (key) {
	case AY_POLICY_SWITCH:
		return ay_when_parse(value, &p->when);
	case AY_POLICY_CONFIRM:
		if (strcmp(value, "hooks") != 0 && strcmp(value, "boot") != 0)
			return "hooks or boot";
		p->confirm_by_boot = strcmp(value, "boot") == 0;
		return NULL;
	case AY_POLICY_TRIES:
		return number(value, TRIES_MAX, &p->tries) ? NULL : "a number from 1 to 100";
	default:
		return number(value, KEEP_MAX, &p->keep) ? NULL : "a number from 1 to 1000";
	}
}

void ay_policy_take(struct ay_policy *p, int key, const struct ay_policy *from)
{
	switch (key) {
	case AY_POLICY_SWITCH:
		p->when = from->when;
		break;
	case AY_POLICY_CONFIRM:
		p->confirm_by_boot = from->confirm_by_boot;
		break;
	case AY_POLICY_TRIES:
		p->tries = from->tries;
		break;
	default:
		p->keep = from->keep;
	}
}
