# SPDX-License-Identifier: MIT
# What the benches have in common; sourced, after the working directory is the top folder. $work, once it is set, is
# removed at the end, whatever happens.
. tests/measure.sh
. tests/bench/workplace.sh
AYNI=$(realpath "${AYNI:-$PWD/build/ayni}")
RUNS=${AYNI_BENCH_RUNS:-3}
TIME=/usr/bin/time
work= bad=0
cleanup() { leave_workplace; }
trap cleanup EXIT
trap 'exit 143' INT TERM HUP
die() {
	echo "bench: $*" >&2
	exit 1
}
say() { echo "bench: $*" >&2; }
