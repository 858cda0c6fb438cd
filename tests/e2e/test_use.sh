#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# Using trees: run, mount, checkout; that a tree in use stays whole when it is removed, and goes when its last user has gone; that
# nobody who turns directories and links meanwhile leads a mount or a checkout elsewhere. As root in a mount namespace
# of its own, so that nothing is left behind; on ext4, xfs and btrfs images where they can be made. The parts of plain users
# run as one.
cd "$(dirname "$0")/../.." || exit 1
if [ "$(id -u)" = 0 ] && [ -z "${AYNI_USE_NS:-}" ] && unshare -m true 2>/dev/null; then
	AYNI_USE_NS=1 exec unshare -m --propagation private bash "$0"
fi
. tests/e2e/cli_lib.sh
umask 022
chmod 755 "$T"
skipped=0
skip() {
	skipped=$((skipped + 1))
	echo "skip: $*"
}

S=$T/s/store
B=xo/stable
releases() { # makes a repository with three releases and a store, in $T/s
	mkdir -p "$T/s/tree/bin" "$T/s/tree/etc" "$T/s/tree/proc" "$T/s/tree/tmp" "$T/s/tree/deep/er"
	(cd "$T/s" && "$AYNI" keygen -s k -p k.pub --no-password >/dev/null && "$AYNI" root new --fleet f --key k.pub --sign k -o root) \
		>/dev/null || fail "keys"
	local n owner=
	[ "$(id -u)" = 0 ] || owner=--owner-me
	"$AYNI" init --store "$S" --root "$T/s/root" --branch $B $owner >/dev/null || fail "init"
	head -c 300000 /dev/urandom >"$T/s/tree/deep/er/big"
	ln -s etc/version "$T/s/tree/link"
	for n in sh cat touch pwd; do # with their libraries, so that they run with the tree as root directory
		cp -L "$(type -P $n)" "$T/s/tree/bin/$n"
		ldd "$(type -P $n)" | grep -o '/[^ ]*' | xargs -r cp -L --parents -t "$T/s/tree"
	done
	for n in 1 2 3; do
		echo "release $n" >"$T/s/tree/etc/version"
		"$AYNI" publish --repo "$T/s/repo" --branch $B --key "$T/s/k" --root "$T/s/root" "$T/s/tree" >/dev/null || fail "publish"
		"$AYNI" import "$T/s/repo" --store "$S" --config "$T/conf" --control "$NODE" >/dev/null || fail "import $n"
	done
}
staging() { find "$S/tmp" -mindepth 1 -maxdepth 1 -name 'staging-*' | wc -l; }
trees_here() { "$AYNI" list $B --store "$S" 2>/dev/null | awk '{ print $1 == "*" ? $3 : $2 }' | paste -sd ' '; }
wait_for() { # WHAT COMMAND...: at most ten seconds
	local what=$1 i
	shift
	for ((i = 0; i < 100; i++)); do
		if "$@"; then
			good
			return 0
		fi
		sleep 0.1
	done
	bad "$what: not after 10 s"
}

