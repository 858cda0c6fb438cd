/* SPDX-License-Identifier: MIT */
/*
 * node/keyfile.h - the publisher's keys on disk, and their passwords.
 */
#ifndef AYNI_NODE_KEYFILE_H
#define AYNI_NODE_KEYFILE_H

#include "manifest/sign.h"

/**
 * ay_keyfile_secret() - load a minisign secret key; asks for its password (on the terminal, else the first line of
 * standard input) when it is encrypted. Wipe with ay_secret_key_wipe().
 *
 * Return: 0; the errors of ay_secret_key_parse(), or of reading, naming @path.
 */
int ay_keyfile_secret(const char *path, struct ay_secret_key *sk, struct ay_err *err);

/** ay_keyfile_public() - load a minisign public key. */
int ay_keyfile_public(const char *path, struct ay_public_key *pk, struct ay_err *err);

/**
 * ay_keyfile_password() - read one line without echo. @prompt is shown on a terminal only.
 * @out: NUL-terminated, without the newline; the caller wipes it.
 */
int ay_keyfile_password(const char *prompt, char out[256], struct ay_err *err);

#endif
