/* SPDX-License-Identifier: MIT */
/*
 * What clang's analyzer cannot see, because it looks at one file at a time: an error is always negative. Without
 * it every "r = f(&x); if (r) return r; use(x)" looks like a use of an x that was never set.
 */
#ifndef AYNI_TESTS_LINT_ANALYZER_H
#define AYNI_TESTS_LINT_ANALYZER_H

#include "base/error.h"

static inline int ay__lint_negative(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define ay_err_set(err, code, ...)     ay__lint_negative(ay_err_set(err, code, __VA_ARGS__))
#define ay_err_errno(err, errnum, ...) ay__lint_negative(ay_err_errno(err, errnum, __VA_ARGS__))
#define ay_err_wrap(err, code, ...)    ay__lint_negative(ay_err_wrap(err, code, __VA_ARGS__))

#endif