run_basics() { # what any user can have
	expect 7 "release 3" "$AYNI" run --store "$S" $B -- sh -c 'cat "$AYNI_TREE/etc/version"; exit 7'
	expect 0 "release 1" "$AYNI" run --store "$S" $B@1 -- sh -c 'cat "$AYNI_TREE/link"'
	expect 0 "xo/stable 2" "$AYNI" run --store "$S" $B@2 -- sh -c 'echo $AYNI_BRANCH $AYNI_SERIAL'
	expect 1 "Read-only" "$AYNI" run --store "$S" $B -- sh -c 'touch "$AYNI_TREE/etc/version"'
	expect 1 "Read-only" "$AYNI" run --store "$S" $B -- sh -c 'chmod 777 "$AYNI_TREE/etc"'
	expect 127 "nothing-of-that-name" "$AYNI" run --store "$S" $B -- nothing-of-that-name
	expect 126 "" "$AYNI" run --store "$S" $B -- /etc/passwd
	expect 2 "" "$AYNI" run --store "$S" $B
	expect 2 "exclude" "$AYNI" run --store "$S" $B --at / --chroot -- true
	expect 1 "xo/stable 9 is not in" "$AYNI" run --store "$S" $B@9 -- true
	expect 1 "no branch" "$AYNI" run --store "$S" no/such -- true
	expect 0 "is here" "$AYNI" run --store "$S" $B --at "$T/at" -- sh -c 'test "$AYNI_TREE" = "$1" && cat "$1/etc/version" && echo is here' - "$T/at"
	expect 1 "symbolic link" "$AYNI" run --store "$S" $B --at "$T/at-link" -- true
	expect 0 "in sight of nobody" sh -c 'ls "$1"; echo in sight of nobody' - "$T/at"
	same "what the outside sees at the place" "$(ls "$T/at" | wc -l)" 0
	expect 0 "release 2" "$AYNI" run --store "$S" $B@2 --chroot -- cat /etc/version
	expect 0 "/" "$AYNI" run --store "$S" $B --chroot -- sh -c 'pwd; echo x >/tmp/x && cat /proc/self/comm'
	expect 1 "Read-only" "$AYNI" run --store "$S" $B --chroot -- touch /etc/x
	# A signal reaches the command itself, and its end is seen as the shell's.
	"$AYNI" run --store "$S" $B -- sh -c 'kill -TERM $$' 2>/dev/null
	same "killed by a signal" $? 143
}
# A user that waits until told, with the tree in sight. $T/N.* are its signs.
begin_use() { # N SERIAL [before]
	local script='echo $$ >"$1.pid"; echo >"$1.up"; while [ ! -e "$1.stop" ]; do sleep 0.05; done; cat "$AYNI_TREE/etc/version" >"$1.saw" 2>&1; cmp "$AYNI_TREE/deep/er/big" "$2" >>"$1.saw" 2>&1'
	[ -z "${3:-}" ] || script="$3; $script"
	"$AYNI" run --store "$S" $B@"$2" -- bash -c "$script" - "$T/use$1" "$T/s/tree/deep/er/big" >/dev/null 2>&1 </dev/null &
	extra_pids+=($!)
	wait_for "user $1" test -e "$T/use$1.up"
}
end_use() { # N SERIAL
	touch "$T/use$1.stop"
	wait_for "user $1 ends" sh -c 'test -s "$1" && ! kill -0 "$(cat "$2")" 2>/dev/null' - "$T/use$1.saw" "$T/use$1.pid"
	same "what user $1 saw at the end" "$(cat "$T/use$1.saw")" "release $2"
}

in_use() {
	begin_use 1 1
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "trees that can be found" "$(trees_here)" "2 3"
	same "moved aside" "$(staging)" 1
	expect 1 "is not in" "$AYNI" run --store "$S" $B@1 -- true
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "still aside" "$(staging)" 1
	end_use 1 1
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone when its user had gone" "$(staging)" 0
}

# A grandchild that became a daemon and closed every file keeps the mount; one that kept the file keeps the lock.
daemons() {
	local close='for f in /proc/self/fd/*; do f=${f##*/}; [ "$f" -le 2 ] || eval "exec $f>&-"; done'
	begin_use 2 2 "$close"
	bring_to 4
	same "moved aside with a user that closed its files" "$(staging)" 1
	end_use 2 2
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone when the daemon had gone" "$(staging)" 0
	"$AYNI" run --store "$S" $B@3 -- sh -c '(setsid sh -c "echo \$\$ >\"\$1.pid\"; while [ ! -e \"\$1.stop\" ]; do sleep 0.05; done" - "$1" >/dev/null 2>&1 &)' - "$T/use3"
	wait_for "daemon" test -s "$T/use3.pid"
	extra_pids+=("$(cat "$T/use3.pid")")
	bring_to 5
	same "moved aside with a daemon" "$(staging)" 1
	touch "$T/use3.stop"
	wait_for "the daemon ends" sh -c '! kill -0 "$(cat "$1")" 2>/dev/null' - "$T/use3.pid"
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone when the daemon had gone" "$(staging)" 0
}
bring_to() { # SERIAL: one more release, and a collection
	echo "release $1" >"$T/s/tree/etc/version"
	"$AYNI" publish --repo "$T/s/repo" --branch $B --key "$T/s/k" "$T/s/tree" >/dev/null &&
		"$AYNI" import "$T/s/repo" --store "$S" --config "$T/conf" --control "$NODE" >/dev/null || bad "release $1"
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
}

