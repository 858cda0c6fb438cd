#!/bin/bash
# SPDX-License-Identifier: MIT
# Every pair of the corpus, forward and backward: a delta is made, applied, and what comes out compared to the last bit, time,
# mode and owner. `make roundtrips`; takes most of an hour and some gigabytes of room.
#
#   roundtrips.sh [KIND...]      of libs zip text native arm64 usr node root kernel-image kernel kernel-arm64 (all)
#   AYNI_ROUNDTRIPS_OPTIONS      options for `ayni delta make`: "--fast", "--apply-memory=64M", "--without=elf"
#   AYNI_ROUNDTRIPS_DIR          where to work (/var/tmp)
#   AYNI_ROUNDTRIPS_KEPT=yes     ask no archive: only what tests/corpus.sh fetched earlier
#
# What cannot be had is left out, and a line says so. Lines also go into $BUILD/roundtrips.txt, to its end. Exit code 1 when a tree was not
# the same, 77 when there was no pair at all.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/measure.sh
. tests/roundtrips_lib.sh
ROOT=$PWD
BUILD=$(realpath -m "${BUILD:-build}")
AYNI=$(realpath "${AYNI:-$BUILD/ayni}")
read -ra options <<<"${AYNI_ROUNDTRIPS_OPTIONS:-}"
say() { echo "roundtrips: $*" >&2; }
work=$(mktemp -d "${AYNI_ROUNDTRIPS_DIR:-/var/tmp}/ayni-roundtrips.XXXXXX") || exit 1
trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
cd "$work" || exit 1
mkdir -p "$BUILD"
[ -x "$AYNI" ] && [ -x /usr/bin/time ] || { say "$AYNI or /usr/bin/time is missing: make, make deps"; exit 1; }
# An archive that is not asked: corpus.sh takes what it has when these do not answer.
if [ "${AYNI_ROUNDTRIPS_KEPT:-}" = yes ]; then
	mkdir deaf
	for n in apt-get apt-cache npm; do printf '#!/bin/sh\nexit 1\n' >deaf/$n; done
	chmod +x deaf/*
	PATH=$work/deaf:$PATH
fi

# corpus WORD...: the directories into "dirs"
corpus() {
	mapfile -t dirs < <("$ROOT/tests/corpus.sh" "$@" 2>>corpus.log)
	[ ${#dirs[@]} -ge 2 ] && return
	echo "LEFT OUT  $*: $(tail -n 1 corpus.log)"
	return 1
}
# Nothing but the kernel image, whose name has the version in it.
image_of() { # TREE OUT
	mkdir -p "$2" && cp -p "$1"/boot/vmlinuz-* "$2/"
}
pairs() { # of two lines each
	local i
	for ((i = 0; i + 1 < ${#dirs[@]}; i += 2)); do there_and_back "${dirs[i]}" "${dirs[i + 1]}" "${options[@]}"; done
}
neighbours() {
	local i
	for ((i = 0; i + 1 < ${#dirs[@]}; i++)); do there_and_back "${dirs[i]}" "${dirs[i + 1]}" "${options[@]}"; done
}
arm64_of() { # kernel: yes or no
	local all=("${dirs[@]}") d
	dirs=()
	for d in "${all[@]}"; do
		if { [[ $d == */kernel-arm64/* ]] && echo yes || echo no; } | grep -qx "$1"; then dirs+=("$d"); fi
	done
}
one() { # KIND
	local i
	case $1 in
	libs | zip | text | native | usr | root) corpus "$1" && pairs ;;
	arm64) corpus arm64 && arm64_of no && pairs ;;
	kernel-arm64) corpus arm64 && arm64_of yes && pairs ;;
	kernel) corpus kernel all && neighbours ;;
	kernel-image)
		corpus kernel all || return 0
		for i in "${!dirs[@]}"; do
			image_of "${dirs[i]}" "image/$i" && dirs[i]=$PWD/image/$i
		done
		neighbours
		;;
	node)
		for i in "24.20.0 24.21.0" "26.10.0 26.12.1"; do corpus node $i && pairs; done
		;;
	esac
}

all=(libs zip text native arm64 usr node root kernel-image kernel-arm64 kernel)
kinds=("$@")
[ $# -gt 0 ] || kinds=("${all[@]}")
for kind in "${kinds[@]}"; do
	[[ " ${all[*]} " == *" $kind "* ]] || { say "'$kind' is no kind: ${all[*]}"; exit 2; }
done
for kind in "${kinds[@]}"; do one "$kind"; done | tee -a "$BUILD/roundtrips.txt" | tee lines
trips_good=$(grep -c '^same ' lines)
trips_bad=$(grep -c '^FAILED ' lines)
echo "$trips_good passed, $trips_bad failed"
[ "$trips_bad" = 0 ] || exit 1
[ "$trips_good" -gt 0 ] || { echo "no pair could be had"; exit 77; }
