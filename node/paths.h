/* SPDX-License-Identifier: MIT */
/*
 * node/paths.h - where things are when nobody says otherwise.
 */
#ifndef AYNI_NODE_PATHS_H
#define AYNI_NODE_PATHS_H

#define AY_STORE_PATH   "/var/lib/ayni"
#define AY_CONTROL_PATH "/run/ayni/control.sock"
#define AY_CONFIG_PATH  "/etc/ayni/ayni.conf"

#endif
