#!/bin/sh
# SPDX-License-Identifier: MIT
# Print the part of the Makefile that depends on this machine: where libraries are, which hardening flags the
# compiler knows. Runs after packaging/deps.sh, because before it not even pkg-config may be there.
set -eu
CC=${CC:-gcc}

lib() { # VARIABLE PKG-CONFIG-NAME
	printf 'PKG_%s := %s\n' "$1" "$(pkg-config --libs "$2")"
	cflags="$cflags $(pkg-config --cflags "$2")"
}

cflags=
lib CRYPTO libcrypto
lib SODIUM libsodium
lib ZSTD libzstd
lib LZMA liblzma
lib UV libuv
lib INIH inih
lib JANSSON jansson
lib SQLITE sqlite3
lib CMOCKA cmocka
printf 'PKG_CFLAGS := %s\n' "$(printf '%s\n' $cflags | sort -u | tr '\n' ' ')"

# OpenSSF's "Compiler Options Hardening Guide for C and C++", as far as this compiler goes.
try() { # FLAG: known without a complaint?
	echo 'int main(void) { return 0; }' | $CC -Werror "$@" -x c -o /dev/null - 2>/dev/null
}
cc=
for f in -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection -mbranch-protection=standard \
	-fno-strict-overflow -fno-strict-aliasing -fno-delete-null-pointer-checks -ftrivial-auto-var-init=zero \
	-Wtrampolines; do
	if try "$f"; then cc="$cc $f"; fi
done
ld=
for f in -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen; do
	if try -fPIE "$f"; then ld="$ld $f"; fi
done
printf 'HARDENING :=%s\nHARDENING_LD :=%s\n' "$cc" "$ld"
