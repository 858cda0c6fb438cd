/* SPDX-License-Identifier: MIT */
/*
 * node/child.h - what reads the output of a child process has in common.
 */
#ifndef AYNI_NODE_CHILD_H
#define AYNI_NODE_CHILD_H

#include <uv.h>

/** ay_child_alloc() - a uv_alloc_cb: one chunk for all, because what is read is used within the same callback. */
void ay_child_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf);

#endif
