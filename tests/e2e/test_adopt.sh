#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 240
# What is on the disk already: `ayni adopt` and `ayni dedupe`, on the plain file system and, as root, on ext4, xfs and
# btrfs in loop images, with writers that race.
cd "$(dirname "$0")/../.." || exit 1
# In a mount namespace of our own: whatever ends us, mounts and loop devices go with it.
if [ "$(id -u)" = 0 ] && [ -z "${AYNI_TEST_UNSHARED:-}" ] && unshare -m true 2>/dev/null; then
	AYNI_TEST_UNSHARED=1 exec unshare -m --propagation private bash "$0" "$@"
fi
. tests/e2e/cli_lib.sh
top=$PWD
cd "$T" || exit 1
me=() owner=()
[ "$(id -u)" = 0 ] || me=(--owner-me) owner=(--owner-root)
make_keys k
"$AYNI" root new --fleet t --key k.pub --sign k.key -o root >/dev/null || fail "root"

init() { # STORE
	rm -rf "$1"
	"$AYNI" init --store "$1" --root root --branch b "${me[@]}" >/dev/null || fail "init $1"
}
# Every name, kind, mode, owner, time and target in a directory, and its contents; not link counts and ctimes.
picture() { # DIR
	(cd "$1" && find . -printf '%p %y %m %U %G %T@ %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 -r sha256sum) | sha256sum
}
number() { sed -n "/\"$1\"/,/}/s/.*\"$2\": \([0-9]*\).*/\1/p" "$T/out" | head -n 1; } # OBJECT KEY
plain_number() { sed -n "s/^ *\"$1\": \([0-9]*\).*/\1/p" "$T/out" | head -n 1; }
verified() { # STORE
	expect 0 "every path is what its release says" "$AYNI" verify b --store "$1"
}
start_racer() { # ARG...
	coproc racer { perl "$top/tests/e2e/racer.pl" "$@" 2>"$T/racer.log"; }
	racing=$racer_PID
	extra_pids+=($racing)
	# Our own copies: bash forgets the names when it ends.
	exec {racer_says}<&"${racer[0]}" {racer_hears}>&"${racer[1]}"
	read -r word <&$racer_says
	[ "$word" = ready ] || bad "racer: $word"
}
end_racer() { # sets word to what it says
	exec {racer_hears}>&-
	[ -z "${racer[1]:-}" ] || eval "exec ${racer[1]}>&-"
	word=
	read -r word <&$racer_says
	exec {racer_says}<&-
	wait "$racing" 2>/dev/null
}

make_source() { # DIR
	rm -rf "$1"
	mkdir -p "$1/bin" "$1/etc" "$1/lib/deep/er" "$1/empty"
	local i
	for i in 1 2 3 4 5 6 7 8; do seq $i 7 $((i * 30000)) >"$1/lib/f$i"; done
	cp "$1/lib/f3" "$1/lib/deep/f3" && touch -r "$1/lib/f3" "$1/lib/deep/f3"
	echo su >"$1/bin/su" && chmod 4755 "$1/bin/su"
	ln "$1/lib/f1" "$1/lib/deep/er/f1-linked"
	ln -s ../lib/f1 "$1/bin/link"
	truncate -s 5M "$1/sparse" && printf x | dd of="$1/sparse" bs=1 seek=3000000 conv=notrunc 2>/dev/null
	setfattr -n user.color -v blue "$1/lib/f2" 2>/dev/null
	mkfifo "$1/etc/fifo"
	[ "$(id -u)" != 0 ] || { mknod "$1/etc/null" c 1 3 && chown 7:8 "$1/lib/f4"; }
	echo 'a b%c' >"$1/etc/odd name%"
	find "$1" -exec touch -h -d '2024-05-06 07:08:09.123' {} +
}

adopt_here() { # WHERE HOW: reflinked or copied
	local where=$1 how=$2 before files
	make_source src
	before=$(picture src)
	init s
	expect_json 0 '"serial": 1' "$AYNI" adopt b src --key "$T/k.key" --store s --name first --json
	same "$where: files that were $how" "$(number $how files)" "$(($(find src -type f | wc -l) - 2))"
	same "$where: equal ones" "$(number equal files)" 1
	verified s
	same "$where: the source" "$(picture src)" "$before"
	same "$where: names of the source's inodes" "$(find src -type f -links +2 | wc -l)" 0
	check "$where: the hole was filled" test "$(stat -c %b s/branches/b/current/sparse)" -lt 1000
	expect 0 "first" "$AYNI" list --store s
	expect 1 "has release 1" "$AYNI" adopt b src --key "$T/k.key" --store s

	init r
	expect_json 0 '"serial": 1' "$AYNI" adopt b src --key "$T/k.key" --store r --read-only-source --json
	if [ "$(id -u)" = 0 ]; then
		same "$where: linked" "$(number linked files)" "$(($(find src -type f | wc -l) - 2))"
		same "$where: one inode" "$(stat -c %i r/branches/b/current/bin/su)" "$(stat -c %i src/bin/su)"
	fi
	verified r
	same "$where: the linked source" "$(picture src)" "$before"
	if [ "$(id -u)" = 0 ]; then
		expect 0 "" "$AYNI" fsck --store r
	fi
	rm -rf r

	# Published, and a machine that is not quite the release.
	rm -rf repo
	"$AYNI" publish --repo repo --branch b --key "$T/k.key" --root "$T/root" src >/dev/null || bad "$where: publish"
	cp -a src laptop
	rm laptop/lib/f5
	mv laptop/lib/f6 laptop/moved
	printf y | dd of=laptop/lib/f7 bs=1 seek=7 conv=notrunc 2>/dev/null
	chmod 600 laptop/lib/f8
	echo own >laptop/etc/own
	before=$(picture laptop)
	init m
	expect_json 0 '"serial": 1' "$AYNI" adopt b laptop --repo repo --store m --json
	same "$where: fetched" "$(number fetched files)" 2
	same "$where: moved" "$(plain_number moved)" 1
	same "$where: changed" "$(number changed count)" 1
	same "$where: extra" "$(number extra count)" 2
	verified m
	same "$where: the laptop" "$(picture laptop)" "$before"
	expect 1 "" "$AYNI" adopt b@9 laptop --repo repo --store m
	init m
	expect 0 "is release 1" "$AYNI" adopt b@1 laptop --repo repo --store m --read-only-source
	expect 3 "b is at release 1 in m already: laptop was not looked at" "$AYNI" adopt b laptop --repo repo --store m --read-only-source
	mkdir -p other
	expect 3 "other was not looked at" "$AYNI" adopt b other --repo repo --store m
	expect 1 "has no branch c" "$AYNI" adopt c laptop --repo repo --store m
	expect 3 "" "$AYNI" adopt b@1 laptop --repo repo --store m
	verified m
	rm -rf m laptop
}

dedupe_here() { # WHERE BLOCKS: yes or no
	local where=$1 blocks=$2
	rm -rf d && mkdir -p d/x d/y/z
	head -c 3000000 /dev/urandom >d/x/one
	head -c 3000000 /dev/urandom >d/x/other # as long, but not equal
	head -c 12345 /dev/urandom >d/x/small
	cp --reflink=never -p d/x/one d/y/z/one && cp --reflink=never -p d/x/small d/y/small && ln d/y/small d/y/z/small
	cp --reflink=never -p d/x/small d/y/time && touch -d 2020-01-01 d/y/time
	local before
	before=$(picture d)
	if [ "$blocks" = yes ]; then
		expect_json 0 '"shared_files": 3' "$AYNI" dedupe d/x d/y --dry-run --json
		expect_json 0 '"shared_files": 3' "$AYNI" dedupe d/x d/y --json
		check "$where: bytes saved" test "$(plain_number saved_bytes)" -ge 3000000
		expect 3 "nothing is equal" "$AYNI" dedupe d/x d/y
	else
		expect 1 "cannot share blocks" "$AYNI" dedupe d
		expect 1 "--read-only makes equal files one" "$AYNI" dedupe d --dry-run
	fi
	same "$where: contents after blocks" "$(picture d)" "$before"
	expect 2 "lies in" "$AYNI" dedupe d d/x
	expect_json 0 '"shared_files": 2' "$AYNI" dedupe --read-only --dry-run d --json
	same "$where: contents after a dry run" "$(find d -type f -links 1 | wc -l)" 5
	exec 8>>d/y/z/one
	expect_json 0 '"shared_files": 1' "$AYNI" dedupe --read-only d --json
	same "$where: writers" "$(number writer count)" 1
	exec 8>&-
	expect_json 0 '"shared_files": 1' "$AYNI" dedupe --read-only d --json
	check "$where: bytes saved" test "$(plain_number saved_bytes)" -ge 3000000
	same "$where: contents after inodes" "$(picture d)" "$before"
	same "$where: one inode" "$(stat -c %h d/x/small)" 3
	same "$where: left-overs" "$(find d -name '.ayni-dedupe*' | wc -l)" 0
	expect 3 "another mode, owner, time or attributes: d/x/small" "$AYNI" dedupe --read-only d
	expect 0 "3 of" "$AYNI" dedupe --read-only --ignore-mtime d
	same "$where: the oldest's time" "$(stat -c %Y d/x/small)" "$(date -d 2020-01-01 +%s)"
	if [ "$(id -u)" = 0 ] && [ -d s ]; then
		expect 3 "a store" "$AYNI" dedupe --read-only --ignore-mtime s
		verified s
	fi
}

race_blocks() { # WHERE
	local i
	rm -rf q && mkdir q
	head -c 8000000 /dev/urandom >q/a
	cp --reflink=never q/a q/b && cp --reflink=never q/a q/c
	local sum
	sum=$(sha256sum <q/a)
	start_racer blocks q/b
	for i in 1 2 3 4 5 6; do
		"$AYNI" dedupe q >/dev/null 2>&1
		# So that there is something to share while it writes: the others begin as what it holds now.
		cp --reflink=never q/b q/d$i
		"$AYNI" dedupe q >/dev/null 2>&1
	done
	end_racer
	check "$1: a writer beside dedupe says: $word" [ "${word%% *}" = good ]
	same "$1: what nobody wrote to" "$(sha256sum <q/a) $(sha256sum <q/c)" "$sum $sum"
}

race_inodes() { # WHERE
	local i
	rm -rf q && mkdir q q/a q/b
	for i in $(seq 200); do
		echo "file $i of many, in two places, with some more text behind it" >q/a/$i
		cp --reflink=never -p q/a/$i q/b/$i
	done
	start_racer names q/b/*
	for i in 1 2 3; do "$AYNI" dedupe --read-only q >/dev/null 2>&1; done
	end_racer
	check "$1: a writer beside dedupe --read-only says: $word" [ "${word%% *}" = good ]
	same "$1: left-overs" "$(find q -name '.ayni-dedupe*' | wc -l)" 0
	# What is not one inode by now and was not written to is as it was.
	for i in $(seq 200); do
		[ q/a/$i -ef q/b/$i ] || grep -q "^file $i of many" q/a/$i || bad "$1: q/a/$i has another's bytes"
	done
}

# A machine that goes on working: what changes while it is read is fetched.
adopt_running() { # WHERE
	make_source src
	rm -rf repo && "$AYNI" publish --repo repo --branch b --key "$T/k.key" --root "$T/root" src >/dev/null || bad "$1: publish"
	cp -a src laptop
	init m
	start_racer touch laptop/lib/f*
	expect 0 "is release 1" "$AYNI" adopt b laptop --repo repo --store m
	end_racer
	verified m
	rm -rf m laptop
}

say "on the plain file system"
mkdir plain && cd plain && ln -s ../root ../k.key . || exit 1
make_source probe
cp --reflink=always probe/lib/f1 probe/x 2>/dev/null && how=reflinked || how=copied
adopt_here plain $how
dedupe_here plain "$([ $how = reflinked ] && echo yes || echo no)"
race_inodes plain
adopt_running plain
expect 2 "say --repo DIR" "$AYNI" adopt b src --store s
expect 2 "only one of them" "$AYNI" adopt b src --store s --repo repo --key k.key
expect 2 "a serial is for --repo" "$AYNI" adopt b@1 src --store s --key k.key
expect 2 "--mounts is refuse, skip or take" "$AYNI" adopt b src --mounts maybe --key k.key
expect 1 "cannot open nowhere" "$AYNI" adopt b nowhere --key k.key --store s
make_keys stranger
init z
expect 4 "does not have the role release" "$AYNI" adopt b src --store z --key "$T/stranger.key"
expect 2 "lies in" "$AYNI" adopt b . --store z --key k.key
expect 2 "lies in the store" "$AYNI" adopt b z/branches --store z --key k.key
check "a refused adoption left a tree" [ ! -e z/branches/b/current ]
mkdir z/../sock && perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("sock/s"))'
expect 1 "a socket cannot be shipped" "$AYNI" adopt b sock --store z --key k.key
cd "$T" && rm -rf plain

if [ -n "${AYNI_TEST_UNSHARED:-}" ]; then
	for fs in ext4 xfs btrfs; do
		command -v mkfs.$fs >/dev/null || { say "no mkfs.$fs"; continue; }
		truncate -s 400M img.$fs && mkdir -p mnt.$fs
		case $fs in
		ext4) mkfs.ext4 -q -F img.$fs ;;
		*) mkfs.$fs -q img.$fs ;;
		esac >/dev/null 2>&1
		if ! mount -o loop img.$fs mnt.$fs 2>/dev/null; then
			say "$fs cannot be mounted here"
			continue
		fi
		mounts+=("$T/mnt.$fs")
		say "on $fs"
		cd mnt.$fs && ln -s ../root ../k.key . || exit 1
		if [ $fs = ext4 ]; then
			adopt_here ext4 copied && dedupe_here ext4 no
		else
			adopt_here $fs reflinked && dedupe_here $fs yes
			race_blocks $fs
		fi
		race_inodes $fs
		adopt_running $fs

		say "on $fs: across file systems"
		cd "$T" || exit 1
		make_source away
		init mnt.$fs/e
		expect_json 0 '"serial": 1' "$AYNI" adopt b away --key k.key --store mnt.$fs/e --read-only-source --json
		same "$fs: copied across" "$(number linked files) $(number copied files)" "0 $(($(find away -type f | wc -l) - 2))"
		verified mnt.$fs/e
		rm -rf mnt.$fs/e
		mkdir mnt.$fs/inner
		echo inside >mnt.$fs/inner/file
		mkdir away/mounted && mount --bind mnt.$fs/inner away/mounted
		mounts=("$T/away/mounted" "${mounts[@]}")
		init e
		expect 2 "/mounted is another file system" "$AYNI" adopt b away --key k.key --store e
		expect 0 "is release 1" "$AYNI" adopt b away --key k.key --store e --mounts skip
		check "$fs: what is mounted inside was adopted" [ ! -e e/branches/b/current/mounted/file ]
		init e
		expect 0 "is release 1" "$AYNI" adopt b away --key k.key --store e --mounts take
		same "$fs: what is mounted inside" "$(cat e/branches/b/current/mounted/file)" inside
		umount away/mounted && rm -rf away e
		umount mnt.$fs && rm -f img.$fs
	done
else
	say "loop images need root: left out"
fi
finish_count