holder_of() { pgrep -f "^$AYNI (mount|checkout) --store $S" | head -n 1; }
no_holder() { [ -z "$(holder_of)" ]; }
mounting() {
	mkdir -p "$T/m"
	expect 0 "shown read-only" "$AYNI" mount --store "$S" $B@4 "$T/m"
	mounts+=("$T/m")
	same "through the mount" "$(cat "$T/m/etc/version")" "release 4"
	expect 1 "Read-only" touch "$T/m/x"
	expect 1 "" "$AYNI" mount --store "$S" $B@4 "$T/none"
	bring_to 6
	same "aside while mounted" "$(staging)" 1
	same "through the mount of a removed tree" "$(cat "$T/m/etc/version")" "release 4"
	kill -KILL "$(holder_of)" # the mount itself must do
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "aside while mounted, the holder killed" "$(staging)" 1
	same "through the mount, the holder killed" "$(cat "$T/m/deep/er/big" | cksum)" "$(cksum <"$T/s/tree/deep/er/big")"
	expect 1 "somebody works in there" sh -c 'cd "$1" && "$2" umount "$1" || exit 1' - "$T/m" "$AYNI"
	expect 0 "" "$AYNI" umount "$T/m"
	expect 3 "nothing is mounted" "$AYNI" umount "$T/m"
	for place in / //. /tmp/..; do # never over all there is; should it be, then only in there
		expect 2 "does not name a directory" unshare -m "$AYNI" mount --store "$S" $B "$place"
	done
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone after umount" "$(staging)" 0
	# umount(8): the holder notices, and deletes what waited.
	expect_json 0 '"holder"' "$AYNI" mount --store "$S" $B@5 "$T/m" --json
	bring_to 7
	same "aside while mounted" "$(staging)" 1
	check "umount(8)" umount "$T/m"
	wait_for "the holder ends" no_holder
	same "deleted by the holder" "$(staging)" 0
	mount -t tmpfs none "$T/m"
	expect 1 "no tree of ayni's" "$AYNI" umount "$T/m"
	umount "$T/m"
	expect 1 "symbolic link" "$AYNI" mount --store "$S" $B "$T/at-link"
}

