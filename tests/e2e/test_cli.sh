#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# The publisher's and the laptop's whole life at the command line, without a network: keys, roots, releases, sticks,
# rollback; every command's help, exit codes and JSON; publishing killed at each change of the disk.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
GOLDEN=$PWD/tests/golden

COMMANDS="keygen root publish init adopt dedupe update status import list log rollback gc verify fsck branch node show switch confirm boot-count pin unpin run mount umount checkout delta diff"
me=()
[ "$(id -u)" = 0 ] || me=(--owner-me)
# As somebody who is not root. Of setpriv's user nothing is ours, so $T must let it in.
chmod 755 "$T"
plain=()
[ "$(id -u)" != 0 ] || plain=(setpriv --reuid=65534 --regid=65534 --clear-groups)

say "help, version, usage"
expect 2 "Usage: ayni COMMAND" "$AYNI"
expect 0 "Usage: ayni COMMAND" "$AYNI" --help
for c in $COMMANDS; do says "  $c "; done
expect 0 "ayni " "$AYNI" --version
for c in $COMMANDS; do
	expect 0 "Usage: ayni $c" "$AYNI" "$c" --help
	same "complaints of $c --help" "$(cat "$T/err")" ""
	expect 0 "Usage: ayni $c" "$AYNI" help "$c"
	expect 2 "unknown option --no-such-option (see \`ayni $c --help\`)" "$AYNI" $c $([ $c != root ] || echo new) --no-such-option
	expect 2 "unknown option -?" "$AYNI" $c $([ $c != root ] || echo new) -?
done
expect 2 "did you mean \`ayni publish\`?" "$AYNI" pubilsh
expect 2 "\`ayni --help\` lists them" "$AYNI" frobnicate
expect 2 "there is no command" "$AYNI" help frobnicate
expect 2 "there is no command \"\"" "$AYNI" ""
expect 2 "option --store needs a value" "$AYNI" list --store
expect 2 "option -s needs a value" "$AYNI" list -s
expect 2 "option --json takes no value" "$AYNI" list --json=yes
expect 2 "may mean several" "$AYNI" publish --no=1
expect 2 "say which branch" "$AYNI" log
expect 2 "too many arguments" "$AYNI" list a b
expect 2 "unknown option --keep" "$AYNI" list --keep 3
expect 2 "--keep must be a number from 1" "$AYNI" gc --keep 0
expect 2 "not \"3x\"" "$AYNI" gc --keep 3x
expect 2 "not \"-1\"" "$AYNI" gc --keep=-1
expect 2 "\"Xo\" is no branch name" "$AYNI" log Xo
expect 2 "the serial must be a number" "$AYNI" rollback xo/stable@0
expect 2 "one serial is enough" "$AYNI" rollback xo/stable@1 1
expect 2 "say which: root new" "$AYNI" root
expect 2 "say which: root new" "$AYNI" root old
worker=(--store=/s --branch=b --serial=1 --release= --offer= --bundle=)
worker=("${worker[@]/%=/=$(printf '0%.0s' {1..64})}")
for i in "${!worker[@]}"; do
	expect 2 "apply-worker is started by the node" "$AYNI" apply-worker "${worker[@]:0:i}" "${worker[@]:i+1}"
done
# (before anything is written there)
expect 1 "$T/nowhere: no store there: \`ayni init\` makes one" "$AYNI" list --store "$T/nowhere"

say "completion"
complete_words() { # WORD...: what bash would propose for the last one
	(
		. packaging/ayni.bash-completion
		COMP_WORDS=("$AYNI" "$@") COMP_CWORD=$#
		_ayni
		echo "${COMPREPLY[*]}"
	)
}
same "completion of pub" "$(complete_words pub)" publish
same "completion of an option" "$(complete_words gc --k)" --keep
same "completion of root" "$(complete_words root "")" new
same "completion of delta" "$(complete_words delta m)" make
same "completion of a technique" "$(complete_words delta make a b --without ma)" mask
same "completion of a second one" "$(complete_words delta make a b --without elf,ma)" elf,mask
for c in $COMMANDS; do
	check "nothing completes an option of $c" test -n "$(complete_words "$c" --)"
