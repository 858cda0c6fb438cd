#!/bin/bash
# SPDX-License-Identifier: MIT
# A changed header reaches every object that includes it, however the build folder is spelled. (Once it did not: a
# build begun as BUILD=/its/whole/path and gone on with as BUILD=build mixed old and new objects, and crashed.)
set -u
cd "$(dirname "$0")/../.." || exit 1
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
mkdir -p "$T/house/packaging"
cp -r Makefile base "$T/house/" && cp packaging/*.sh "$T/house/packaging/"
cd "$T/house" || exit 1
users=$(grep -l '"base/bytes.h"' base/*.c | wc -l)
[ "$users" -gt 0 ] || { echo "no file of base/ includes base/bytes.h: choose another header"; exit 1; }
passed=0 failed=0
build() { make --no-print-directory BUILD="$1" lib >"$T/log" 2>&1 || { cat "$T/log"; exit 1; }; }
check() { # FIRST-SPELLING SECOND-SPELLING
	rm -rf build
	build "$1"
	touch -d '1 minute ago' build/obj/base/*.o build/obj/base/*.d build/libbase.a build/flags
	touch -d '2 minutes ago' base/*.c base/*.h
	touch stamp base/bytes.h
	build "$2"
	local made
	made=$(find build/obj/base -name '*.o' -newer stamp | wc -l)
	if [ "$made" -ge "$users" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: built as BUILD=$1, then as BUILD=$2: $made objects made anew for a changed header, at least $users include it"
	fi
}
check build "$T/house/build"
check "$T/house/build" build
check ./build/ build
echo "$passed passed, $failed failed"
[ $failed = 0 ]
