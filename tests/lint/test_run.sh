#!/bin/bash
# SPDX-License-Identifier: MIT
# The test runner's own test: whatever a test program does, the count is right and a failure is a failure.
# A house of stubs: "programs" are shell scripts, and make copies them to where binaries would be.
set -u
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
failed=0
passed=0

house() {
	rm -rf "$T/house"
	mkdir -p "$T/house/packaging" "$T"/house/tests/{unit/base,fuzz/base,e2e,lint}
	cp "$here/../run.sh" "$T/house/tests/"
	cd "$T/house" || exit 1
	printf '#!/bin/sh\nexit 0\n' >packaging/deps.sh
	chmod +x packaging/deps.sh
	cat >Makefile <<-'END'
		.RECIPEPREFIX = >
		B = $(BUILD)$(if $(SANITIZE),/address-undefined)
		all programs tests replays:
		>@mkdir -p $(B)/tests/unit/base $(B)/replay/base
		>@for f in tests/unit/base/*.c; do [ ! -e "$$f" ] || install $$f $(B)/$${f%.c}; done
		>@for f in tests/fuzz/base/*.c; do [ ! -e "$$f" ] || install $$f $(B)/replay/base/$$(basename $$f .c); done
		>@[ ! -e broken ]
		lint-fast:
		>@true
	END
}

unit() { { echo '#!/bin/sh' && cat; } >"tests/unit/base/test_$1.c"; }
e2e() { { echo '#!/bin/sh' && cat; } >"tests/e2e/test_$1.sh"; }
good() { unit "${1:-good}" <<<'echo "[  PASSED  ] 3 test(s)." >&2'; }

# EXPECTED-LAST-LINE EXPECTED-EXIT-CODE [PATTERN of a line that must be there] [MASK]
expect() {
	local rc
	BUILD=build TEST=${4:-} JOBS=2 MAKE='make --no-print-directory' tests/run.sh >"$T/out" 2>&1
	rc=$?
	if [ "$(tail -n 1 "$T/out")" = "$1" ] && [ $rc = "$2" ] && grep -Eq "${3:-.}" "$T/out"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: expected '$1', exit code $2${3:+, a line like $3}; got exit code $rc and"
		sed 's/^/    /' "$T/out"
	fi
	house
}

house
# Each unit test runs twice, plain and sanitized; lint counts one.
good
expect '7 passed, 0 failed' 0 '^ok    san/unit/base/test_good'
good
unit bad <<<'echo "[  PASSED  ] 2 test(s)." >&2; echo "[  FAILED  ] 1 test(s), listed below:"; exit 1'
expect '11 passed, 2 failed' 1 '^FAIL  unit/base/test_bad '
unit two <<<'for i in 1 2; do echo "[  PASSED  ] $i test(s)."; done'
expect '7 passed, 0 failed' 0
good
unit crash <<<'echo "[       OK ] a"; kill -ABRT $$'
expect '7 passed, 2 failed' 1 'test_crash .*killed by signal 6'
good
unit late <<<'echo "[  PASSED  ] 1 test(s)."; kill -SEGV $$'
expect '9 passed, 2 failed' 1 'test_late .*killed by signal 11'
good
unit silent <<<'exit 0'
expect '7 passed, 2 failed' 1 'test_silent .*no summary'
good
unit skip <<<'echo "skip: no radio"; echo "[  PASSED  ] 1 test(s)."; echo "[  SKIPPED ] 1 test(s), listed below:"'
expect '9 passed, 0 failed, 2 skipped' 0 '^skip  unit/base/test_skip .*SKIPPED: no radio'
# Nothing that passed is not a success.
expect '0 passed, 0 failed' 1 . no-such-test
good
good other
expect '6 passed, 0 failed' 0 . test_other
good
good other
expect '3 passed, 0 failed' 0 . 'unit/*/test_oth??'
good
touch broken
expect '7 passed, 1 failed' 1 '^FAIL  build'

echo '#!/bin/sh' >tests/fuzz/base/fuzz_x.c
expect '3 passed, 0 failed' 0 '^ok    replay/base/fuzz_x'
printf '#!/bin/sh\nexit 1\n' >tests/fuzz/base/fuzz_x.c
expect '1 passed, 2 failed' 1 '^FAIL  san/replay/base/fuzz_x'

mkdir -p sim build/address-undefined
touch sim/main.c
printf '#!/bin/sh\n[ "$*" = "--seeds 200" ] || [ "$*" = "--slow --seeds 60" ]\n' >build/ayni-sim
printf '#!/bin/sh\n[ "$*" = "--seeds 20" ]\n' >build/address-undefined/ayni-sim
chmod +x build/ayni-sim build/address-undefined/ayni-sim
expect '4 passed, 0 failed' 0 '^ok    san/sim/seeds'

e2e good <<<'test -d "$TMPDIR" && test -n "$AYNI"'
expect '2 passed, 0 failed' 0 '^ok    e2e/test_good.sh'
e2e bad <<<'echo reason; exit 3'
expect '1 passed, 1 failed' 1 '^    . reason'
e2e skip <<<'echo no namespaces here; exit 77'
expect '1 passed, 0 failed, 1 skipped' 0 'SKIPPED: no namespaces here'
e2e counts <<<'echo 5 passed, 0 failed, 2 skipped'
expect '6 passed, 0 failed, 2 skipped' 0
e2e counts <<<'echo 5 passed, 0 failed; exit 1'
expect '6 passed, 1 failed' 1
printf '# timeout: 1\nsleep 300\n' | e2e slow
expect '1 passed, 1 failed' 1 'timed out after 1 s'
e2e leaves <<<'sleep 300 & exit 0'
expect '2 passed, 1 failed' 1 'left processes behind'

printf '#!/bin/sh\nexit 1\n' >packaging/deps.sh
expect '0 passed, 1 failed' 1

echo "$passed passed, $failed failed"
[ $failed = 0 ]
