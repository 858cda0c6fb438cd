#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# Truncated, bit-flipped, oversized, wrong-version and wrongly signed heads, roots, releases, offers, manifests, deltas and
# bundles, in a repository that is imported from and before `ayni show`: each is refused with the exit code of its kind
# and an error that names the file; the store is what it was before; nothing crashes, also under ASan and UBSan.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
GOLDEN=$PWD/tests/golden
SAN=${BUILD:-build}
SAN=$(realpath -m "$SAN")/address-undefined/ayni
[ -x "$SAN" ] || SAN=
export ASAN_OPTIONS=allocator_may_return_null=1:abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1 LSAN_OPTIONS=exitcode=99
command -v perl >/dev/null || fail "perl is needed"
me=()
[ "$(id -u)" = 0 ] || me=(--owner-me)

# damage FILE DIR FLIPS CUTS: copies with one bit flipped, or cut off, at places spread over the file.
damage() {
	rm -rf "$2" && mkdir "$2" && perl -e '
		my ($file, $dir, $flips, $cuts) = @ARGV;
		open(F, "<:raw", $file) or die; local $/; my $all = <F>; my $n = length $all;
		sub put { my ($name, $bytes) = @_; open(O, ">:raw", "$dir/$name") or die; print O $bytes; close O }
		for my $i (0 .. $flips - 1) {
			my $at = int($i * ($n - 1) / ($flips - 1)); my $bytes = $all;
			substr($bytes, $at, 1) = chr(ord(substr($bytes, $at, 1)) ^ (1 << ($i * 5 % 8)));
			put(sprintf("flip-%d", $at), $bytes);
		}
		put(sprintf("cut-%d", int($_ * $n / $cuts)), substr($all, 0, int($_ * $n / $cuts))) for 0 .. $cuts - 1;
		put("longer-1", "$all\n"); put("longer-all", "$all$all"); put("longer-zeros", $all . "\0" x 100000);
	' "$@" || fail "damage $1"
}

# refused BY-WHOM WHAT CODES FILE-NAME: the last command was refused with one of the codes, naming the file.
refused() {
	local said
	said=$(<"$T/err")
	if ! [[ " $3 " == *" $rc "* ]]; then
		bad "$1, $2: exit code $rc, expected $3"
	elif [[ $said != *"$4"* ]]; then
		bad "$1, $2: the complaint does not name $4"
	elif [[ $said == *Sanitizer* || $said == *"runtime error"* ]]; then
		bad "$1, $2: sanitizer"
	else
		good
	fi
}
count=0
# Every fourth time also by the sanitized program.
shown() { # WHAT CODES FILE [OPTION...]
	local what=$1 codes=$2 file=$3
	shift 3
	ran "$AYNI" show "$@" "$file"
	refused "show" "$what" "$codes" "$file"
	count=$((count + 1))
	[ -n "$SAN" ] && [ $((count % 4)) = 0 ] || return 0
	ran "$SAN" show "$@" "$file"
	refused "sanitized show" "$what" "$codes" "$file"
}
imported() { # WHAT CODES NAME: names NAME; the store is untouched, or what was damaged did not matter
	local program=$AYNI who=import
	[ -z "$SAN" ] || [ $((count % 4)) != 0 ] || { program=$SAN && who="sanitized import"; }
	ran "$program" import --store store --control "$NODE" repo
	if [ $rc = 0 ] && [ "$3" = "bundles/" ]; then
		# A bit that no decoder looks at: what came out was checked all the same.
		check "$1: another tree was installed" test "$(fingerprint store/branches/x/current/)" = "$(fingerprint tree2/)"
		rm -rf store && cp -a store.before store
	else
		refused "$who" "$1" "$2" "$3"
		[ $((++imports % 8)) != 0 ] || untouched "$1"
	fi
}
imports=0
untouched() { # WHAT: the store after it and what came before it
	same "the store after $1" "$(snapshot store)" "$before"
}

