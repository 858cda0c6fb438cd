#!/bin/bash
# SPDX-License-Identifier: MIT
# The house's rules that a machine can check. Every violation is one line "FILE[:LINE]: RULE: what is wrong";
# exit code 1 when there is one. "warning:" lines only tell.
#
#   lint.sh [--fast] [DIR]     --fast: without clang-tidy
#
# From the environment: BUILD (with the archives of the rooms; those not there are not looked into), CC, CLANG,
# PKG_CFLAGS, JOBS. tests/lint/test_lint.sh shows of each rule that it bites.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
fast=
if [ "${1:-}" = --fast ]; then
	fast=1
	shift
fi
cd "${1:-.}" || exit 2
BUILD=${BUILD:-build}
CC=${CC:-gcc}
CLANG=${CLANG:-clang}
JOBS=${JOBS:-$(nproc)}
macros=$(mktemp)
trap 'rm -f "$macros"' EXIT
echo '#define AYNI_VERSION "0"' >"$macros"
CPPFLAGS="-std=gnu11 -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -imacros $macros ${PKG_CFLAGS:-}"
WARN="-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef -Wpointer-arith
	-Wcast-qual -Wwrite-strings -Wimplicit-fallthrough -Werror"
ROOMS="base manifest diff store proto node sim"
export CC CLANG CPPFLAGS WARN here

# What a room may include besides itself.
may_use() {
	case $1 in
	base) ;;
	manifest) echo base ;;
	diff) echo manifest base ;;
	store) echo diff manifest base ;;
	proto) echo manifest base ;;
	node | sim) echo proto store diff manifest base ;;
	esac
}

mapfile -t files < <(find $ROOMS tests -name '*.[ch]' 2>/dev/null | sort)
mapfile -t room_files < <(find $ROOMS -name '*.[ch]' 2>/dev/null | sort)
mapfile -t headers < <(printf '%s\n' "${files[@]}" | grep '\.h$')
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep '\.c$')

