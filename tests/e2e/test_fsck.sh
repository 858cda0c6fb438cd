#!/bin/bash
# SPDX-License-Identifier: MIT
# `ayni fsck` and `ayni branch` as an admin meets them: exit codes, words, JSON, the configuration's heal-from; a store of a newer
# version, one on a read-only and on a full file system; a program that goes on while its files are healed.
cd "$(dirname "$0")/../.." || exit 1
if [ "${1:-}" != inside ] && unshare -m true 2>/dev/null; then
	exec unshare -m --propagation private bash "$0" inside
fi
. tests/e2e/cli_lib.sh
small=${1:-} # inside: small file systems of our own can be mounted
me=()
[ "$(id -u)" = 0 ] || me=(--owner-me)

mkdir -p "$T/one/bin" "$T/two/bin"
head -c 900000 /dev/urandom >"$T/one/bin/big"
echo "a text" >"$T/one/text"
cp "$T/one/text" "$T/one/again"
ln -s bin "$T/one/link"
cp -a "$T/one/." "$T/two/"
echo "more" >>"$T/two/bin/big"
mkdir "$T/other"
echo "a text" >"$T/other/text"
touch -r "$T/one/text" "$T/other/text"
{
	"$AYNI" keygen -s "$T/key" -p "$T/key.pub" --no-password &&
		"$AYNI" root new --fleet test --key "$T/key.pub" --sign "$T/key" -o "$T/root" &&
		"$AYNI" publish --repo "$T/repo" --branch a/one --key "$T/key" --root "$T/root" "$T/one" &&
		"$AYNI" publish --repo "$T/repo" --branch a/one --key "$T/key" "$T/two" &&
		"$AYNI" publish --repo "$T/repo2" --branch b/other --key "$T/key" --root "$T/root" "$T/other"
} >"$T/log" 2>&1 || fail "publishing: $(tail -n 3 "$T/log")"
S=$T/store
fresh() {
	rm -rf "$S"
	"$AYNI" init --store "$S" --root "$T/root" --branch a/one "${me[@]}" >"$T/log" 2>&1 &&
		"$AYNI" import "$T/repo" --store "$S" --control "$NODE" >>"$T/log" 2>&1 || fail "$(tail -n 3 "$T/log")"
}
F=(--store "$S" --config /dev/null)
tree=$S/branches/a%2Fone/current

# ---- a good store
fresh
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}"
expect_json 0 '"damaged": 0' "$AYNI" fsck "${F[@]}" --json
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}" --heal
expect 2 "give --heal too" "$AYNI" fsck "${F[@]}" --repo "$T/repo"
expect 2 "takes no arguments" "$AYNI" fsck "${F[@]}" x
expect 1 "no store there" "$AYNI" fsck --store "$T/nowhere" --config /dev/null
expect 1 "" "$AYNI" fsck "${F[@]}" --heal --repo "$T/nowhere"

# ---- a rotten object, while somebody reads it
rot() {
	chmod u+w "$tree/bin/big"
	printf 'rotten' | dd of="$tree/bin/big" bs=1 seek=100 conv=notrunc 2>/dev/null
}
rot
expect 1 "2 damaged; \`ayni fsck --heal\` heals" "$AYNI" fsck "${F[@]}"
says "a/one 2: /bin/big links a damaged object" "its content is not what its name says"
expect_json 1 '"path": "/bin/big"' "$AYNI" fsck "${F[@]}" --json
says '"what": "path"' '"outcome": "damaged"' '"serial": 2' '"branch": "a/one"'
expect 1 "2 could not be healed" "$AYNI" fsck "${F[@]}" --heal
says "name a repository that has it (--repo)"
exec 8<"$tree/bin/big"
was=$(stat -L -c %i "$tree/bin/big")
expect 0 "2 found damaged, 2 healed" "$AYNI" fsck "${F[@]}" --heal --repo "$T/repo"
same "the reader's file" "$(stat -L -c %i /proc/self/fd/8 8<&8)" "$was"
exec 8<&-
check "the healed file" cmp -s "$T/two/bin/big" "$tree/bin/big"
check "it has another inode" [ "$(stat -L -c %i "$tree/bin/big")" != "$was" ]
expect 0 "every path" "$AYNI" verify a/one --store "$S"

# ---- from where the configuration says; a stick that is not there is passed over
rot
printf '[node]\nheal-from = %s %s\n' "$T/no-stick" "$T/repo" >"$T/conf"
expect_json 0 '"healed": 2' "$AYNI" fsck --store "$S" --config "$T/conf" --heal --json
printf '[node]\nheal-from = relative/path\n' >"$T/conf"
expect 2 "absolute paths" "$AYNI" fsck --store "$S" --config "$T/conf" --heal