done

say "keys and roots"
cd "$T" || exit 1
make_keys root1 root2 root3 release release2 head other
expect 1 "root1.key is there already" "$AYNI" keygen -s root1.key -p new.pub --no-password
expect 1 "root1.pub is there already" "$AYNI" keygen -s new.key -p root1.pub --no-password
check "half a pair was written" [ ! -e new.key ] && check "half a pair was written" [ ! -e new.pub ]
expect 1 "no/such" "$AYNI" keygen -s no/such/x.key -p x.pub --no-password
check "a public key without its secret one was left" [ ! -e x.pub ]
expect 2 "a password is needed" "$AYNI" keygen -s x.key -p x.pub
expect 2 "both go to x.key" "$AYNI" keygen -s x.key -p x.key --no-password
expect_json 0 '"key_id"' "$AYNI" keygen -s x.key -p x.pub --no-password --json
same "the secret key's mode" "$(stat -c %a x.key)" 600
cp x.pub before.pub
expect 0 "" "$AYNI" keygen -s x.key -p x.pub --no-password --force
check "--force made no new key" test "$(cat x.pub)" != "$(cat before.pub)"
expect 1 "is no regular file" "$AYNI" keygen -s /dev/null -p y.pub --no-password --force
check "/dev/null is gone" [ -c /dev/null ]
rm -f y.pub

root=("$AYNI" root new --fleet e2e)
expect 2 "root new needs" "${root[@]}"
expect 2 "no key has the role release" "${root[@]}" --root-key root1.pub --sign root1.key -o r
expect 2 "no key has the role head: give one with --key or --head-key" "${root[@]}" --root-key root1.pub --release-key release.pub --sign root1.key -o r
expect 2 "a threshold of 2 could never be met" "${root[@]}" --key root1.pub --threshold 2 --sign root1.key -o r
expect 4 "1 good signatures" "${root[@]}" --key root1.pub --root-key root2.pub --threshold 2 --sign root1.key -o r
expect 4 "0 good signatures" "${root[@]}" --key root1.pub --sign other.key -o r
expect 2 "" "${root[@]}" --key root1.pub --sign root1.key --sign root1.key -o r
expect 1 "no.pub" "${root[@]}" --key no.pub --sign root1.key -o r
expect 1 "root1.key" "${root[@]}" --key root1.key --sign root1.key -o r
check "a root that nobody could believe was written" [ ! -e r ]
# Keys in the order of their numbers, whichever way they are given: several times, because order is by chance.
for i in 1 2 3 4; do
	make_keys a$i b$i c$i
	expect 0 "root 1 of fleet e2e" "${root[@]}" --key a$i.pub --root-key b$i.pub --root-key c$i.pub --threshold 3 \
		--sign c$i.key --sign a$i.key --sign b$i.key -o many$i
done
expect_json 0 '"version": 1' "${root[@]}" --root-key root1.pub --root-key root2.pub --root-key root3.pub --threshold 2 \
	--release-key release.pub --release-key release2.pub --head-key head.pub --release-threshold 2 \
	--sign root1.key --sign root3.key -o root-1 --json
expect 0 "believed: yes" "$AYNI" show --root root-1 root-1
says "role: root 2 " "role: release 2 " "role: head 1 "
expect 4 "another root of version 1" "$AYNI" show --root root-1 many1
expect 2 "a fleet keeps its name" "$AYNI" root new --after root-1 --fleet f2 --key root2.pub --sign root2.key -o r
expect 4 "" "$AYNI" root new --after root-1 --key root2.pub --sign root2.key -o r
check "a successor that nobody could believe was written" [ ! -e r ]
expect 0 "root 2 of fleet e2e" "$AYNI" root new --after root-1 --key other.pub --sign root2.key --sign root1.key --sign other.key -o root-2
expect 0 "believed: yes" "$AYNI" show --root root-1 root-2
expect 4 "" "$AYNI" show --root many1 root-2