go_to_memory
say "setting up"
make_keys key other head
make_tree tree 1 3
"$AYNI" root new --fleet bad --key "$T/key.pub" --head-key "$T/head.pub" --sign "$T/key.key" -o root >/dev/null || fail "root"
p=("$AYNI" publish --repo repo --branch x --key "$T/key.key")
"${p[@]}" --root root tree >/dev/null || fail "publish"
"$AYNI" init --store store --root root --branch x "${me[@]}" >/dev/null || fail "init"
"$AYNI" import --store store --control "$NODE" repo >/dev/null || fail "import"
find repo -type f | sort >old
cp -a tree tree2 && change_tree tree2 4 2>/dev/null
"${p[@]}" tree2 >/dev/null || fail "publish"
head=repo/branches/x/head
release=$(ls repo/releases/* | grep -vFf old)
offer=$(ls repo/offers/*/* | grep -vFf old)
bundle=$(ls repo/bundles/* | grep -vFf old)
manifest=$(ls repo/manifests/* | grep -vFf old)
# That the head is known is no change any more.
mv $bundle kept
ran "$AYNI" import --store store --control "$NODE" repo
refused import "a missing bundle" 1 "$bundle"
mv kept $bundle
before=$(snapshot store)
cp -a store store.before

# in_place FILE WHAT SHOW-CODES IMPORT-CODES NAME FLIPS CUTS [OPTION...]: all its damages in its place, one after the other.
in_place() {
	local file=$1 what=$2 show=$3 import=$4 name=$5 flips=$6 cuts=$7 v
	shift 7
	cp -p "$file" whole
	damage "$file" variants "$flips" "$cuts"
	for v in variants/*; do
		cp "$v" "$file"
		# Comments that nobody signs may say anything; only a file's own digest guards them, and roots are not named by it.
		if [ "$what" = root ] && [ "$(signed_part "$v")" = "$(signed_part whole)" ]; then
			expect 0 "believed: yes" "$AYNI" show "$@" "$file"
			continue
		fi
		shown "$what ${v#*/}" "$show" "$file" "$@"
		[ -z "$import" ] || imported "$what ${v#*/}" "$import" "$name"
	done
	cp -p whole "$file"
	untouched "damages of $what"
}
signed_part() { sed 's/^untrusted comment: .*/untrusted comment/' "$1" | sha256sum; }
say "head"
in_place $head head "1 4" "1 4" "head of x" 40 20 --root root
say "release"
in_place $release release 1 1 "releases/" 40 20
say "offer"
in_place $offer offer 1 1 "offers/" 40 20
say "bundle"
in_place $bundle bundle "1" "1" "bundles/" 40 20
say "manifest (which nobody imports)"
in_place $manifest manifest 1 "" "" 40 20
say "root"
cp root new-root
"$AYNI" root new --after root --key "$T/key.pub" --head-key "$T/head.pub" --sign "$T/key.key" -o root2 >/dev/null || fail "root 2"
cp root2 repo/roots/2
in_place repo/roots/2 root "1 4" "1 4" "roots/2" 40 20 --root root
rm repo/roots/2

say "standing alone, without a name to tell"
for f in tree-1.manifest tree-1-2.delta test.head test.offer test.release test.root bundle-v1.bin; do
	damage $GOLDEN/$f variants 25 12
	for v in variants/cut-* variants/longer-*; do
		[ $f = tree-1.manifest ] || [ $f = tree-1-2.delta ] && [ "${v#variants/cut-}" != "$v" ] &&
			[ "$(tail -c 1 "$v" | od -An -c | tr -d ' ')" = '\n' ] && continue # cut between two lines
		shown "${v#*/} of $f" 1 "$v"
	done
	# What a flip makes of it may be well-formed; then it is shown, and nothing else happens.
	for v in variants/flip-*; do
		ran "${SAN:-$AYNI}" show "$v"
		case $rc in
		0 | 1) good ;;
		*) bad "show ${v#*/} of $f: exit code $rc" ;;
		esac
	done
done

say "other versions"
change() { # FILE EXPRESSION -> new
	perl -0777 -pe "$2" <"$1" >new
}
change $head 's/^AyniHd\0\x01/AyniHd\0\x02/' && shown "a head of version 2" 1 new
for f in $release $offer root; do
	change $f 's/^ayni-envelope 1/ayni-envelope 2/' && shown "an envelope of version 2" 1 new
	check "no word of the version" grep -q "version" "$T/err"
	change $f 's/\nayni-(\w+) 1\n/\nayni-$1 2\n/' && shown "a text of version 2" 1 new
	check "no word of the version" grep -q "version" "$T/err"
done
change $manifest 's/^ayni-manifest 1/ayni-manifest 2/' && shown "a manifest of version 2" 1 new
change $GOLDEN/tree-1-2.delta 's/delta 1/delta 2/' && shown "a delta of version 2" 1 new
change $bundle 's/^(AyniBn\0)./$1\x09/s' && shown "a bundle of version 9" 1 new
check "no word of the version" grep -q "version" "$T/err"
echo "ayni-repo 2" >new && shown "a repository's mark of version 2" 1 new
cp repo/ayni-repo mark && echo "ayni-repo 2" >repo/ayni-repo
imported "a repository of version 2" 1 "upgrade ayni"
expect 1 "upgrade ayni" "${p[@]}" tree
cp mark repo/ayni-repo
cp -a store newer && echo "ayni-store 2" >newer/VERSION
expect 1 "upgrade ayni" "$AYNI" list --store newer
expect 1 "upgrade ayni" "$AYNI" import --store newer --control "$NODE" repo
printf 'Ay\002\001' >new && shown "a datagram of version 2" 1 new

say "too large"
for f in $head $release $manifest $bundle $GOLDEN/tree-1-2.delta "$T/key.pub" repo/ayni-repo; do
	cp $f large && truncate -s 3G large && shown "$f of 3 GiB" 1 large
done
for f in $head $release $offer repo/roots/1; do
	cp -p $f whole && truncate -s 3G $f
	[ $f = repo/roots/1 ] || imported "$f of 3 GiB" 1 "$(basename "${f%/*}")"
	cp -p whole $f
done

say "no files at all"
for f in $head $release $offer $bundle; do
	mv $f kept
	mkfifo $f && imported "a pipe as $f" 1 "${f##*/}"
	rm $f && mkdir $f && imported "a directory as $f" 1 "${f##*/}"
	rmdir $f && ln -s "$f" $f && imported "a loop as $f" 1 "${f##*/}"
	rm $f && : >$f && shown "an empty file" 1 $f && imported "an empty $f" 1 "${f##*/}"
	rm $f && mv kept $f
