#!/bin/bash
# SPDX-License-Identifier: MIT
# Keys and signatures are minisign's: what is signed here verifies with stock minisign, its keys sign here and ours
# there, with and without passwords.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
command -v minisign >/dev/null || {
	echo "minisign is not installed"
	exit 77
}
cd "$T" || exit 1
mkdir tree && echo hello >tree/file
# verifies PUBLIC FILE [SIGNATURE]: by stock minisign
verifies() { minisign -Vm "$2" -p "$1" ${3:+-x "$3"} >"$T/out" 2>"$T/err"; }

say "a key of minisign's signs here"
minisign -GW -p theirs.pub -s theirs.key >/dev/null 2>&1 </dev/null || fail "minisign -GW"
make_keys ours second
expect 0 "root 1" "$AYNI" root new --fleet m --key theirs.pub --root-key ours.pub --root-key second.pub --threshold 2 --sign theirs.key --sign ours.key -o root
expect 0 "published m 1" "$AYNI" publish --repo repo --branch m --root root --key theirs.key --name "eins %" --notes $'x\ny' tree
n=0
for f in repo/releases/* repo/offers/*/*; do
	n=$((n + 1))
	expect 0 "signature: doc$n.minisig" "$AYNI" show --split doc$n "$f"
	check "minisign refuses $f" verifies theirs.pub doc$n
	says "ayni "
	check "another key verifies $f" eval '! verifies ours.pub doc$n'
	sed 's/^branch: m$/branch: n/' doc$n >doc$n.changed
	check "a changed text verifies" eval '! verifies theirs.pub doc$n.changed doc$n.minisig'
done
same "documents" $n 2
expect_json 0 '"doc.minisig"' "$AYNI" show --split doc --json "$f"
expect 2 "--split is for signed texts" "$AYNI" show --split doc repo/branches/m/head
expect 1 "no/such" "$AYNI" show --split no/such/doc "$f"
expect 0 "signature: r.minisig.1" "$AYNI" show --split r root
for i in "" .1; do
	check "no key verifies signature r.minisig$i of the root" eval 'verifies theirs.pub r r.minisig$i || verifies ours.pub r r.minisig$i'
done
check "one key made both signatures" eval '! cmp -s r.minisig r.minisig.1'

say "names of keys"
# minisign leaves a key id's leading zeros out.
same "key id" "$("$AYNI" show theirs.pub | sed -n 's/^minisign public key 0*//p')" "$(sed -n 's/^untrusted comment: minisign public key 0*//p' theirs.pub)"
minisign -R -s ours.key -p again.pub >/dev/null 2>&1 </dev/null || fail "minisign -R of our key"
same "our public key, as minisign sees it" "$(tail -n 1 again.pub)" "$(tail -n 1 ours.pub)"

say "our key signs there"
echo text >file
check "minisign cannot sign with our key" eval 'minisign -Sm file -s ours.key </dev/null >out 2>err'
check "minisign refuses our key's signature" verifies ours.pub file

say "passwords"
# minisign's own scrypt takes a GiB of memory and seconds; one key is enough.
printf 'correct horse\ncorrect horse\n' | minisign -G -p locked.pub -s locked.key >/dev/null 2>&1 || fail "minisign -G"
make_keys locked2
printf 'battery\n' >in
expect 0 "secret key: ours2.key" "$AYNI" keygen -s ours2.key -p ours2.pub
check "our locked key is not locked" eval '! minisign -Sm file -s ours2.key -x x.minisig </dev/null >out 2>err'
check "minisign cannot open our locked key" eval 'echo battery | minisign -Sm file -s ours2.key -x x.minisig >out 2>err'
check "minisign refuses our locked key's signature" verifies ours2.pub file x.minisig
root=("$AYNI" root new --fleet m --key locked.pub --root-key ours2.pub --threshold 2 --sign locked.key --sign ours2.key -o root2)
expect 2 "locked.key: a password is needed" "${root[@]}"
printf 'wrong\n' >in
expect 1 "locked.key: wrong password" "${root[@]}"
check "a root was signed without a password" [ ! -e root2 ]
printf 'correct horse\nbattery' >in # two keys, two lines; the last needs no newline
expect 0 "root 1" "${root[@]}"
printf 'correct horse\n' >in
expect 0 "published m 1" "$AYNI" publish --repo repo2 --branch m --root root2 --key locked.key tree
expect 0 "" "$AYNI" show --split doc repo2/releases/*
check "minisign refuses a release by its locked key" verifies locked.pub doc
printf '%0300d\n' 0 >in
expect 1 "longer than 255" "$AYNI" publish --repo repo2 --branch m --key ours2.key tree
printf '\n' >in
expect 2 "an empty password protects nothing" "$AYNI" keygen -s e.key -p e.pub
chmod 644 ours.key
expect 4 "neither" "$AYNI" publish --repo repo2 --branch m --key ours.key tree
check "a readable secret key is not complained of" grep -q "warning: other users can reach the secret key ours.key" err
finish_count
