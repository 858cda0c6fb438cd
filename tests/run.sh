#!/bin/bash
# SPDX-License-Identifier: MIT
# What `make check` runs: build everything, then every test with a time limit and a log of its own, then one line:
#
#     N passed, N failed[, N skipped]
#
# A test's name is its path below tests/ (unit/base/test_digest, e2e/test_update.sh), "san/" before it when it
# runs under ASan and UBSan, replay/ROOM/fuzz_X for a fuzz target fed with its kept inputs. TEST=mask picks by a
# part of the name, or by a shell pattern. What a program proves depends on its kind:
#
#     unit story fault san/...   cmocka's own counts; a crash, a time-out or no summary is one failure more
#     replay                     one test: all kept inputs and some damage of each went through
#     e2e lint sim               exit code 0 passed, 77 skipped (the last line says why), else failed; or, when
#                                the last line is itself a count line, that
#
# Results lie in $BUILD/check: NAME.log, NAME.res ("passed failed skipped seconds note").
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
BUILD=$(realpath -m "${BUILD:-build}")
TEST=${TEST:-}
JOBS=${JOBS:-$(nproc)}
MAKE=${MAKE:-make}
SANITIZERS=address,undefined
SAN=$BUILD/${SANITIZERS//,/-}
OUT=$BUILD/check
export BUILD TEST

# Seconds; a sanitized program gets three times as long. An e2e script may ask for more: "# timeout: 600".
limit_of() {
	local limit
	case $1 in
	san/*) limit=$(($(limit_of "${1#san/}") * 3)) ;;
	unit/* | story/* | replay/*) limit=120 ;;
	e2e/*) limit=$(sed -n 's/^# timeout: \([0-9]*\)$/\1/p' "tests/$1" | head -n 1) ;;
	sim/*) limit=1200 ;; # 200 seeds take a minute on two quiet cores
	*) limit=400 ;;
	esac
	echo "${limit:-240}"
}

# The words of the command that runs a test, one a line.
command_of() {
	local bin=$BUILD name=$1
	case $name in san/*) bin=$SAN name=${name#san/} ;; esac
	case $name in
	unit/* | story/* | fault/*) echo "$bin/tests/$name" ;;
	replay/*)
		echo "$bin/$name"
		local corpus=tests/fuzz/corpus/${name##*/fuzz_}
		[ ! -d "$corpus" ] || echo "$corpus"
		;;
	sim/seeds) printf '%s\n' "$bin/ayni-sim" --seeds $([ "$bin" = "$SAN" ] && echo 20 || echo 200) ;;
	sim/slow) printf '%s\n' "$bin/ayni-sim" --slow --seeds 60 ;;
	lint/layers-and-more) printf '%s\n' make --no-print-directory BUILD="$BUILD" lint-fast ;;
	*) printf '%s\n' bash "tests/$name" ;;
	esac
}