say "publishing"
tree=$T/tree
make_tree "$tree" 2 7
printf 'odd\n' >"$tree/odd name
%"
pub=("$AYNI" publish --repo repo --branch xo/stable --key release.key --key release2.key --key head.key)
expect 1 "holds no root yet" "${pub[@]}" "$tree"
expect 1 "cannot open the tree $T/none: No such file" "${pub[@]}" --root root-1 "$T/none"
expect 1 "Not a directory" "${pub[@]}" --root root-1 root-1
expect 1 "no-root" "${pub[@]}" --root no-root "$tree"
expect 1 "" "${pub[@]}" --root head.pub "$tree"
expect 2 "first root is version 1" "${pub[@]}" --root root-2 "$tree"
expect 1 "not a repository and not empty" "$AYNI" publish --repo "$tree/lib" --branch x --key head.key "$tree/bin"
expect 1 "no/such" "$AYNI" publish --repo no/such/repo --branch x --key head.key "$tree"
expect 2 "is no branch name" "${pub[@]}" --branch /x "$tree"
expect 2 "lies in the tree" "$AYNI" publish --repo "$tree/repo" --branch x --key head.key "$tree"
cp head.key "$tree/bin"
expect 2 "lies in the tree" "$AYNI" publish --repo repo --branch x --key root1.key --key tree/../tree/bin/head.key "$tree/."
rm "$tree/bin/head.key"
check "a repository appeared in the tree" [ ! -e "$tree/repo" ]
chmod 644 head.pub
expect 1 "head.pub" "$AYNI" publish --repo repo --branch xo/stable --key head.pub --root root-1 "$tree"
check "a public key's mode was complained of" sh -c '! grep -q chmod "$1"' - "$T/err"
expect 2 "publish needs" "${pub[@]}"
expect 2 "publish needs" "${pub[@]}" "$tree" "$tree"
expect 2 "--rollout must be a number" "${pub[@]}" --rollout 101 "$tree"
expect 2 "above the new serial 1" "${pub[@]}" --root root-1 --min-serial 2 "$tree"
expect 2 "--name holds at most" "${pub[@]}" --name "$(printf %200s x)" "$tree"
one=("$AYNI" publish --repo repo --branch xo/stable --root root-1)
expect 4 "neither the role release nor head in root 1 of fleet e2e" "${one[@]}" --key other.key "$tree"
expect 4 "needs the signatures of 2 keys" "${one[@]}" --key release.key --key head.key "$tree"
expect 4 "no key was given that has the role head" "${one[@]}" --key release.key --key release2.key "$tree"
expect 1 "missing.key" "${one[@]}" --key missing.key "$tree"
same "heads after refusals" "$(ls repo/branches)" ""
expect_json 0 '"serial": 1' "${pub[@]}" --name "2026 \"spring\" é" --notes $'first\nsecond' --json "$tree"
says '"from": 0' 'spring\" é'
expect 3 "is release 1 of xo/stable already" "${pub[@]}" "$tree"
cp -a "$tree" tree1
cp -a repo repo1
change_tree "$tree" 2
expect 0 "published xo/stable 2" "${pub[@]}" --name two "$tree"
says "bundle from 1:"
cp -a "$tree" tree2
cp -a repo repo2
rm -r "$tree/new2"
expect 0 "published xo/stable 3" "${pub[@]}" --rollout 10 "$tree"
cp -a "$tree" tree3
expect 3 "" "${pub[@]}" "$tree"
expect 0 "published xo/stable 4" "${pub[@]}" --again --no-full "$tree"
says "bundle from nothing:"
expect 1 "another root version 1 already" "${pub[@]}" --root many1 "$tree"
head=repo/branches/xo%2Fstable/head
expect_json 0 '"believed": true' "$AYNI" show --json --root root-1 $head
says '"serial": 4' '"rollout": 100'
rm -rf repo
cp -a repo2 repo
expect 0 "release: c1eabaa15bd1421f" "$AYNI" show "$GOLDEN/datagram-news.bin"
says "ayni-datagram 1" "from: laptop, session 1122334455667788, TCP port 24953" "serial: 7" "signed-at: 1700000000"
expect 0 "summary, root 3, 259 neighbours" "$AYNI" show "$GOLDEN/datagram-chat.bin"
says "from: school, session 1122334455667788" "branch 01020304: head 7, has 6" "branch f1f2f3f4: head 16777218, has 0"
expect 0 "question, something is missing, root 3" "$AYNI" show "$GOLDEN/datagram-question.bin"
expect_json 0 '"question": true' "$AYNI" show --json "$GOLDEN/datagram-question.bin"
says '"tag": "f1f2f3f4"' '"head": 16777218'

