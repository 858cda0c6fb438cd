# SPDX-License-Identifier: MIT
# What the tests of the commands have in common; sourced, after the working directory is the top folder. Each check
# counts one; a failed one is told at once and the test goes on; finish_count ends with the count line.
. tests/e2e/lib.sh
passed=0 failed=0
NODE=$T/no-node.sock # no node answers there: the one of this machine is not to be told of our stores

good() { passed=$((passed + 1)); }
bad() { # WHAT
	failed=$((failed + 1))
	echo "FAILED: $*"
	sed 's/^/    out| /' "$T/out" 2>/dev/null | head -n 10
	sed 's/^/    err| /' "$T/err" 2>/dev/null | head -n 10
}
finish_count() {
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}

# ran COMMAND...: (RAN_S seconds at most) sets rc; its output is in $T/out, its complaint in $T/err. Standard input is empty or $T/in.
ran() {
	local in=/dev/null
	[ ! -e "$T/in" ] || in=$T/in
	timeout "${RAN_S:-60}" "$@" >"$T/out" 2>"$T/err" <"$in"
	rc=$?
	rm -f "$T/in"
	case $rc in
	124) bad "took more than ${RAN_S:-60} s: $*" ;;
	13[4-9] | 12[89] | 99) bad "crashed (exit code $rc): $*" ;;
	esac
}
# expect CODE TEXT COMMAND...: the exit code, and the text (may be empty) in what it says.
expect() {
	local code=$1 text=$2
	shift 2
	ran "$@"
	if [ "$rc" = "$code" ] && { [ -z "$text" ] || grep -qF -- "$text" "$T/out" "$T/err"; }; then
		good
	else
		bad "exit code $rc; expected $code and \"$text\": $*"
	fi
}
# says TEXT...: the output of the last command has these lines or parts of lines.
says() {
	local text
	for text in "$@"; do
		if grep -qF -- "$text" "$T/out"; then good; else bad "the output has no \"$text\""; fi
	done
}
same() { # WHAT GOT WANTED
	if [ "$2" = "$3" ]; then good; else bad "$1: $2, expected $3"; fi
}
check() { # WHAT COMMAND...
	local what=$1
	shift
	if "$@"; then good; else bad "$what"; fi
}

# Is the last command's output one JSON value? By whatever there is to ask.
is_json() { # FILE
	if command -v python3 >/dev/null; then
		python3 -m json.tool "$1" >/dev/null 2>&1
	elif command -v jq >/dev/null; then
		jq -e . "$1" >/dev/null 2>&1
	else # strings out, then brackets must pair
		tr -d '\n' <"$1" | sed 's/"\([^"\\]\|\\.\)*"/s/g' | awk '{
			n = length($0)
			for (i = 1; i <= n; i++) {
				c = substr($0, i, 1)
				if (c == "{" || c == "[") stack = stack c
				if (c == "}" && !sub(/\{$/, "", stack)) exit 1
				if (c == "]" && !sub(/\[$/, "", stack)) exit 1
				if (c == "\"") exit 1
			}
			exit stack != "" || n == 0
		}'
	fi
}
# expect_json CODE "KEY": VALUE-TEXT COMMAND...
expect_json() {
	expect "$@"
	if is_json "$T/out"; then good; else bad "no JSON: ${*:3}"; fi
}

# A directory in memory, where there is that: for what does the same thing very often, and syncs each time. (A kill is
# no power cut: what was written stays either way.)
memory=
go_to_memory() {
	memory=$(mktemp -d /dev/shm/ayni-e2e.XXXXXX 2>/dev/null || mktemp -d "$T/memory.XXXXXX")
	cd "$memory" || fail "cannot use $memory"
}
trap 'rc=$?; rm -rf "$memory"; (exit $rc); cleanup' EXIT

make_keys() { # NAME...: NAME.key and NAME.pub in $T
	local n
	for n in "$@"; do
		"$AYNI" keygen -s "$T/$n.key" -p "$T/$n.pub" --no-password >/dev/null || fail "keygen $n"
	done
}

# Names, kinds, modes, targets and contents of everything in a store or repository, but for what is temporary. A
# bundle's digest as an object's name is of its bytes, so digests of all are cheap to take.
snapshot() { # DIR
	(cd "$1" && find . \( -path ./tmp/\* -o -name '.tmp-*' \) -prune -o -printf '%p %y %m %l\n' | sort &&
		find . -path ./tmp -prune -o -type f ! -name '.tmp-*' -print0 | sort -z | xargs -0 -r sha256sum) | sha256sum
}