# Processes that still carry the mark of a test that has ended: it did not clean up. Those that are just
# being reaped get a second.
left_behind() {
	local i
	for i in 1 2 3 4 5; do
		[ -n "$(marked "$1")" ] || return 0
		sleep 0.2
	done
	marked "$1"
}
marked() {
	local e
	for e in /proc/[0-9]*/environ; do
		if grep -qzx "AYNI_TEST_ID=$1" "$e" 2>/dev/null; then
			e=${e#/proc/}
			e=${e%/environ}
			[ "$e" = $$ ] || [ "$e" = $BASHPID ] || echo "$e"
		fi
	done
}

sum_of() { # WORD LOG: the sum of cmocka's "[  WORD  ] N test(s)" lines
	grep -aoE "^\[ +$1 +\] [0-9]+ test\(s\)" "$2" | awk '{ n += $(NF - 1) } END { print n + 0 }'
}

# Sets passed, failed, skipped, note from exit code and log.
judge() { # NAME RC LOG
	local name=$1 rc=$2 log=$3 last
	passed=0 failed=0 skipped=0 note=
	last=$(grep -av '^[[:space:]]*$' "$log" | tail -n 1)
	case $rc in
	124 | 137) note="timed out after $(limit_of "$name") s" ;;
	126 | 127) note="could not be run" ;;
	12[89] | 1[3-9]?) note="killed by signal $((rc - 128))" ;;
	esac
	case $name in
	unit/* | story/* | fault/* | san/unit/* | san/story/* | san/fault/*)
		passed=$(sum_of PASSED "$log") failed=$(sum_of FAILED "$log") skipped=$(sum_of SKIPPED "$log")
		if [ $((passed + failed + skipped)) = 0 ]; then
			failed=1 note=${note:-no summary, exit code $rc}
		elif [ "$rc" != 0 ] && [ "$failed" = 0 ]; then
			failed=1 note=${note:-exit code $rc although no test failed}
		elif [ "$rc" = 0 ] && [ "$failed" != 0 ]; then
			note="exit code 0 although tests failed"
		fi
		if [ "$skipped" != 0 ] && [ "$failed" = 0 ]; then
			note=$(grep -aoiE '^skip(ped)?: .*' "$log" | sed 's/^[^:]*: //' | sort -u | paste -sd '|')
		fi
		;;
	*)
		if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
			passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[4]:-0}
			[ "$rc" = 0 ] || [ "$failed" != 0 ] || failed=1
			[ $((passed + failed + skipped)) != 0 ] || failed=1
		elif [ "$rc" = 0 ]; then
			passed=1
		elif [ "$rc" = 77 ]; then
			skipped=1 note=$last
		else
			failed=1 note=${note:-exit code $rc}
		fi
		;;
	esac
}

run_one() {
	local name=$1 log=$OUT/$1.log rc start tmp left p
	local passed failed skipped note words
	mkdir -p "${log%/*}"
	mapfile -t words < <(command_of "$name")
	# Short, because a Unix socket's path has room for 107 bytes.
	tmp=$(mktemp -d /tmp/ayni-t.XXXXXX) || exit 1
	chmod 711 "$tmp" # tests of root's become plain users, who must get through to what is made for them
	start=$EPOCHREALTIME
	{ # the shell's own "Aborted" goes nowhere; judge() says it
		AYNI_TEST_ID=$tmp TMPDIR=$tmp AYNI=$BUILD/ayni AYNI_SIM=$BUILD/ayni-sim CMOCKA_MESSAGE_OUTPUT=STDOUT \
			ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1 \
			UBSAN_OPTIONS=print_stacktrace=1 MAKEFLAGS= MAKELEVEL= \
			timeout -k 10 "$(limit_of "$name")" "${words[@]}" >"$log" 2>&1 </dev/null
		rc=$?
	} 2>/dev/null
	judge "$name" $rc "$log"
	left=
	case $name in e2e/*) left=$(left_behind "$tmp") ;; esac
	if [ -n "$left" ]; then
		note="${note:+$note, }left processes behind"
		failed=$((failed + 1))
		for p in $left; do
			tr '\0' ' ' <"/proc/$p/cmdline" >>"$log" 2>/dev/null
			echo "(process $p left behind, killed)" >>"$log"
			kill -KILL "$p" 2>/dev/null
		done
	fi
	chmod -R u+rwx "$tmp" 2>/dev/null
	rm -rf "$tmp"
	printf '%s %s %s %s %s\n' "$passed" "$failed" "$skipped" \
		"$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')" "$note" >"$OUT/$name.res"
	report "$name"
}

# One printf per test, so that lines of parallel tests do not mix.
report() {
	local name=$1 log=$OUT/$1.log passed failed skipped secs note text
	read -r passed failed skipped secs note <"$OUT/$name.res"
	if [ "$failed" != 0 ]; then
		text=$(printf 'FAIL  %-44s %4s s  %s passed, %s failed: %s' "$name" "$secs" "$passed" "$failed" "$note")
		text+=$(grep -aE '\[ +(ERROR|LINE|FAILED) +\]|ERROR: |runtime error' "$log" | head -n 40 | sed 's/^/    ! /; 1s/^/\n/')
		text+=$(tail -n 80 "$log" | sed 's/^/    | /; 1s/^/\n/')
		text+=$'\n'"    whole log: $log"
	elif [ "$skipped" != 0 ]; then
		text=$(printf 'skip  %-44s %4s s  %s passed, %s SKIPPED: %s' "$name" "$secs" "$passed" "$skipped" \
			"${note:-no reason given}")
	else
		text=$(printf 'ok    %-44s %4s s  %s passed' "$name" "$secs" "$passed")
	fi
	printf '%s\n' "$text"
}

if [ "${1:-}" = --one ]; then
	run_one "$2"
	exit 0
fi

chosen() {
	case $TEST in
	*[*?]*) [[ $1 == $TEST ]] ;;
	*) [[ $1 == *"$TEST"* ]] ;;
	esac
}

list() { # FILE...: names below tests/, without .c
	local f
	for f in "$@"; do
		[ -e "$f" ] || continue
		f=${f#tests/}
		echo "${f%.c}"
	done
}

names() {
	local n cmocka replays
	echo lint/layers-and-more
	list tests/lint/test_*.sh
	cmocka=$(list tests/unit/*/test_*.c tests/story/*/test_*.c tests/fault/*/test_*.c)
	replays=$(list tests/fuzz/*/fuzz_*.c | sed 's,^fuzz/,replay/,')
	# The long ones first, so that no core idles at the end.
	[ ! -e sim/main.c ] || printf '%s\n' sim/seeds sim/slow san/sim/seeds
	for n in $cmocka $replays; do echo "san/$n"; done
	for n in $cmocka $replays; do echo "$n"; done
}

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", b - a }'; }
times=
timed() { # LABEL COMMAND...: remembers how long it took
	local label=$1 start=$EPOCHREALTIME rc
	shift
	"$@"
	rc=$?
	times+="${times:+, }$label $(seconds_since "$start") s"
	return $rc
}

finish() { # adds up what lies in $OUT
	find "$OUT" -name '*.res' -exec cat {} + | awk -v more="$1" '
		{ p += $1; f += $2; s += $3 }
		END { f += more; printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : "" }' >"$OUT/count"
	[ -z "$times" ] || echo "($times)"
	cat "$OUT/count"
	grep -q '^[1-9][0-9]* passed, 0 failed' "$OUT/count"
	exit
}

rm -rf "$OUT"
mkdir -p "$OUT" || exit 1
packaging/deps.sh build check || finish 1

# What make is to build for the mask: its last part, since "san" and "replay" are no source folders.
mask=${TEST##*/}
case $mask in san | replay) mask= ;; esac

# -k: what does build is tested all the same; what does not is one failure here and one at each test it lacks.
broken=0
timed "build" $MAKE -k WERROR=1 BUILD="$BUILD" TEST="$mask" all || broken=1
timed "sanitized build" $MAKE -k WERROR=1 BUILD="$BUILD" TEST="$mask" SANITIZE="$SANITIZERS" programs tests replays || broken=1
[ $broken = 0 ] || echo "FAIL  build"

parallel=() serial=()
for name in $(names); do
	if chosen "$name"; then parallel+=("$name"); fi
done
for name in $(list tests/e2e/test_*.sh); do
	if chosen "$name"; then serial+=("$name"); fi
done
run_parallel() { printf '%s\n' "${parallel[@]}" | xargs -r -d '\n' -n 1 -P "$JOBS" "$0" --one; }
# Real processes with real timers, one test at a time: elsewhere's load must not decide the outcome.
run_serial() { for name in "${serial[@]}"; do "$0" --one "$name"; done; }
[ ${#parallel[@]} = 0 ] || timed "tests" run_parallel
[ ${#serial[@]} = 0 ] || timed "e2e" run_serial
finish $broken