say "a tree that will not hold still, or cannot be read"
head -c 30000000 /dev/zero >"$tree/restless"
perl -e 'open(F, ">>", $ARGV[0]); $| = 1; select(F); $| = 1; while (1) { print F "x" }' "$tree/restless" &
writer=$!
extra_pids+=($writer)
disown $writer
for i in 1 2 3 4 5; do # on a busy machine nothing may be written for a moment
	rm -rf busy && cp -a repo busy
	ran "$AYNI" publish --repo busy --branch xo/stable --key release.key --key release2.key --key head.key "$tree"
	[ $rc = 0 ] || break
done
same "exit code for a tree that changes" $rc 1
check "the file that changes is not named" grep -q /restless "$T/err"
kill $writer
rm "$tree/restless"
if command -v python3 >/dev/null; then
	(cd "$tree" && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")')
	expect 1 "/sock" "${pub[@]}" "$tree"
	rm "$tree/sock"
fi
same "the head after failures" "$("$AYNI" show $head | grep serial | head -n 1)" "serial: 2"

say "one publisher at a time"
(flock repo/.lock sleep 100) &
holder=$!
extra_pids+=($holder)
disown $holder
wait_for "the lock" sh -c '! flock -n repo/.lock true'
expect 1 "another process is publishing to repo" "${pub[@]}" "$tree"
pkill -P $holder
rm -rf par && mkdir par
for i in 1 2 3 4; do
	cp -a "$T/tree2/bin" par/$i
	echo $i >par/$i/number
	("${pub[@]}" par/$i >par/$i.log 2>&1; echo $? >par/$i.rc) &
done
wait %2 %3 %4 %5 2>/dev/null
wait
ok=$(grep -cx 0 par/*.rc | awk -F: '{ n += $2 } END { print n }')
check "none of four published" [ "$ok" -ge 1 ]
same "serial after $ok of four published at once" "$("$AYNI" show $head | grep serial: | head -n 1)" "serial: $((2 + ok))"
for i in 1 2 3 4; do
	[ "$(cat par/$i.rc)" = 0 ] || check "$(cat par/$i.log)" grep -q "another process is publishing" par/$i.log
done
rm -rf repo
cp -a repo2 repo

say "as somebody who is not root"
if "${plain[@]}" true 2>/dev/null; then
	mkdir -m 755 plain
	cp -a tree1/bin plain/tree
	cp release.key release2.key head.key root-1 plain/
	[ "$(id -u)" != 0 ] || chown -R 65534:65534 plain
	mine=("${plain[@]}" "$AYNI" publish --repo plain/repo --branch u --key plain/release.key --key plain/release2.key --key plain/head.key)
	expect 0 "published u 1" "${mine[@]}" --root plain/root-1 plain/tree
	uid=$("${plain[@]}" id -u)
	check "owners are not the publisher's" grep -q "^f 0755 $uid " plain/repo/manifests/*
	expect 0 "published u 2" "${mine[@]}" --owner-root plain/tree
	check "owners are not root" grep -q '^f 0755 0 0 ' plain/repo/manifests/*
	"${plain[@]}" sh -c 'echo secret >plain/tree/closed; chmod 0 plain/tree/closed'
	expect 1 "/closed" "${mine[@]}" --owner-root plain/tree
	expect 2 "--owner-me" "${plain[@]}" "$AYNI" init --store plain/store --root root-1 --branch u
	expect 0 "" "${plain[@]}" "$AYNI" init --store plain/store --root root-1 --branch u --owner-me
	expect 0 "u: release 2" "${plain[@]}" "$AYNI" import --store plain/store --control "$NODE" plain/repo
	expect 0 "every path" "${plain[@]}" "$AYNI" verify --store plain/store u
	expect 1 "Permission denied" "${plain[@]}" "$AYNI" publish --repo plain/repo --branch u --key "$T/x.key" plain/tree
else
	echo "(setpriv cannot change the user here)"
fi

say "a laptop's life with sticks"
store=(--store "$T/store")
imp=("$AYNI" import "${store[@]}" --control "$NODE")
expect 1 "no-root" "$AYNI" init "${store[@]}" --root no-root --branch xo/stable "${me[@]}"
expect 1 "head.pub" "$AYNI" init "${store[@]}" --root head.pub --branch xo/stable "${me[@]}"
check "a store was made for a root that is none" [ ! -e store ]
expect 1 "not empty" "$AYNI" init --store tree1 --root root-1 --branch x "${me[@]}"
expect 2 "is no branch name" "$AYNI" init "${store[@]}" --root root-1 --branch X
expect 0 "follows branch: xo/stable" "$AYNI" init "${store[@]}" --root root-1 --branch xo/stable "${me[@]}"
expect_json 0 '"root_version": 1' "$AYNI" init "${store[@]}" --root root-1 --branch xo/stable --json
expect_json 0 '"root_version": 2' "$AYNI" init "${store[@]}" --root root-2 --branch none --json # the first one's successor
rm -rf store
expect 0 "" "$AYNI" init "${store[@]}" --root root-1 --branch xo/stable "${me[@]}"
expect 4 "trusts another root of version 1" "$AYNI" init "${store[@]}" --root many1 --branch xo/stable
expect 3 "no tree of any branch" "$AYNI" list "${store[@]}"
expect_json 3 "[]" "$AYNI" list "${store[@]}" --json
expect 3 "has no tree yet" "$AYNI" rollback xo/stable "${store[@]}"
expect 3 "has no tree yet" "$AYNI" verify xo/stable "${store[@]}"
expect 2 "import needs" "${imp[@]}"
expect 1 "no store there: \`ayni init\`" "$AYNI" import --store tree1 --control "$NODE" repo1
expect 1 "is not a repository" "${imp[@]}" tree1
expect 1 "is not there" "${imp[@]}" nowhere
expect 3 "repo1 has no branch other" "${imp[@]}" repo1 other
expect 0 "xo/stable: release 1 (1 bundle" "${imp[@]}" repo1
expect 3 "which is not newer" "${imp[@]}" repo1
expect_json 0 '"to": 2' "${imp[@]}" repo2 --json
says '"from": 1' '"bundles": 1'
check "the tree is not what was published" test "$(fingerprint "$T/store/branches/xo%2Fstable/current/")" = "$(fingerprint tree2/)"
expect 3 "release 2 is here; repo1 holds 1" "${imp[@]}" repo1
expect_json 3 '"error": "AY_ENOTHING"' "${imp[@]}" repo1 --json
expect 0 "rolled back from release 2 to 1" "$AYNI" rollback xo/stable "${store[@]}" --control "$NODE"
check "the tree is not the one before" test "$(fingerprint "$T/store/branches/xo%2Fstable/current/")" = "$(fingerprint tree1/)"
expect 3 "is the current one" "$AYNI" rollback xo/stable@1 "${store[@]}" --control "$NODE"
expect 3 "is the oldest tree" "$AYNI" rollback xo/stable "${store[@]}" --control "$NODE"
expect 1 "is not in" "$AYNI" rollback xo/stable 7 "${store[@]}" --control "$NODE"
expect 4 "was rolled back from" "${imp[@]}" repo2
expect_json 4 '"error": "AY_EROLLBACK"' "${imp[@]}" repo2 --json
expect 3 "" "${imp[@]}" repo1
expect 0 "release 1 -> 2 (it was here already)" "${imp[@]}" repo2 --force
expect_json 0 '"to": 1' "$AYNI" rollback xo/stable 1 "${store[@]}" --control "$NODE" --json
expect 0 "forward to 2" "$AYNI" rollback xo/stable 2 "${store[@]}" --control "$NODE"
# Above the one that was rolled back from, there is no question.
expect 0 "" "$AYNI" rollback xo/stable "${store[@]}" --control "$NODE"
rm -rf repo && cp -a repo2 repo
expect 0 "published xo/stable 3" "${pub[@]}" tree3
expect 0 "xo/stable: release 1 -> 3 (1 bundle" "${imp[@]}" repo # from the second tree, which is here
check "the tree is not the third" test "$(fingerprint "$T/store/branches/xo%2Fstable/current/")" = "$(fingerprint tree3/)"
expect 0 "* xo/stable" "$AYNI" list "${store[@]}"
expect_json 0 '"current": true' "$AYNI" list xo/stable "${store[@]}" --json
says 'spring\" é'
expect 0 "release 3 (current)" "$AYNI" log xo/stable "${store[@]}"
says "    first" "    second"
expect_json 0 '"notes": "first\nsecond"' "$AYNI" log xo/stable "${store[@]}" --json
expect 3 "no tree of nix" "$AYNI" log nix "${store[@]}"
expect 0 "every path is what its release says" "$AYNI" verify xo/stable "${store[@]}"
expect_json 0 '"bad": 0' "$AYNI" verify xo/stable@2 "${store[@]}" --json
# Back twice, then a release that only a bundle from the newest tree here leads to.
expect 0 "" "$AYNI" rollback xo/stable 1 "${store[@]}" --control "$NODE"
cp -a repo repo3
cp -a tree3 tree4 && echo 4 >tree4/four
expect 0 "published xo/stable 4" "$AYNI" publish --repo repo3 --branch xo/stable --key release.key --key release2.key --key head.key tree4
rm -rf store4 && cp -a store store4
expect 0 "xo/stable: release 1 -> 4 (1 bundle" "$AYNI" import --store store4 --control "$NODE" repo3
check "the tree is not the fourth" test "$(fingerprint store4/branches/xo%2Fstable/current/)" = "$(fingerprint tree4/)"
expect 0 "" "$AYNI" rollback xo/stable 3 "${store[@]}" --control "$NODE"
expect_json 0 '"trees": 1' "$AYNI" gc --keep 1 "${store[@]}" --control "$NODE" --json
expect 0 "removed 0 trees" "$AYNI" gc --keep 1 "${store[@]}" --control "$NODE"
expect 1 "" "$AYNI" verify xo/stable 9 "${store[@]}"
echo x >>"store/branches/xo%2Fstable/current/bin/hello"
expect 1 "the first: /bin/hello was changed" "$AYNI" verify xo/stable "${store[@]}"
expect_json 1 '"bad": 1' "$AYNI" verify xo/stable "${store[@]}" --json
# A laptop that starts with nothing, from a stick that begins later: nothing leads there, until --full.
rm -rf store2 && cp -a repo stick
rm stick/offers/"$(grep -l 0000000000000000000000000000000000000000000000000000000000000000 -r stick/offers | head -n 1 | cut -d/ -f3)"/*
expect 0 "" "$AYNI" init --store store2 --root root-1 --branch xo/stable "${me[@]}"
expect 1 "no bundle that leads from nothing" "$AYNI" import --store store2 --control "$NODE" stick
expect 3 "" "$AYNI" list --store store2
expect 0 "bundle from nothing" "$AYNI" publish --repo stick --branch xo/stable --key release.key --key release2.key --key head.key --full tree1
expect 0 "release 4 (1 bundle" "$AYNI" import --store store2 --control "$NODE" stick
check "the tree is not the first" test "$(fingerprint store2/branches/xo%2Fstable/current/)" = "$(fingerprint tree1/)"

say "new roots"
other=("$AYNI" publish --repo repo --branch xo/stable --key other.key)
expect 4 "neither" "${other[@]}" tree1
expect 4 "neither" "${pub[@]}" --root root-2 tree1
expect 0 "published xo/stable 4" "${other[@]}" tree1
says "bundle from 3" "bundle from nothing"
expect 0 "release 3 -> 4" "${imp[@]}" repo
expect 0 "" "$AYNI" init "${store[@]}" --root root-1 --branch xo/stable # the first root again, although a newer is known
says "root version 2"
"$AYNI" root new --fleet e2e --key other.pub --sign other.key -o again >/dev/null
cp repo/roots/2 repo/roots/3
expect 1 "repo/roots/3: it holds root version 2" "${imp[@]}" repo
cp repo/roots/1 repo/roots/3
expect 4 "repo/roots/3" "${imp[@]}" repo
"$AYNI" root new --after many1 --key a1.pub --sign a1.key --sign b1.key --sign c1.key -o many2 >/dev/null
"$AYNI" root new --after many2 --key a1.pub --sign a1.key -o many3 >/dev/null
cp many3 repo/roots/3
expect 4 "repo/roots/3" "${imp[@]}" repo
head -c 100 many3 >repo/roots/3
expect 1 "repo/roots/3" "${imp[@]}" repo
expect 1 "repo/roots/3" "${other[@]}" tree2
rm repo/roots/3
expect 1 "has another root version 1 already" "${other[@]}" --root again tree1

say "output that cannot be written"
expect 1 "cannot write the output" sh -c '"$1" --help >/dev/full' - "$AYNI"
expect 1 "cannot write the output" sh -c '"$1" --version >&-' - "$AYNI"
expect 1 "cannot write the output" sh -c '"$1" list --store store >/dev/full' - "$AYNI"
expect 1 "cannot write the output" sh -c '"$1" list --json --store store >/dev/full' - "$AYNI"
expect 1 "cannot write the output" sh -c '"$1" show "$2" >/dev/full' - "$AYNI" "$(ls repo/manifests/* | head -n 1)"
expect 1 "cannot write the output" sh -c '"$1" show --json root-1 >&-' - "$AYNI"
expect 1 "" sh -c '"$1" list --store "$2" <&- 2>&-' - "$AYNI" nowhere
before=$(snapshot store)
expect 3 "" sh -c '"$1" import --store store --control none repo >&- <&- 2>&-' - "$AYNI"
same "a store after a command with closed streams" "$(snapshot store)" "$before"

say "publishing, killed at each change of the disk"
if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -shared -fPIC -o killer.so "$OLDPWD/tests/e2e/killer.c" -ldl ||
	! LD_PRELOAD=$T/killer.so AYNI_COUNT=$T/count "$AYNI" --version >/dev/null 2>&1; then
	bad "killer.so cannot be built or loaded"
	finish_count
fi
go_to_memory
mkdir base && cp -a "$T/tree1/bin" base/tree && echo 1 >base/tree/n
k=("$AYNI" publish --key "$T/other.key" --branch k)
"$AYNI" root new --fleet k --key "$T/other.pub" --sign "$T/other.key" -o k-root >/dev/null
"${k[@]}" --repo base/repo --root k-root base/tree >/dev/null || fail "publish"
"$AYNI" init --store base/store --root k-root --branch k "${me[@]}" >/dev/null || fail "init"
"$AYNI" import --store base/store --control "$NODE" base/repo >/dev/null || fail "import"
cp -a base/tree base/tree2 && echo 2 >base/tree2/n && echo new >base/tree2/new
cp -a base try
LD_PRELOAD=$T/killer.so AYNI_COUNT=$T/count "${k[@]}" --repo try/repo base/tree2 >/dev/null || fail "publish under killer.so"
total=$(cat "$T/count")
check "only $total changes were seen" [ "$total" -gt 30 ]
for ((at = 1; at <= total; at++)); do
	rm -rf try && cp -a base try
	{ LD_PRELOAD=$T/killer.so AYNI_KILL_AT=$at "${k[@]}" --repo try/repo base/tree2 >"$T/out" 2>&1; } 2>/dev/null
	[ $? = 137 ] || bad "not killed at change $at of $total"
	# Whoever follows the head finds all that it names, and what it names works.
	"$AYNI" import --store try/store --control "$NODE" try/repo >"$T/out" 2>"$T/err"
	case $? in
	3) now=tree ;;
	0) now=tree2 ;;
	*) bad "killed at change $at of $total: the repository cannot be used" && now=tree ;;
	esac
	[ "$(fingerprint try/store/branches/k/current/)" = "$(fingerprint base/$now/)" ] || bad "killed at $at: another tree"
	"${k[@]}" --repo try/repo --name again base/tree2 >"$T/out" 2>"$T/err"
	case $?$now in
	0tree | 3tree2) good ;;
	*) bad "killed at change $at of $total, $now: publishing again" ;;
	esac
	"$AYNI" import --store try/store --control "$NODE" try/repo >"$T/out" 2>"$T/err"
	[ "$(fingerprint try/store/branches/k/current/)" = "$(fingerprint base/tree2/)" ] || bad "killed at $at: not complete in the end"
	"$AYNI" verify k --store try/repo/publisher >"$T/out" 2>"$T/err" || bad "killed at $at: the publisher's tree"
	left=$(find try/repo -name '.tmp-*' -o -path '*/publisher/tmp/*')
	[ -z "$left" ] || bad "killed at $at: left behind $left"
	# No serial has two releases that are signed.
	[ -z "$(grep -ah '^serial: ' try/repo/releases/* | sort | uniq -d)" ] || bad "killed at $at: a serial was signed twice"
done
say "importing, killed at some changes of the disk"
rm -rf try && cp -a base try
"${k[@]}" --repo base/repo base/tree2 >/dev/null || fail "publish"
LD_PRELOAD=$T/killer.so AYNI_COUNT=$T/count "$AYNI" import --store try/store --control "$NODE" base/repo >/dev/null || fail "import under killer.so"
total=$(cat "$T/count")
for ((at = 1; at <= total; at += 3)); do
	rm -rf try && cp -a base try
	{ LD_PRELOAD=$T/killer.so AYNI_KILL_AT=$at "$AYNI" import --store try/store --control "$NODE" base/repo >"$T/out" 2>&1; } 2>/dev/null
	now=$(fingerprint try/store/branches/k/current/)
	[ "$now" = "$(fingerprint base/tree/)" ] || [ "$now" = "$(fingerprint base/tree2/)" ] || bad "killed at $at: half a tree"
	"$AYNI" import --store try/store --control "$NODE" base/repo >"$T/out" 2>"$T/err"
	[ "$(fingerprint try/store/branches/k/current/)" = "$(fingerprint base/tree2/)" ] && good || bad "killed at change $at of $total: importing again"
done
finish_count
