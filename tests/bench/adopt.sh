#!/bin/bash
# SPDX-License-Identifier: MIT
# What it costs to make a release out of files on the disk. Called by bench.sh, or alone; prints rows like its table's, for
# a kernel's tree (4,000 files, 400 MB) and, as root, a complete Debian root tree (tests/corpus.sh).
#
#   AYNI_BENCH_RUNS=3     how often each thing is timed; the median counts
#   AYNI_BENCH_DIR        where to work (/var/tmp); AYNI_BENCH_FS   see tests/bench/workplace.sh
#
# What each row means (the page cache is warm; the source lies on the store's file system):
#   link          all of `ayni adopt --key ... --read-only-source` into a new store, durable, against hashing the same
#                 files with all cores: the faster of `openssl dgst -sha256` and `sha256sum`, many files a process, one
#                 process a core, which write nothing
#                 The row below adds what a tree of links cannot do without: its names (`cp -al`), synced.
#   copy          all of `ayni adopt --key ...`, durable, against `ostree commit` into a new bare repository, with what
#                 it does to the disk by itself
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/bench/lib.sh

trees=()
mapfile -t one < <(tests/corpus.sh kernel 1 2>/dev/null)
[ ${#one[@]} != 1 ] || trees+=("${one[0]}")
if [ "$(id -u)" = 0 ]; then
	mapfile -t two < <(tests/corpus.sh root 2>/dev/null)
	[ ${#two[@]} != 2 ] || trees+=("${two[0]}")
fi
if [ ${#trees[@]} = 0 ]; then
	mapfile -t two < <(tests/corpus.sh pair)
	[ ${#two[@]} = 2 ] || die "no trees to measure with"
	trees=("${two[0]}")
fi
workplace 16384 || exit 1
cd "$work" || exit 1
owner=() mode=bare canonical=()
[ "$(id -u)" = 0 ] || owner=(--owner-me) mode=bare-user-only canonical=(--canonical-permissions)

quietly() { "$@" >log 2>&1 </dev/null || { tail -n 5 log >&2; die "failed: $*"; }; }
timed() { # NAME COMMAND...: appends "seconds cpu-seconds KiB" to NAME.times
	local name=$1
	shift
	"$TIME" -f '%e %U %S %M' -o t "$@" >log 2>&1 </dev/null || { tail -n 5 log >&2; die "failed: $*"; }
	tail -n 1 t | awk '{ print $1, $2 + $3, $4 }' >>"$name.times"
}
column() { median $(awk -v k="$2" '{ print $k }' "$1.times"); }
row() { # WHAT OURS THEIRS RATIO [GOAL VALUE]
	local verdict=
	if [ -n "${5:-}" ]; then
		at_most "$6" "$5" && verdict=met || verdict=MISSED
	fi
	printf '%-46s %10s %10s %8s   %-10s %s\n' "$1" "$2" "$3" "$4" "${5:+<= $5}" "$verdict"
}
versus() { # WHAT NAME OTHER [GOAL]
	local a o r
	a=$(column "$2" 1) o=$(column "$3" 1) r=$(ratio "$(column "$2" 1)" "$(column "$3" 1)")
	row "$1" "$a s" "$o s" "$r" "${4:-}" "$r"
	row "  processor time" "$(column "$2" 2) s" "$(column "$3" 2) s" "$(ratio "$(column "$2" 2)" "$(column "$3" 2)")"
}

{
	quietly "$AYNI" keygen -s key -p key.pub --no-password
	quietly "$AYNI" root new --fleet bench --key key.pub --sign key -o root.ayni
}
fresh() {
	discard store orepo
	quietly "$AYNI" init --store store --root root.ayni --branch b "${owner[@]}"
	quietly ostree init --repo=orepo --mode=$mode
	sync -f .
}
all_cores() { # COMMAND...: over all files of src
	find src -type f -print0 | xargs -0 -P "$(nproc)" -n 256 "$@" >/dev/null
}
export -f all_cores

measure() { # TREE
	discard src
	rm -f ./*.times
	cp -a "$1" src
	find src ! -type f ! -type d ! -type l -delete # devices, which ostree does not take
	want=$(fingerprint src) # and now it is in the page cache
	sync -f .
	for ((i = 1; i <= RUNS; i++)); do
		say "adopt $(tree_name "$1"), $i of $RUNS"
		timed openssl bash -c 'all_cores openssl dgst -sha256'
		timed sha256sum bash -c 'all_cores sha256sum'
		discard names
		timed names bash -c 'cp -al src names && sync -f names'
		fresh
		timed link "$AYNI" adopt b src --key key --store store --read-only-source
		[ $i != 1 ] || [ "$(fingerprint store/branches/b/current/)" = "$want" ] || bad=1
		fresh
		timed copy "$AYNI" adopt b src --key key --store store
		[ $i != 1 ] || [ "$(fingerprint store/branches/b/current/)" = "$want" ] || bad=1
		timed ocommit ostree commit --repo=orepo -b bench "${canonical[@]}" --tree=dir=src
	done
	local base=openssl
	at_most "$(column openssl 1)" "$(column sha256sum 1)" || base=sha256sum
	row "$(tree_name "$1")" "ayni" "other" "ratio"
	versus "adopt by linking, beside $base" link $base 1.30
	local limit
	limit=$(awk -v a="$(column $base 1)" -v b="$(column names 1)" 'BEGIN { printf "%.2f", a + b }')
	row "  beside hashing and cp -al, syncfs" "$(column link 1) s" "$limit s" "$(ratio "$(column link 1)" "$limit")"
	versus "adopt by copying, beside ostree commit" copy ocommit 0.50
	row "  peak memory" "$(($(column copy 3) / 1024)) MiB" "$(($(column ocommit 3) / 1024)) MiB" ""
}
for tree in "${trees[@]}"; do measure "$tree"; done
[ $bad = 0 ] || { say "a tree that was adopted does not equal its source"; exit 1; }