checkouts() {
	local copy=$T/s/copy farm=$T/s/farm over=$T/s/over before
	before=$(snapshot "$S/branches")
	expect 0 "(writable)" "$AYNI" checkout --store "$S" $B "$copy" --writable
	check "the copy is the tree" diff -r "$S/branches/xo%2Fstable/current" "$copy"
	echo mine >"$copy/etc/version"
	rm "$copy/deep/er/big"
	expect 0 "hardlinks" "$AYNI" checkout --store "$S" $B "$farm" --hardlink
	same "an inode of both" "$(stat -c %i "$farm/deep/er/big")" "$(stat -L -c %i "$S/branches/xo%2Fstable/current/deep/er/big")"
	expect 1 "File exists" "$AYNI" checkout --store "$S" $B "$copy" --writable
	expect 2 "say how" "$AYNI" checkout --store "$S" $B "$T/x"
	for how in --writable --hardlink --overlay; do
		expect 1 "would lie in the store" "$AYNI" checkout --store "$S" $B "$S/x" $how
		expect 1 "would lie in the store" "$AYNI" checkout --store "$S" $B "$S/branches/x" $how
	done
	check "something was made in the store" [ ! -e "$S/x" ]
	expect 1 "symbolic link" "$AYNI" checkout --store "$S" $B "$T/at-link/x" --writable
	[ "$(id -u)" != 0 ] || overlays "$over"
	same "the store after all that" "$(snapshot "$S/branches")" "$before"
	expect 0 "every path" "$AYNI" verify --store "$S" $B
	same "leftovers beside" "$(find "$T/s" -maxdepth 1 -name '.tmp-*' | wc -l)" 0
	rm -rf "$copy" "$farm"
}
overlays() { # DIR
	expect 0 "(overlay)" "$AYNI" checkout --store "$S" $B "$1" --overlay
	mounts+=("$1")
	echo mine >"$1/etc/version"
	rm "$1/deep/er/big"
	same "written" "$(cat "$1/etc/version")" mine
	expect 1 "already" "$AYNI" checkout --store "$S" $B "$1" --overlay
	expect 0 "" "$AYNI" umount "$1"
	wait_for "the holder ends" no_holder
	expect 0 "(overlay)" "$AYNI" checkout --store "$S" $B "$1" --overlay
	same "written before" "$(cat "$1/etc/version")" mine
	expect 0 "" "$AYNI" umount "$1"
	wait_for "the holder ends" no_holder
	expect 1 "begin anew" "$AYNI" checkout --store "$S" $B@6 "$1" --overlay
	rm -rf "$1" "$T/s/.over.ayni"
}
overlay_in_use() {
	local over=$T/s/over
	expect 0 "(overlay)" "$AYNI" checkout --store "$S" $B@6 "$over" --overlay
	mounts+=("$over")
	bring_to 8
	kill -KILL "$(holder_of)"
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "aside below an overlay, the holder killed" "$(staging)" 1
	same "through the overlay" "$(cat "$over/etc/version")" "release 6"
	expect 0 "" "$AYNI" umount "$over"
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone after umount" "$(staging)" 0
	rm -rf "$over" "$T/s/.over.ayni"
}

# Somebody who owns the directory above turns its entries all the time: now a directory, now a link to what he wants hidden or written.
races() {
	local a=$T/attack i
	mkdir -p "$a/a" "$T/prize/sub"
	echo untouched >"$T/prize/file"
	(
		while [ ! -e "$a/stop" ]; do
			mkdir "$a/place" 2>/dev/null
			mv -T "$a/place" "$a/was" 2>/dev/null && ln -sT "$T/prize" "$a/place" 2>/dev/null
			rm -f "$a/place"
			mv -T "$a/was" "$a/place" 2>/dev/null
		done
	) >/dev/null 2>&1 &
	extra_pids+=($!)
	for ((i = 0; i < 60; i++)); do
		"$AYNI" run --store "$S" $B --at "$a/place" -- test "$(cat "$T/prize/file")" = untouched >/dev/null 2>&1
		"$AYNI" checkout --store "$S" $B "$a/place/new" --writable --no-sync >/dev/null 2>&1 && made=$((made + 1))
		if [ "$(id -u)" = 0 ]; then
			"$AYNI" mount --store "$S" $B "$a/place" >/dev/null 2>&1
			! grep -q " $T/prize " /proc/self/mountinfo || bad "mounted on the link's target"
			for m in $(awk -v a="$a/" 'index($5, a) == 1 { print $5 }' /proc/self/mountinfo); do umount -l "$m"; done
		fi
	done
	touch "$a/stop"
	wait "${extra_pids[-1]}"
	same "what the attacker was after" "$(ls "$T/prize" | paste -sd ' ') $(cat "$T/prize/file")" "file sub untouched"
	wait_for "no holder" no_holder
	rm -rf "$a"
}

