/* SPDX-License-Identifier: MIT */
/*
 * diff/ahead.h - the next part is read and unpacked while the one in hand is used up (internal to diff/).
 */
#ifndef AYNI_DIFF_AHEAD_H
#define AYNI_DIFF_AHEAD_H

#include "diff/section.h"

struct ay__ahead;

/** ay__ahead_new() - for parts of the bundle in @fd, as ay__section_read() reads them. NULL: no memory, or no thread. */
struct ay__ahead *ay__ahead_new(int fd, uint64_t bundle_size, uint32_t part_limit);
void ay__ahead_free(struct ay__ahead *a);
/** ay__ahead_start() - begin with the part at @offset; none is under way. */
void ay__ahead_start(struct ay__ahead *a, uint64_t offset);
/**
 * ay__ahead_take() - the part that was begun changes places with what is in @s. What ay__section_read() returns; 1: none was
 * begun at @offset.
 */
int ay__ahead_take(struct ay__ahead *a, uint64_t offset, struct ay__section *s, struct ay_err *err);

#endif
