#!/bin/bash
# SPDX-License-Identifier: MIT
# The corpus that needs no archive: two runs at once make one pair, a killed run leaves no half tree under its
# name, and the second tree differs from the first in every way that a release can.
set -u
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
export AYNI_CACHE=$T/cache
fail() {
	echo "$*"
	exit 1
}

mkdir -p "$AYNI_CACHE/tmp.killed/tree/1"
"$here/../corpus.sh" usr >"$T/first" 2>"$T/first.err" &
"$here/../corpus.sh" usr >"$T/second" 2>"$T/second.err" || fail "$(cat "$T/second.err")"
wait $! || fail "$(cat "$T/first.err")"
cmp "$T/first" "$T/second" || fail "two runs gave two answers"
[ "$(cat "$T/first.err" "$T/second.err" | grep -c making)" = 1 ] || fail "made twice"
[ -z "$(find "$AYNI_CACHE" -maxdepth 1 -name 'tmp.*')" ] || fail "temporary directories were left"
AYNI_CORPUS=usr "$here/../corpus.sh" pair 2>/dev/null | cmp - "$T/first" || fail "pair gives something else"

{ read -r old && read -r new; } <"$T/first"
[ -d "$old" ] && [ -d "$new" ] || fail "no directories: $old $new"
for tree in "$old" "$new"; do
	size=$(du -sk --apparent-size "$tree" | cut -f 1)
	[ "$size" -le 65000 ] || fail "$tree has $size KiB"
	[ "$(find "$tree" -type f | wc -l)" -ge 100 ] || fail "$tree has too few files"
done
differ=$(diff -rq --no-dereference "$old/usr/share" "$new/usr/share" 2>/dev/null)
grep -q '^Files .* differ$' <<<"$differ" || fail "no file changed"
grep -q "^Only in $old/" <<<"$differ" || fail "no file removed"
grep -q "^Only in $new/.*\.2$" <<<"$differ" || fail "no file renamed"
grep -q "^Only in $new/.*new-in-2" <<<"$differ" || fail "no file added"
[ -d "$new/usr/lib-2" ] || fail "no folder renamed"

# An archive out of reach: said, and what was fetched earlier is used; what was not is not made up.
mkdir -p "$T/bin" "$AYNI_CACHE"/deb/none/lib{x_1,x_1:2-3~b,x_0.9} "$AYNI_CACHE"/npm/@a+b/{1.9.0,1.10.0}
mv "$AYNI_CACHE/deb/none/libx_1:2-3~b" "$AYNI_CACHE/deb/none/libx_1%3a2-3~b"
printf '#!/bin/sh\necho out of reach >&2\nexit 100\n' | tee "$T/bin/apt-get" "$T/bin/apt-cache" "$T/bin/npm" >/dev/null
chmod +x "$T"/bin/*
kept() { # WANTED COMMAND...
	local wanted=$1
	shift
	PATH=$T/bin:$PATH "$here/../corpus.sh" "$@" 2>"$T/err" | sed "s|^$AYNI_CACHE/||" | paste -s -d ' ' - >"$T/out"
	[ "$(cat "$T/out")" = "$wanted" ] || fail "$*: $(cat "$T/out" "$T/err"), not $wanted"
}
kept "deb/none/libx_0.9 deb/none/libx_1" deb libx:none 0.9 1
kept "deb/none/libx_1 deb/none/libx_1%3a2-3~b" deb libx:none 2
grep -q 'fetched of libx earlier' "$T/err" || fail "not said: $(cat "$T/err")"
kept "" deb libx:none 4
kept "" deb liby:none 1
grep -q 'out of reach' "$T/err" || fail "not said: $(cat "$T/err")"
kept "npm/@a+b/1.9.0 npm/@a+b/1.10.0" npm @a/b 2