# ---- a bit of everything
rot
rm "$tree/link" "$S/branches/a%2Fone/1/manifest"
echo stranger >"$tree/stranger"
rm "$S/branches/a%2Fone/current"
expect 1 "" "$AYNI" fsck "${F[@]}"
expect 0 "healed: a/one 2: /stranger is there but not in the manifest" "$AYNI" fsck "${F[@]}" --heal --repo "$T/repo"
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}"
check "current again" [ "$(readlink "$S/branches/a%2Fone/current")" = 2/root ]

# ---- odd stores
sed -i 's/ayni-store 1/ayni-store 2/' "$S/VERSION"
expect 1 "made by another version of ayni" "$AYNI" fsck "${F[@]}"
expect 1 "made by another version of ayni" "$AYNI" fsck "${F[@]}" --heal
sed -i 's/ayni-store 2/ayni-store 1/' "$S/VERSION"
mkdir -p "$S/tmp/staging-00000000000000000000000000000000-1111111111111111/tree/root/d"
expect 0 "left by a process that died" "$AYNI" fsck "${F[@]}"
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}" --heal
check "foreign staging is gone" [ -z "$(ls "$S/tmp")" ]
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}"

# ---- several owners
expect 0 "a/one: followed, release 2 of 2" "$AYNI" branch list --store "$S"
expect 0 "follows branch: b/other" "$AYNI" branch add b/other --store "$S" --control "$NODE"
expect 3 "followed already" "$AYNI" branch add b/other --store "$S" --control "$NODE"
expect 0 "b/other: release 1" "$AYNI" import "$T/repo2" b/other --store "$S" --control "$NODE"
expect_json 0 '"branch": "b/other"' "$AYNI" branch list --store "$S" --json
links=$(stat -L -c %h "$tree/text")
before=$(cd "$tree/" && find . -printf '%p %i %m %T@\n' | sort | sha256sum)
same "both branches' text is one inode" "$(stat -L -c %i "$S/branches/b%2Fother/current/text")" "$(stat -L -c %i "$tree/text")"
exec 8<"$S/branches/b%2Fother/1/.ref"
flock -s 8
expect 1 "somebody uses b/other 1" "$AYNI" branch remove b/other --store "$S" --control "$NODE"
check "nothing was removed" [ -e "$S/branches/b%2Fother/current/text" ]
exec 8<&-
expect 0 "removed branch b/other: 1 tree" "$AYNI" branch remove b/other --store "$S" --control "$NODE"
check "the branch is gone" [ ! -e "$S/branches/b%2Fother" ]
same "links of the text" "$(stat -L -c %h "$tree/text")" $((links - 1))
same "the other branch" "$(cd "$tree/" && find . -printf '%p %i %m %T@\n' | sort | sha256sum)" "$before"
expect 3 "has no branch b/other" "$AYNI" branch remove b/other --store "$S" --control "$NODE"
expect 2 "is no branch name" "$AYNI" branch add ../x --store "$S"
expect 2 "branch needs list, add NAME... or remove NAME" "$AYNI" branch
expect 0 "nothing is damaged" "$AYNI" fsck "${F[@]}"

# ---- a read-only and a full file system
if [ "$small" = inside ] && mkdir "$T/small" && mount -t tmpfs -o size=48m none "$T/small"; then
	mounts+=("$T/small")
	S=$T/small/store
	F=(--store "$S" --config /dev/null)
	tree=$S/branches/a%2Fone/current
	fresh
	rot
	mount -o remount,ro "$T/small"
	expect 1 "2 damaged" "$AYNI" fsck "${F[@]}"
	expect 1 "Read-only file system" "$AYNI" fsck "${F[@]}" --heal --repo "$T/repo"
	mount -o remount,rw "$T/small"
	was=$(stat -L -c %i "$tree/bin/big")
	dd if=/dev/zero of="$T/small/balloon" bs=1024 count=$(($(df -Pk "$T/small" | awk 'NR == 2 { print $4 }') - 400)) 2>/dev/null
	expect 1 "no room" "$AYNI" fsck "${F[@]}" --heal --repo "$T/repo"
	same "the damaged file stays" "$(stat -L -c %i "$tree/bin/big")" "$was"
	check "nothing is left in tmp" [ -z "$(ls "$S/tmp")" ]
	rm "$T/small/balloon"
	expect 0 "2 healed" "$AYNI" fsck "${F[@]}" --heal --repo "$T/repo"
	check "the healed file" cmp -s "$T/two/bin/big" "$tree/bin/big"
else
	echo "not root: no read-only and no full file system were tried"
fi
finish_count
