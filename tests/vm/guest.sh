#!/bin/bash
# SPDX-License-Identifier: MIT
# The first process of the machine that tests/vm/vmcheck.sh boots. One line a test on the console, which is what is believed:
#
#     VMCHECK ok|FAIL|skip NAME: N passed N failed N skipped
export PATH=/bin:/sbin LC_ALL=C TMPDIR=/tmp HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs -o mode=1777 tmp /dev/shm
mount -t tmpfs -o mode=1777,size=1200m tmp /tmp
ln -s /proc/self/fd /dev/fd
exec </dev/null
echo "VMCHECK begin"
for m in /modules/*.ko; do insmod "$m" || echo "    | cannot load $m"; done
ulimit -c 0

say() { # NAME PASSED FAILED SKIPPED [LOG]
	local word=ok
	[ "$4" = 0 ] || word=skip
	[ "$3" = 0 ] || word=FAIL
	echo "VMCHECK $word $1: $2 passed $3 failed $4 skipped"
	[ "$word" = ok ] || [ -z "${5:-}" ] || tail -n 40 "$5" | sed 's/^/    | /'
}
sum_of() { grep -aoE "^\[ +$1 +\] [0-9]+ test\(s\)" "$2" | awk '{ n += $(NF - 1) } END { print n + 0 }'; }
# Tests that damage an object by writing into it: with fs-verity the kernel does not let them, and that must be so.
refused="a_further_inode_changed_in_place_is_not_linked_again a_base_changed_in_place_is_named a_kept_file_changed_in_place_is_not_linked_on test_rotten_object test_truncated_and_missing"
unit() { # NAME FILE-SYSTEM
	local log=/tmp/log rc
	(cd /ayni && AYNI_KIT_DIR=/kit CMOCKA_MESSAGE_OUTPUT=STDOUT timeout 900 "/bin/$1" >$log 2>&1)
	rc=$?
	local p=$(sum_of PASSED $log) f=$(sum_of FAILED $log) s=$(sum_of SKIPPED $log)
	[ $rc = 0 ] || [ "$f" != 0 ] || f=1
	[ $((p + f + s)) != 0 ] || f=1
	local t
	for t in $(sed -n 's/^\[  FAILED  \] \([a-z_0-9]*\)$/\1/p' $log | sort -u); do
		case " $refused " in *" $t "*) f=$((f - 1)) p=$((p + 1)) && echo "    | $t: the kernel refuses its damage, as it should" ;; esac
	done
	say "$1 on $2" "$p" "$f" "$s" $log
}
script() { # NAME COMMAND...
	local log=/tmp/log last
	"${@:2}" >$log 2>&1
	local rc=$?
	last=$(tail -n 1 $log)
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		say "$1" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]:-0}" $log
	else
		say "$1" 0 1 0 $log
	fi
}

# ---- the whole way by the commands: adopt, publish, import; what the kernel guards; what a bad disk is answered with
passed=0 failed=0
is() { # WHAT GOT WANTED
	if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $1: '$2', expected '$3'"; fi
}
# Every object: as fsverity(1) measures it, which asks the kernel, and as its name says.
all_guarded() { # STORE
	local o bad=0 n=0
	while read -r o; do
		n=$((n + 1))
		local d=${o%.*}
		d=${d#"$1/objects/"}
		[ "$(fsverity measure "$o" 2>/dev/null | cut -d ' ' -f 1)" = "sha256:${d/\//}" ] || bad=$((bad + 1))
	done < <(find "$1/objects" -type f)
	[ $n -gt 2 ] && echo "$bad of them not"
}
commands() { # FILE-SYSTEM IMAGE
	cd /kit || return
	mkdir tree && echo "SENTENCE THAT IS NOWHERE ELSE, one" >tree/a && head -c 500000 /dev/urandom >tree/b && echo x >tree/c && chmod 4555 tree/c
	ayni keygen -s k -p k.pub --no-password >/dev/null && ayni root new --fleet f --key k.pub --sign k -o root >/dev/null
	ayni init --store s --root root --branch a/b --verity=yes >/dev/null
	is "a store that insists on verity" $? 0
	ayni publish --repo repo --branch a/b --key k --root root tree >/dev/null && ayni import repo --store s >/dev/null
	is "the first release" $? 0
	is "objects after import" "$(all_guarded s)" "0 of them not"
	# Long enough to have blocks of its own: btrfs keeps short files among its own data.
	{ echo "SENTENCE THAT IS NOWHERE ELSE, two" && head -c 40000 /dev/urandom; } >tree/d
	ayni publish --repo repo --branch a/b --key k tree >/dev/null && ayni import repo --store s >/dev/null
	is "the second release" $? 0
	is "objects after applying" "$(all_guarded s)" "0 of them not"
	# Adopted where it lies, by links: what is also somebody else's is guarded only in a store that insists.
	cp -a tree mine && ayni init --store s3 --root root --branch a/b >/dev/null
	ayni adopt a/b mine --store s3 --repo repo --read-only-source >/tmp/adopt.log 2>&1
	is "adopt, verity as it can be had" $? 0
	(echo y >>mine/d) 2>/dev/null
	is "writing into a directory that a store took by links and does not guard" $? 0
	rm -rf mine && cp -a tree mine && ayni init --store s2 --root root --branch a/b --verity=yes >/dev/null
	ayni adopt a/b mine --store s2 --repo repo --read-only-source >/tmp/adopt.log 2>&1
	is "adopt" $? 0
	is "objects after adopting" "$(all_guarded s2)" "0 of them not"
	(echo y >>mine/b) 2>/dev/null
	is "writing into what was adopted read-only" $? 1
	# As a user who writes into the store's file would: the kernel refuses.
	local o=$(find s/objects -type f | head -n 1)
	(echo y >>"$o") 2>/dev/null
	is "writing into an object" $? 1
	is "what the store is then" "$(ayni fsck --store s >/tmp/fsck.log 2>&1; echo $?)" 0
	# A checkout is the user's.
	ayni checkout a/b out --writable --store s >/dev/null && echo mine >>out/b
	is "writing into a checkout" $? 0
	# A disk that gives other bytes: behind the file system's back.
	cd / && umount /kit && sync
	local at=$(grep -abo "SENTENCE THAT IS NOWHERE ELSE, two" "$2" | cut -d : -f 1)
	[ -n "$at" ]
	is "the sentence's place on the disk" $? 0
	local a
	for a in $at; do printf 'sentence' | dd of="$2" bs=1 seek="$a" conv=notrunc 2>/dev/null; done
	mount -o loop "$2" /kit && cd /kit
	cat s/branches/*/2/root/d >/dev/null 2>&1
	is "reading a file that the disk has changed" $? 1
	ayni fsck --store s >/tmp/fsck.log 2>&1
	is "fsck of that" $? 1
	grep -q "/d" /tmp/fsck.log
	is "fsck names the path" $? 0
	cd /
}
commands_on() {
	passed=0 failed=0
	commands "$@"
	[ $failed = 0 ] || cat /tmp/fsck.log /tmp/adopt.log
	echo "$passed passed, $failed failed"
}

on() { # FILE-SYSTEM MKFS-OPTION...
	local image=/tmp/$1.img
	truncate -s 400M "$image" && "mkfs.$1" -q "${@:2}" "$image" >/tmp/log 2>&1 && mkdir -p /kit && mount -o loop "$image" /kit ||
		{ say "a file system of $1" 0 1 0 /tmp/log; return; }
	local t
	for t in test_verity test_object test_apply test_adopt test_gc test_fsck; do unit $t "$1"; done
	script "commands on $1" commands_on "$1" "$image"
	cd /
	umount /kit
	rm -f "$image"
}
on ext4 -O verity -b 4096
on btrfs
script "e2e/test_use.sh" env AYNI=/bin/ayni timeout 1200 bash /ayni/tests/e2e/test_use.sh
echo "VMCHECK end"
sync
echo o >/proc/sysrq-trigger
sleep 10
