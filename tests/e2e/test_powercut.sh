#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 400
# Power cuts on ext4, xfs and btrfs, a short run; the long one is `make powercut`. First the store as it is, then with a
# sync left out: that has to be noticed, or the run before it has proved nothing.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
P=$BUILD/powercut
SECONDS_EACH=${SECONDS_EACH:-14}
if [ ! -x "$P" ]; then
	echo "needs libfuse3 (packaging/deps.sh powercut, then make)"
	exit 77
fi
passed=0 failed=0 skipped=0 why=
count() { # RC WHAT
	case $1 in
	0) passed=$((passed + 1)) ;;
	77) skipped=$((skipped + 1)) why="$why$2; " ;;
	*)
		failed=$((failed + 1))
		echo "FAILED: $2"
		;;
	esac
}

# Another story each time; what fails is kept with the command that shows it again.
seed=$((RANDOM * 32768 + RANDOM))
for fs in ext4 xfs btrfs; do
	"$P" --fs $fs --seed $seed --seconds $SECONDS_EACH --states 100000 --stories 2 --keep "$BUILD/check" >"$TMPDIR/out" 2>&1
	rc=$?
	cat "$TMPDIR/out"
	count $rc "$(tail -n 1 "$TMPDIR/out")"
done

caught() { # FS SYNC: it is left out, and that is noticed
	"$P" --fs "$1" --seed $seed --mutants --only "=$2" --seconds 20 --states 400 --stories 3 >"$TMPDIR/out" 2>&1
	rc=$?
	cat "$TMPDIR/out"
	count $rc "$1 without $2: $(tail -n 1 "$TMPDIR/out")"
}
caught ext4 'switch:fsync:branches/b'
caught xfs 'collect:fdatasync:bundles/partial/*'
caught btrfs 'root:fsync:roots'
caught ext4 'apply:syncfs:...'
caught btrfs 'apply:fsync:...'
# Either does it for the other; without both it shows.
caught xfs 'adopt:fsync:tmp/staging-*|adopt:fsync:branches/d'
[ -z "$why" ] || echo "skipped: $why"
if [ $passed = 0 ] && [ $failed = 0 ]; then
	echo "${why%%; *}"
	exit 77
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
