/* SPDX-License-Identifier: MIT */
/*
 * diff/make_window_run.h - carrying out the work on a window (internal to diff/).
 */
#ifndef AYNI_DIFF_MAKE_WINDOW_RUN_H
#define AYNI_DIFF_MAKE_WINDOW_RUN_H

#include "diff/make_window.h"

/**
 * ay__window_run() - read and code the window. Safe in any thread.
 *
 * Return: 0; AY_EDIGEST a file is not what its manifest says; -errno, -ENOMEM; what open() returned. @err names the path.
 */
int ay__window_run(struct ay__window *w, struct ay_err *err);

#endif
