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
