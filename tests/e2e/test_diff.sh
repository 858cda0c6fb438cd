#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 120
# `ayni diff`: directories, releases and manifests side by side; the packages in trees of dpkg, apk, opkg and rpm; trees
# that lead astray.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
cd "$T" || exit 1

lines() { # LINE...: the output has exactly these lines of paths
	same "the lines" "$(grep '^[-+~>] ' out | sed 's/  */ /g')" "$(printf '%s\n' "$@")"
}

say "directories"
mkdir -p a/dir a/sub
seq 1 100 >a/dir/changed
seq 1 10 >a/dir/meta
seq 1 1000 >a/moves
seq 1 2000 >a/moves2
: >a/empty-goes
echo went >a/went
ln -s target a/link
echo x >a/type
mkdir a/sub/gone
cp -a a b
expect 3 "a and b are the same" "$AYNI" diff a b
expect_json 3 '"same": 12' "$AYNI" diff a b --json
seq 1 101 >b/dir/changed
chmod 600 b/dir/meta
mv b/moves b/sub/moved
mv b/moves2 b/sub/moved2 && chmod 755 b/sub/moved2
rm b/went b/empty-goes b/type
: >b/empty-comes
mkdir b/type
ln -sfn other b/link
rmdir b/sub/gone
echo came >"b/came odd
%"
for d in . dir sub; do touch -r a/$d b/$d; done
touch -h -r a/link b/link
touch -r a/type b/type
touch -r a/dir/changed b/dir/changed
expect 0 "2 added" "$AYNI" diff a b
lines '+ /came%20odd%0A%25 file, 5 B' '~ /dir/changed content, size 292 -> 296' '~ /dir/meta mode 0644 -> 0600' '+ /empty-comes file, 0 B' \
	'- /empty-goes file, 0 B' '~ /link target' '- /sub/gone directory' '> /moves -> /sub/moved' '> /moves2 -> /sub/moved2 mode 0644 -> 0755' \
	'~ /type file -> directory' '- /went file, 5 B'
says "2 added, 3 removed, 4 changed, 2 renamed, 3 the same"
expect_json 0 '"from": "/moves2"' "$AYNI" diff --json a b
says '"kind": "renamed"' '"path": "/came%20odd%0A%25"' '"renamed": 2'
cp -a a c
touch -d 2001-01-01 c/dir/changed
expect 0 "~ /dir/changed  mtime" "$AYNI" diff a c
touch -d '2001-02-03 04:05:06.789012345 UTC' c/dir/changed
expect_json 0 '"mtime": 981173106,' "$AYNI" diff --json a c
says '"mtime_ns": 789012345'
expect 3 "are the same" "$AYNI" diff --ignore-mtime a c
if [ "$(id -u)" = 0 ]; then
	chown 12:34 c/dir/meta
	expect 0 "owner 0:0 -> 12:34" "$AYNI" diff --ignore-mtime a c
	expect 3 "" "$AYNI" diff --ignore-mtime --owner-root a c
fi
if setfattr -n user.x -v 1 c/moves 2>/dev/null; then
	expect 0 "~ /moves  attributes" "$AYNI" diff --ignore-mtime --owner-root a c
fi