# FILE... CODE: run CODE with $1 = FILE, JOBS at a time; each writes at once, so that lines do not mix.
each() {
	local code=${!#}
	[ $# -gt 1 ] || return 0
	printf '%s\n' "${@:1:$#-1}" | xargs -d '\n' -P "$JOBS" -n 1 sh -c 'said=$('"$code"')
		[ -z "$said" ] || printf "%s\n" "$said"' each
}

# FILE LINE KIND NAME for each #include; KIND is " or <.
includes() {
	awk -v keep=1 -f "$here/strip.awk" "${files[@]}" |
		sed -nE 's/^([^:]+):([0-9]+): *# *include *(["<])([^">]+)[">].*/\1 \2 \3 \4/p'
}

rule_first_lines() {
	local f
	for f in "${files[@]}"; do
		[ "$(head -n 1 "$f")" = '/* SPDX-License-Identifier: MIT */' ] ||
			echo "$f:1: first-lines: does not begin with /* SPDX-License-Identifier: MIT */"
		[[ $(sed -n 2p "$f") == /\** ]] ||
			echo "$f:2: first-lines: no comment that says what the file is about"
	done
}

rule_layers() {
	local file line kind name room to
	includes | while read -r file line kind name; do
		room=${file%%/*}
		to=${name%%/*}
		[ "$room" != tests ] || continue
		if [ "$kind" = '"' ]; then
			[ -e "$name" ] || echo "$file:$line: layers: \"$name\" is not a path from the top folder"
			case " $room $(may_use "$room") " in
			*" $to "*) ;;
			*) echo "$file:$line: layers: $room/ may not include $name (only: $room $(may_use "$room"))" ;;
			esac
		elif [ "$room" = proto ]; then
			case $name in
			assert.h | ctype.h | errno.h | inttypes.h | limits.h | math.h | sodium.h | stdalign.h | stdarg.h | \
				stdbool.h | stddef.h | stdint.h | stdio.h | stdlib.h | string.h | sys/types.h) ;;
			*) echo "$file:$line: layers: proto/ includes <$name>; it has no I/O, clock or randomness" ;;
			esac
		fi
	done
}

rule_cycles() {
	local loop
	loop=$(includes | awk '$1 ~ /\.h$/ && $3 == "\"" { print $1, $4 }' | tsort 2>&1 >/dev/null |
		sed -n 's/^tsort: \([^:]*\)$/\1/p' | paste -sd ' ')
	[ -z "$loop" ] || echo "${loop%% *}: cycles: headers include each other: $loop"
}

rule_banned() {
	local always='strcpy|strcat|stpcpy|sprintf|vsprintf|gets|tmpnam|tempnam|mktemp|alloca|strncat'
	local rooms="$always|strncpy|strtok|atoi|atol|atoll|atof|system|popen|rand|srand|random|srandom|drand48"
	local f list
	for f in "${files[@]}"; do
		case $f in tests/*) list=$always ;; *) list=$rooms ;; esac
		# A member or a longer name is no call of it.
		awk -f "$here/strip.awk" "$f" | grep -E "(^|[^A-Za-z0-9_.>])($list)[[:space:]]*\(" |
			sed -E "s/^([^:]+:[0-9]+):(.*[^A-Za-z0-9_.>])?($list)[[:space:]]*\(.*/\1: banned: \3() has a safe counterpart/"
	done
}

# A function begins and ends with a brace in the first column, as .clang-format writes it.
rule_sizes() {
	awk '
	function over(n, soft, hard, what) {
		if (n > hard)
			print what " has " n " lines, at most " hard
		else if (n > soft)
			print "warning: " what " has " n " lines, better " soft
	}
	FNR == 1 && NR > 1 { over(last, 600, 700, file ": sizes: the file") }
	{ file = FILENAME; last = FNR }
	/^{/ { start = FNR; name = before }
	/^}/ && start { over(FNR - start + 1, 70, 100, FILENAME ":" start ": sizes: function " name); start = 0 }
	/^[A-Za-z_].*\(/ { before = $0; sub(/\(.*/, "", before); sub(/.*[ *]/, "", before) }
	END { over(last, 600, 700, file ": sizes: the file") }' "${files[@]}"
}

rule_format() {
	if ! command -v clang-format >/dev/null; then
		echo "clang-format: format: is not installed (make deps)"
		return
	fi
	each "${files[@]}" 'clang-format --style=file --dry-run -Werror "$1" 2>&1 |
		sed -nE "s/^[^:]+:([0-9]+):[0-9]+: error: .*/\1/p" | awk -v f="$1" "
			NR == 1 { first = \$0 }
			END { if (NR) print f \":\" first \": format: not as .clang-format wants it, \" NR \" times (make format)\" }"'
}

# Twice, so that a missing include guard shows too.
rule_headers_alone() {
	each "${headers[@]}" 'printf "#include \"%s\"\n#include \"%s\"\n" "$1" "$1" |
		$CC $CPPFLAGS $WARN -fsyntax-only -x c - >/dev/null 2>&1 ||
		echo "$1: headers: does not compile alone, or not twice"'
}

# gcc compiles all in the build; this is the second opinion.
rule_clang() {
	if ! command -v "$CLANG" >/dev/null; then
		echo "$CLANG: clang: is not installed (make deps)"
		return
	fi
	each "${sources[@]}" '$CLANG $CPPFLAGS $WARN -fsyntax-only "$1" 2>&1 |
		sed -nE "s/^([^:]+:[0-9]+):[0-9]+: (error|fatal error): (.*)/\1: clang: \3/p"'
}

# What proto's objects call must be on the list, whatever they include.
rule_pure() {
	[ -e "$BUILD/libproto.a" ] || return 0
	local allow deny again object symbol
	allow=$(grep -v '^[#!]' "$here/pure-symbols.txt" | paste -sd '|')
	deny=$(sed -n 's/^!//p' "$here/pure-symbols.txt" | paste -sd '|')
	again='crypto_[a-z0-9_]*seed_keypair'
	nm -uA "$BUILD/libproto.a" 2>/dev/null | awk '{ n = split($1, p, ":"); print p[n - 1] " " $NF }' |
		while read -r object symbol; do
			if ! [[ $symbol =~ ^($allow)$ ]] || { [[ $symbol =~ ^($deny)$ ]] && ! [[ $symbol =~ ^($again)$ ]]; }; then
				echo "proto/${object%.o}.c: pure: calls $symbol, which is not on the list in tests/lint/pure-symbols.txt"
			fi
		done
}

# Two nodes must be able to live in one process, so only node/ may have variables of its own.
rule_globals() {
	local room allowed
	allowed=$(grep -v '^#' "$here/allowed-globals.txt" | tr '\n' ' ')
	for room in $ROOMS; do
		[ "$room" != node ] && [ -e "$BUILD/lib$room.a" ] || continue
		objdump -t "$BUILD/lib$room.a" 2>/dev/null | awk -v room="$room" -v allowed=" $allowed" '
			/:     file format/ { object = $1; sub(/:$/, "", object); sub(/\.o$/, ".c", object) }
			{
				for (i = 1; i < NF; i++)
					if ($i ~ /^\.(data|bss)(\.|$)/ && $i !~ /^\.data\.rel\.ro/ && $(i + 1) !~ /^0+$/ && $NF !~ /^\./) {
						name = $NF
						sub(/\.[0-9]+$/, "", name)
						where = room "/" object
						if (!index(allowed, " " where ":" name " "))
							print where ": globals: " name " can change (only node/ may have such)"
					}
			}'
	done
}

rule_tidy() {
	if ! command -v clang-tidy >/dev/null; then
		echo "clang-tidy: tidy: is not installed (make deps)"
		return
	fi
	# Leaks are the sanitizer's to find: this clang's analyzer does not know __attribute__((cleanup)).
	each $(printf '%s\n' "${sources[@]}" | grep -v '^tests/') '
		more=
		[ "$1" = base/error.c ] || [ ! -e tests/lint/analyzer.h ] || more="-include tests/lint/analyzer.h"
		clang-tidy --quiet --config-file="$here/clang-tidy.yml" "$1" -- $CPPFLAGS $more 2>/dev/null |
		sed -nE "s/^([^:]+:[0-9]+):[0-9]+: (error|warning): (.*)/\1: tidy: \3/p" |
		grep -vE "tidy: Potential (leak of memory|memory leak)" | sed "s,^$PWD/,,"' | sort -u
}

rules="first_lines layers cycles banned sizes format headers_alone clang pure globals"
[ -n "$fast" ] || rules="$rules tidy"
found=0
for rule in $rules; do
	said=$(rule_$rule)
	[ -n "$said" ] || continue
	printf '%s\n' "$said"
	found=$((found + $(grep -vc '^warning: ' <<<"$said")))
done
if [ $found != 0 ]; then
	echo "lint: $found violations in ${#files[@]} files"
	exit 1
fi
echo "lint: ${#files[@]} files are as they should be"
