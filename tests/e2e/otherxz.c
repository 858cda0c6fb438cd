/* SPDX-License-Identifier: MIT */
/*
 * liblzma as a later version of it might be, for LD_PRELOAD: streams that unpack to the same bytes and are packed differently, for
 * dictionaries of at least $AYNI_OTHER_DICT bytes.
 */
#include <dlfcn.h>
#include <lzma.h>
#include <stdlib.h>

lzma_ret lzma_raw_encoder(lzma_stream *strm, const lzma_filter *filters)
{
	lzma_ret (*real)(lzma_stream *, const lzma_filter *) =
		(lzma_ret(*)(lzma_stream *, const lzma_filter *))dlsym(RTLD_NEXT, "lzma_raw_encoder");
	const char *least = getenv("AYNI_OTHER_DICT");
	lzma_filter changed[LZMA_FILTERS_MAX + 1];
	lzma_options_lzma options;
	unsigned i = 0;

	for (; filters[i].id != LZMA_VLI_UNKNOWN; i++) {
		changed[i] = filters[i];
		if (filters[i].id != LZMA_FILTER_LZMA2)
			continue;
		options = *(const lzma_options_lzma *)filters[i].options;
		if (least && options.dict_size >= strtoul(least, NULL, 10)) {
			options.nice_len = options.nice_len > 16 ? 16 : 32;
			options.depth = 3;
		}
		changed[i].options = &options;
	}
	changed[i] = filters[i];
	return real(strm, changed);
}
