# SPDX-License-Identifier: MIT
# A delta from one tree to another and one back, each applied and compared; sourced by tests/roundtrips.sh and by
# tests/e2e/test_roundtrips.sh, after tests/measure.sh, in an empty working directory. AYNI is the program.

# All that a delta of a directory must keep: what fingerprint knows, and times.
state_of() { # DIR
	{ fingerprint "$1" && (cd "$1" && find . -printf '%p %T@\n' | sort); } | sha256sum
}
declare -A state=()
state_once() { # DIR
	[ -n "${state[$1]:-}" ] || state[$1]=$(state_of "$1")
}

# trip OLD NEW [OPTION...]: 0 when what the delta gives is NEW; says in one line what it cost, or what went wrong in "why".
trip() {
	local old=$1 new=$2 owner=() rc=0
	shift 2
	[ "$(id -u)" = 0 ] || owner=(--owner-root)
	why=
	rm -f trip.delta
	if ! /usr/bin/time -q -f '%U %S' -o trip.make "$AYNI" delta make "$old" "$new" -o trip.delta "${owner[@]}" "$@" >trip.log 2>&1 </dev/null; then
		why="making: $(tail -n 1 trip.log)"
	elif ! /usr/bin/time -q -f '%U %S' -o trip.apply "$AYNI" delta apply "$old" trip.delta -o trip.new "${owner[@]}" >trip.log 2>&1 </dev/null; then
		why="applying: $(tail -n 1 trip.log)"
	else
		state_once "$new"
		[ "$(state_of trip.new)" = "${state[$new]}" ] || why="another tree: $(diff -rq --no-dereference trip.new "$new" 2>&1 | head -n 1)"
	fi
	[ -z "$why" ] || rc=1
	[ $rc = 1 ] || costs="$(stat -c %s trip.delta) bytes, made in $(cpu_of trip.make) s, applied in $(cpu_of trip.apply) s"
	chmod -R u+rwx trip.new 2>/dev/null
	rm -rf trip.new trip.delta
	return $rc
}
cpu_of() { awk '{ printf "%.1f", $1 + $2 }' "$1"; }

# there_and_back OLD NEW [OPTION...]: counts in trips_good and trips_bad.
trips_good=0 trips_bad=0
there_and_back() {
	local old=$1 new=$2 from to swap
	shift 2
	for swap in no yes; do
		[ $swap = no ] && from=$old to=$new || from=$new to=$old
		if trip "$from" "$to" "$@"; then
			echo "same    $(tree_name "$from") -> $(tree_name "$to")${*:+ $*}: $costs"
			trips_good=$((trips_good + 1))
		else
			echo "FAILED  $(tree_name "$from") -> $(tree_name "$to")${*:+ $*}: $why"
			trips_bad=$((trips_bad + 1))
		fi
	done
}
