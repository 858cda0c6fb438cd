#!/bin/bash
# SPDX-License-Identifier: MIT
# What a second core is worth when a delta is applied: `ayni delta apply` bound to one core, then to two, wall-clock and processor
# seconds and memory of each, and whether what comes out is the new tree. Alone; `make bench` has the same of `ayni import`.
#
#   tests/bench/apply.sh                   Debian's kernel image alone (6.1.187, 6.1.190), which is packed again with a dictionary of 32 MiB
#   tests/bench/apply.sh OLD NEW [DELTA]   two directories; DELTA: made before
#   AYNI_BENCH_RUNS                        the median of so many (3)
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/bench/lib.sh
ROOT=$PWD
workplace 8192 || exit 1
if [ $# -ge 2 ]; then
	old=$(realpath "$1") new=$(realpath "$2") delta=${3:+$(realpath "$3")}
else
	mapfile -t dirs < <("$ROOT/tests/corpus.sh" kernel 6.1.187 6.1.190)
	[ ${#dirs[@]} = 2 ] || die "the kernels cannot be had: see tests/corpus.sh"
	for i in 0 1; do
		mkdir "$work/image$i"
		cp -p "$(find "${dirs[$i]}" -name 'vmlinuz-*' -type f | head -n 1)" "$work/image$i/vmlinuz" || exit 1
	done
	old=$work/image0 new=$work/image1 delta=
fi
cd "$work" || exit 1
if [ -z "${delta:-}" ]; then
	delta=$work/delta
	"$AYNI" delta make "$old" "$new" -o delta >/dev/null || die "delta make"
fi
want=$(fingerprint "$new")
timed() { # CORES: "wall processor KiB" of the median run
	local i lines=
	for ((i = 0; i < RUNS; i++)); do
		rm -rf out
		"$TIME" -q -f '%e %U %S %M' -o t taskset -c "$1" "$AYNI" delta apply "$old" "$delta" -o out >log 2>&1 ||
			{ cat log >&2; die "delta apply"; }
		[ "$(fingerprint out)" = "$want" ] || { say "what came out on cores $1 is not the new tree"; bad=1; }
		lines+=$(awk '{ print $1, $2 + $3, $4 }' t)$'\n'
	done
	sort -n <<<"${lines%$'\n'}" | sed -n "$(((RUNS + 1) / 2))p"
}
[ "$(nproc)" -ge 2 ] || die "there is one core only"
one=$(timed 0) two=$(timed 0,1)
echo "$(tree_name "$new"): $(bytes "$(stat -c %s "$delta")") for $(bytes "$(tree_bytes "$new")")"
printf '  %-10s %10s %14s %10s\n' "" wall processor memory
for n in one two; do
	read -r wall cpu kib <<<"${!n}"
	printf '  %-10s %8s s %12s s %6d MiB\n' "$n" "$wall" "$cpu" $((kib / 1024))
done
echo "  two are $(ratio "${one%% *}" "${two%% *}") times as fast as one (goal 1.60)"
exit $bad