on_file_system() { # TYPE SIZE OPTION...
	local type=$1
	command -v "mkfs.$type" >/dev/null || { skip "$type: no mkfs.$type"; return; }
	truncate -s "$2" "$T/$type.img"
	"mkfs.$type" -q "${@:3}" "$T/$type.img" >/dev/null 2>&1 || { skip "$type: cannot make one"; return; }
	mkdir -p "$T/s"
	mount -o loop "$T/$type.img" "$T/s" 2>/dev/null || { skip "$type: cannot mount it here"; return; }
	mounts+=("$T/s")
	chmod 755 "$T/s"
	say "on $type"
	releases
	run_basics
	in_use
	daemons
	mounting
	checkouts
	overlay_in_use
	umount "$T/s" || bad "$type: something is left in it"
	rm -f "$T/$type.img" "$T"/use*
}

as_plain_user() {
	local user
	user=$(id -u nobody 2>/dev/null) || { skip "no user nobody"; return; }
	if ! setpriv --reuid "$user" --regid "$user" --clear-groups unshare -Um true 2>/dev/null; then
		expect 1 "plain users" setpriv --reuid "$user" --regid "$user" --clear-groups "$AYNI" run --store "$S" $B -- true
		skip "run as a plain user: this kernel does not let one have a user namespace"
		return
	fi
	# He may not be able to reach the program where it was built.
	cp "$AYNI" "$T/ayni" && chmod 755 "$T/ayni"
	local prog=$AYNI
	AYNI=$T/ayni
	local plain=(setpriv --reuid "$user" --regid "$user" --clear-groups)
	expect 0 "release" "${plain[@]}" "$T/ayni" run --store "$S" $B -- sh -c 'cat "$AYNI_TREE/etc/version"'
	expect 1 "cannot touch" "${plain[@]}" "$T/ayni" run --store "$S" $B -- sh -c 'touch "$AYNI_TREE/etc/version"'
	expect 0 "$user" "${plain[@]}" "$T/ayni" run --store "$S" $B -- id -u
	expect 1 "only root" "${plain[@]}" "$T/ayni" mount --store "$S" $B "$T/at"
	mkdir "$T/his" && chown "$user" "$T/his"
	expect 0 "owners" "${plain[@]}" "$T/ayni" checkout --store "$S" $B "$T/his/copy" --writable
	same "whose the copy is" "$(stat -c %u "$T/his/copy/etc/version")" "$user"
	# His lock counts for root's collector.
	rm -f "$T"/use4*
	touch "$T/use4.pid" "$T/use4.up" && chown "$user" "$T"/use4.*
	"${plain[@]}" "$T/ayni" run --store "$S" $B -- sh -c 'echo $$ >"$1.pid"; while [ ! -e "$1.stop" ]; do sleep 0.05; done' - "$T/use4" &
	extra_pids+=($!)
	wait_for "his command" test -s "$T/use4.pid"
	AYNI=$prog
	echo "release more" >"$T/s/tree/etc/version"
	bring_to more
	bring_to evenmore
	same "aside for a plain user" "$(staging)" 1
	touch "$T/use4.stop"
	wait "${extra_pids[-1]}"
	expect 0 "" "$AYNI" gc --store "$S" --keep 1 --control "$NODE"
	same "gone after him" "$(staging)" 0
}

printf "[node]\nauto-gc = no\n" >"$T/conf"
mkdir "$T/at" && ln -s at "$T/at-link"
made=0
if [ "$(id -u)" = 0 ] && [ -n "${AYNI_USE_NS:-}" ]; then
	on_file_system ext4 64M -b 4096
	on_file_system btrfs 128M
	on_file_system xfs 320M
	rm -rf "$T/s"
	say "here, as root"
	releases
	races
	as_plain_user
else
	skip "root's parts: not root, or no mount namespaces here"
	releases
	if unshare -Um true 2>/dev/null; then
		run_basics
		in_use
	else
		skip "run: this kernel does not let a plain user have a user namespace"
	fi
	checkouts
	races
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
exit
