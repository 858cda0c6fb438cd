/* SPDX-License-Identifier: MIT */
/*
 * diff/make_inside.h - a whole file seen through what is packed inside of it (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_INSIDE_H
#define AYNI_DIFF_MAKE_INSIDE_H

#include "diff/make_window.h"

struct ay__bytes;

/**
 * ay__window_look() - may there be something packed in the new file, and is looking into it within the sizes? Then
 * sets @w->inside and what goes with it. Reads a little of the file.
 *
 * @filter_memory: bytes that applying may use for it; 0: it must not be looked into.
 */
void ay__window_look(struct ay__window *w, uint64_t filter_memory);

/**
 * ay__window_inside() - does the file cost less than @best seen through what is inside of it? Then it is coded so.
 *
 * Return: 0; 1: with @w->aside, a proof that was put off has failed; what came out is to be forgotten, and the window run again
 * without; else an error as of ay__window_run().
 */
int ay__window_inside(struct ay__window *w, const struct ay__bytes *new_, uint64_t best, struct ay_err *err);

#endif