done
untouched "all that"
expect 1 "Is a directory" "$AYNI" show repo
expect 1 "not a file of Ayni's" "$AYNI" show /dev/zero
expect 1 "is empty" "$AYNI" show /dev/null
expect 1 "No such file" "$AYNI" show nothing
expect 1 "secret keys" "$AYNI" show "$T/key.key"
check "a secret key was shown" eval '! grep -q "$(tail -n 1 "$T/key.key")" "$T/out" "$T/err"'

say "signed by others"
# Somebody else's fleet of the same name: all is well-formed, nothing is believed.
"$AYNI" root new --fleet bad --key "$T/other.pub" --sign "$T/other.key" -o evil-root >/dev/null
evil=("$AYNI" publish --repo evil --branch x --key "$T/other.key")
"${evil[@]}" --root evil-root tree >/dev/null && "${evil[@]}" tree2 >/dev/null || fail "publish"
cp -a repo good-repo
for d in releases offers bundles; do cp -a evil/$d/. repo/$d/; done
cp evil/branches/x/head $head
imported "a stranger's head" 4 "may not sign heads"
shown "a stranger's head" 4 $head --root root
shown "a stranger's release" 4 "$(ls evil/releases/* | head -n 1)" --root root
cp good-repo/branches/x/head $head
rm -r repo/offers && cp -a evil/offers repo/
imported "strangers' offers" 4 "offers/"
shown "a stranger's offer" 4 "$(ls repo/offers/*/* | head -n 1)" --root root
"$AYNI" root new --after evil-root --key "$T/other.pub" --sign "$T/other.key" -o repo/roots/2 >/dev/null
imported "a stranger's root" 4 "roots/2"
untouched "strangers' documents"
# One who may sign heads, and only heads, names a release of his own.
rm -rf evil && "$AYNI" root new --fleet bad --key "$T/other.pub" --head-key "$T/head.pub" --sign "$T/other.key" -o evil-root >/dev/null
"${evil[@]}" --root evil-root tree >/dev/null || fail "publish"
rm -rf evil2 && "$AYNI" root new --fleet bad --root-key "$T/other.pub" --release-key "$T/other.pub" --head-key "$T/head.pub" --sign "$T/other.key" -o evil-root2 >/dev/null
evil=("$AYNI" publish --repo evil2 --branch x --key "$T/other.key" --key "$T/head.key")
for t in tree tree2 tree; do "${evil[@]}" --root evil-root2 $t >/dev/null || fail "publish"; done
rm -rf repo && cp -a evil2 repo && cp good-repo/roots/1 repo/roots/1
"$AYNI" show --root root repo/branches/x/head | grep -q "believed: yes" || bad "the test's own head is not believed"
rm -rf store.new && cp -a store store.new
ran "$AYNI" import --store store --control "$NODE" repo
refused import "a release that its key may not sign" 4 "releases/"
check "another tree is current" test "$(fingerprint store/branches/x/current/)" = "$(fingerprint tree/)"
check "a tree was made of it" [ ! -e store/branches/x/3 ]
rm -rf store && mv store.new store
# Another branch's head, and a head of another release of the same serial.
rm -rf repo && cp -a good-repo repo
"$AYNI" publish --repo repo --branch y --key "$T/key.key" tree2 >/dev/null || fail "publish"
cp repo/branches/y/head $head
imported "another branch's head" 4 "another branch's"
expect 1 "it is of branch y, not x" "${p[@]}" tree2
cp good-repo/branches/x/head $head
untouched "heads of others"

rm -rf repo && cp -a good-repo repo
say "and whole, it is taken"
expect 0 "release 1 -> 2" "$AYNI" import --store store --control "$NODE" repo

say "round what is damaged"
cp -a tree2 tree3 && echo 3 >tree3/three
find repo -type f | sort >old
"${p[@]}" tree3 >/dev/null && cp -a repo full && "$AYNI" publish --repo full --branch x --key "$T/key.key" --again tree3 >/dev/null || fail "publish"
bundle=$(find repo/bundles -type f | grep -vFf old)
echo x >>$bundle
cp $bundle full/bundles/
rm -rf store && cp -a store.before store
ran "$AYNI" import --store store --control "$NODE" repo
refused import "the second of two bundles" 1 "$bundle"
says "release 1 -> 2 (1 bundle"
check "the first step was not taken" test "$(fingerprint store/branches/x/current/)" = "$(fingerprint tree2/)"
# From nothing there is another way; release 4 has the same tree as 3.
expect 0 "release 2 -> 4 (1 bundle" "$AYNI" import --store store --control "$NODE" full
check "the other way leads elsewhere" test "$(fingerprint store/branches/x/current/)" = "$(fingerprint tree3/)"
[ -n "$SAN" ] || echo "(no sanitized build at hand)"
finish_count