say "releases and manifests"
make_keys key
expect 0 "" "$AYNI" root new --fleet e2e --key key.pub --sign key.key -o root
me=()
[ "$(id -u)" = 0 ] || me=(--owner-me)
expect 0 "" "$AYNI" publish --repo repo --root root --branch xo/d --key key.key a
expect 0 "" "$AYNI" publish --repo repo --branch xo/d --key key.key --exact-mtimes b
expect 0 "" "$AYNI" init --store st --root root --branch xo/d "${me[@]}"
expect 0 "" "$AYNI" import repo --store st
expect 0 "> /moves -> /sub/moved" "$AYNI" diff --store repo/publisher xo/d@1 xo/d@2
expect 0 "> /moves -> /sub/moved" "$AYNI" diff --store repo/publisher a xo/d@2
expect 3 "xo/d@2 and b are the same" "$AYNI" diff --store repo/publisher xo/d@2 b
expect 3 "are the same" "$AYNI" diff --store st xo/d b
manifest=$(echo repo/publisher/branches/*/1/manifest)
expect 0 "> /moves -> /sub/moved" "$AYNI" diff "$manifest" b
expect 3 "are the same" "$AYNI" diff "$manifest" a
expect 1 "xo/d 9 is not in st" "$AYNI" diff --store st xo/d@9 b
expect 2 "neither a file or directory nor BRANCH" "$AYNI" diff Nowhere b
expect 1 "nowhere is neither a file nor a directory, and as a release: none: no store" "$AYNI" diff --store none nowhere b
expect 2 "say which two" "$AYNI" diff a
expect 2 "nothing but packages" "$AYNI" diff --packages --ignore-mtime a b
expect 2 "says nothing of packages" "$AYNI" diff --packages "$manifest" b
expect 1 "" "$AYNI" diff a key.pub
expect 1 "neither a nor b has a database" "$AYNI" diff --packages a b

say "packages: dpkg, apk, opkg"
mkdir -p pa/var/lib/dpkg pb/var/lib/dpkg pa/lib/apk/db pb/usr/lib/apk/db pa/usr/lib/opkg pb/usr/lib/opkg
control() { printf 'Package: %s\nStatus: install ok %s\nArchitecture: %s\nVersion: %s\nDescription: x\n y\n\n' "$@"; }
{ control libssl3 installed amd64 3.0.11-1 && control gone installed all 1 && control left config-files all 1 && control same installed amd64 7; } >pa/var/lib/dpkg/status
{ control libssl3 installed amd64 3.0.15-1 && control came installed all 2 && control left installed all 1 && control same installed amd64 7; } >pb/var/lib/dpkg/status
printf 'P:musl\nV:1.2.4-r2\nA:x86_64\n\n' >pa/lib/apk/db/installed
printf 'P:musl\nV:1.2.5-r0\nA:x86_64\n\n' >pb/usr/lib/apk/db/installed
printf 'Package: base-files\nVersion: 1\nStatus: install user installed\nArchitecture: mips\n\n' | tee pa/usr/lib/opkg/status >pb/usr/lib/opkg/status
expect 0 "2 added, 1 removed, 2 changed, 2 the same" "$AYNI" diff --packages pa pb
lines '+ came:all 2' '- gone:all 1' '+ left:all 1' '~ libssl3:amd64 3.0.11-1 -> 3.0.15-1' '~ musl:x86_64 1.2.4-r2 -> 1.2.5-r0'
expect_json 0 '"from": "3.0.11-1"' "$AYNI" diff --packages --json pa pb
says '"to": "3.0.15-1"' '"kind": "apk"' '"opkg"'
expect 3 "have the same packages" "$AYNI" diff --packages pa pa
mkdir -p d1/var/lib/dpkg/status.d d2/var/lib/dpkg/status.d
printf 'Package: base\nVersion: 1\n' >d1/var/lib/dpkg/status.d/base
printf 'Package: base\nVersion: 2\n' >d2/var/lib/dpkg/status.d/base
echo "0123  usr/x" >d2/var/lib/dpkg/status.d/base.md5sums
expect 0 "~ base 1 -> 2" "$AYNI" diff --packages d1 d2
expect 0 "+ same:amd64 7" "$AYNI" diff --packages d1 pb
# With a merged /usr, where /lib is a link.
cp -a pb pc && ln -s usr/lib pc/lib
expect 3 "have the same packages" "$AYNI" diff --packages pb pc
same "complaints" "$(cat err)" "ayni diff: pb and pc have the same packages"
# In releases they are found, too.
expect 0 "" "$AYNI" publish --repo repo --branch xo/p --key key.key pa
expect 0 "" "$AYNI" publish --repo repo --branch xo/p --key key.key pb
expect 0 "~ libssl3:amd64 3.0.11-1 -> 3.0.15-1" "$AYNI" diff --packages --store repo/publisher xo/p@1 xo/p@2
expect 0 "~ libssl3:amd64 3.0.11-1 -> 3.0.15-1" "$AYNI" diff --packages --store repo/publisher xo/p@1 pb
if [ -s /var/lib/dpkg/status ] && [ "$(id -u)" = 0 ]; then # this machine's own, in full
	mkdir -p own/var/lib/dpkg
	cp /var/lib/dpkg/status own/var/lib/dpkg/
	mkdir none
	expect_json 0 '"same": 0' "$AYNI" diff --packages --json own none
	same "packages of this machine" "$(grep -c '"version"' out)" \
		"$(dpkg-query -W -f '${db:Status-Status}\n' | grep -vc 'not-installed\|config-files')"
fi

say "packages: rpm"
if command -v rpmbuild >/dev/null; then
	rpm_of() { # NAME VERSION EPOCH
		printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%s\n%%description\nx\n%%files\n' \
			"$1" "$2" "${3:+Epoch: $3}" >spec
		HOME=$T rpmbuild --quiet -bb --define "_topdir $T/rpms" spec >/dev/null 2>&1
	}
	for p in "foo 1.0" "foo 2.0" "bar 1.5 2" "baz 3"; do rpm_of $p; done
	put_rpm() { # TREE PACKAGE...
		local tree=$1
		shift
		mkdir -p "$tree"
		HOME=$T rpm --dbpath "$T/$tree" --define '_db_backend sqlite' -i --justdb --nodeps --nosignature --force "${@/#/rpms/RPMS/noarch/}" 2>/dev/null
	}
	put_rpm r1/var/lib/rpm foo-1.0-1.noarch.rpm bar-1.5-1.noarch.rpm
	put_rpm r2/usr/lib/sysimage/rpm foo-2.0-1.noarch.rpm bar-1.5-1.noarch.rpm baz-3-1.noarch.rpm
	if [ -s r1/var/lib/rpm/rpmdb.sqlite ]; then
		expect 0 "1 added, 0 removed, 1 changed, 1 the same" "$AYNI" diff --packages r1 r2
		lines '+ baz:noarch 3-1' '~ foo:noarch 1.0-1 -> 2.0-1'
		mkdir empty
		expect 0 "- bar:noarch 2:1.5-1" "$AYNI" diff --packages r1 empty
		# A log that was not merged is told of, and nothing beside the database is touched.
		echo junk >r1/var/lib/rpm/rpmdb.sqlite-wal
		before=$(snapshot r1)
		expect 0 "~ foo:noarch 1.0-1 -> 2.0-1" "$AYNI" diff --packages r1 r2
		check "the log is not told of" grep -q "are not looked at" err
		same "the tree" "$(snapshot r1)" "$before"
		head -c 5000 r1/var/lib/rpm/rpmdb.sqlite >cut && cp cut r1/var/lib/rpm/rpmdb.sqlite
		expect 1 "r1: var/lib/rpm/rpmdb.sqlite: SQLite: " "$AYNI" diff --packages r1 r2
	else
		bad "rpm made no database of SQLite"
	fi
else
	echo "(no rpmbuild: its database was not tried)"
fi

say "trees that lead astray"
mkdir -p h1/var/lib h2/var/lib/dpkg h3/var/lib/dpkg h4/var/lib/dpkg
ln -s "$T/pb/var/lib/dpkg" h1/var/lib/dpkg
expect 1 "neither h1 nor a has a database" "$AYNI" diff --packages h1 a
check "a link is not told of" grep -q "h1: the way to the database of dpkg is a symbolic link, which is not followed" err
ln -s ../../../../pb/var/lib/dpkg/status h2/var/lib/dpkg/status
expect 1 "neither h2" "$AYNI" diff --packages h2 a
mkfifo h3/var/lib/dpkg/status
RAN_S=5 expect 1 "h3: var/lib/dpkg/status: it is no regular file" "$AYNI" diff --packages h3 a
truncate -s 1T h4/var/lib/dpkg/status
RAN_S=5 expect 1 "more than any has" "$AYNI" diff --packages h4 a
head -c 100000 /dev/urandom >h4/var/lib/dpkg/status
expect 1 "h4: var/lib/dpkg/status: " "$AYNI" diff --packages h4 a
printf 'Package: \033]0;x\007\nVersion: 1\n' >h4/var/lib/dpkg/status
expect 1 "with the byte 0x1b" "$AYNI" diff --packages h4 a
ln -s / b/all
expect 0 "+ /all  link" "$AYNI" diff a b

finish_count
