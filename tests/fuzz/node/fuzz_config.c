/* SPDX-License-Identifier: MIT */
/* Configuration files: any bytes are a configuration or one told mistake. */
#include <stdlib.h>
#include <string.h>

#include "node/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_config c;
	struct ay_err err = {0};
	if (len > AY_CONFIG_FILE_MAX)
		return 0;
	ay_config_defaults(&c);
	int r = ay_config_parse(&c, "f", len ? (const char *)data : "", len, &err);
	if (r != 0 && (r != AY_EUSAGE || strncmp(err.msg, "f:", 2) != 0))
		abort();
	if (c.n_peers > AY_CONFIG_PEERS_MAX)
		abort();
	return 0;
}
