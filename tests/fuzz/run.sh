#!/bin/bash
# SPDX-License-Identifier: MIT
# Run libFuzzer targets for FUZZ_SECONDS each, JOBS at a time: `make fuzz` gives their paths. What they learn is
# kept in $BUILD/corpus/X, which starts with the kept inputs in tests/fuzz/corpus/X. A crash is written to
# $BUILD/crash/X/: when the bug is fixed, move it into tests/fuzz/corpus/X, where `make check` replays it for ever.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
SECONDS_EACH=${FUZZ_SECONDS:-60}

if [ "${1:-}" = --one ]; then
	x=${2##*/fuzz_}
	log=$BUILD/crash/$x.log
	mkdir -p "$BUILD/corpus/$x" "$BUILD/crash/$x"
	# Where one input costs much, small ones bring more; no decoder may ask for much memory at once.
	case $x in
	bundle) options=(-max_len=30000) ;;
	deflate | inside | recipe) options=(-max_len=4096) ;;
	*) options=() ;;
	esac
	seeds=()
	[ ! -d "tests/fuzz/corpus/$x" ] || seeds=("tests/fuzz/corpus/$x")
	# 60 s of grace: libFuzzer looks at its clock only between two inputs.
	if ASAN_OPTIONS=allocator_may_return_null=1 timeout -k 10 $((SECONDS_EACH + 60)) \
		"$2" -max_total_time="$SECONDS_EACH" -timeout=60 -rss_limit_mb=2048 -malloc_limit_mb=256 \
		-print_final_stats=1 "${options[@]}" \
		-artifact_prefix="$BUILD/crash/$x/" "$BUILD/corpus/$x" "${seeds[@]}" >"$log" 2>&1 </dev/null; then
		printf 'ok    %-28s %10s runs, %s\n' "fuzz_$x" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
			"$(grep -aoE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$log" | tail -n 1)"
		exit 0
	fi
	printf 'FAIL  fuzz_%s\n%s\n    whole log: %s\n' "$x" "$(tail -n 40 "$log" | sed 's/^/    | /')" "$log"
	exit 1
fi

if [ $# = 0 ]; then
	echo "There is no fuzz target of that name" >&2
	exit 1
fi
printf '%s\n' "$@" | xargs -d '\n' -n 1 -P "${JOBS:-$(nproc)}" "$0" --one
