# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by ./run, ./test and ./bench: brings a bare Debian 12 to the point where the project builds, and
# builds it. Installs what is missing and only that; says one line for each slow step and nothing else;
# ends with one clear sentence when something does not work. Whatever a step says goes to $log_dir.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
cd "$root" || exit 1
me=./$(basename "$0")
log_dir=$root/build/log
export LC_ALL=C.UTF-8

die() {
	printf '%s: %s\n' "$me" "$*" >&2
	exit 1
}

# A slow step: its words first, how long it took afterwards. The output goes to log_dir/NAME.log.
# step NAME "words" COMMAND…; answers what COMMAND answers.
step() {
	local name=$1 words=$2 start=$SECONDS rc
	shift 2
	printf '%s … ' "$words"
	"$@" </dev/null >"$log_dir/$name.log" 2>&1
	rc=$?
	if [ "$rc" = 0 ]; then
		printf 'done in %d s\n' "$((SECONDS - start))"
	else
		printf 'failed\n'
	fi
	return "$rc"
}

# The last words of a step's log, for the sentence that follows.
show_log() {
	printf '  --- the last lines of %s\n' "$log_dir/$1.log" >&2
	tail -n "${2:-20}" "$log_dir/$1.log" | sed 's/^/  /' >&2
}

# Before all else: a folder that can be written. NAME is the build folder that the logs go to.
begin() {
	if ! mkdir -p "$root/$1/log" 2>/dev/null || [ ! -w "$root" ] || [ ! -w "$root/$1/log" ]; then
		die "this folder cannot be written: $root. Copy the project to a folder of yours and start it there."
	fi
	log_dir=$root/$1/log
}

# ---- packages ----

has() { command -v "$1" >/dev/null 2>&1; }

node_is_recent() {
	local version
	version=$(node --version 2>/dev/null) || return 1
	version=${version#v}
	[ "${version%%.*}" -ge 18 ] 2>/dev/null
}

libraries=(libmicrohttpd-dev libcurl4-gnutls-dev libgnutls28-dev libsqlite3-dev libpq-dev libsodium-dev libjansson-dev librdkafka-dev)
modules=(libmicrohttpd libcurl gnutls sqlite3 libpq libsodium jansson rdkafka)

# Prints those of the packages that are not installed.
missing_packages() {
	local state
	state=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null)
	local package
	for package in "$@"; do
		grep -qx "$package installed" <<<"$state" || printf '%s\n' "$package"
	done
}

# ensure "words" PACKAGE…: installs those that are missing. Without apt-get they must be there already.
ensure() {
	local words=$1 missing as_root=()
	shift
	[ $# -gt 0 ] || return 0
	if ! has apt-get || ! has dpkg-query; then
		ensure_without_apt
		return
	fi
	mapfile -t missing < <(missing_packages "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		has sudo || die "these packages are missing and this is neither root nor is there a sudo. As root: apt-get install --no-install-recommends ${missing[*]}"
		if ! sudo -n true 2>/dev/null; then
			{ [ -t 0 ] && [ -t 2 ]; } || die "these packages are missing and sudo wants a password, but there is no terminal to ask on. As root: apt-get install --no-install-recommends ${missing[*]}"
			printf 'Some packages are missing: sudo will ask for your password.\n'
			sudo -v || die "sudo refused. As root: apt-get install --no-install-recommends ${missing[*]}"
		fi
		as_root=(sudo)
	fi
	if ! step packages "installing $words" install_packages "${missing[@]}"; then
		explain_apt
	fi
}

# RUNLEVEL=1: a package that is a server is not started.
install_packages() {
	local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -y -q
		-o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
	# An update that fails in part may still be enough: the installation decides.
	"${apt[@]}" update || printf 'apt-get update failed; trying with the lists that are there\n'
	"${apt[@]}" install --no-install-recommends "$@"
}

explain_apt() {
	local log=$log_dir/packages.log
	if grep -qiE 'could not resolve|could not connect|failed to fetch|connection (failed|timed out)|unable to connect|network is unreachable' "$log"; then
		die "apt-get cannot reach its package server: this machine seems to be offline. (Its words: $log)"
	elif grep -qiE 'no space left|not enough free space' "$log"; then
		die "there is not enough room on the disk to install the packages. (Words of apt-get: $log)"
	elif grep -qiE 'unable to locate package|no installation candidate' "$log"; then
		die "apt-get does not know a package that is needed: $(grep -oiE "package '?[a-z0-9.+-]+|locate package [a-z0-9.+-]+" "$log" | awk '{print $NF}' | tr -d "'" | sort -u | xargs). Is this Debian 12 with its 'main' archive? (Its words: $log)"
	fi
	show_log packages 5
	die "apt-get could not install the packages. (All it said: $log)"
}

# On another system than Debian: the build works when the tools and libraries are there.
ensure_without_apt() {
	local lacking=() tool
	for tool in "${CC:-gcc}" meson ninja pkg-config python3 node curl; do
		has "$tool" || lacking+=("$tool")
	done
	if has pkg-config; then
		for tool in "${modules[@]}"; do
			pkg-config --exists "$tool" || lacking+=("$tool (development files)")
		done
	fi
	[ "${#lacking[@]}" = 0 ] ||
		die "there is no apt-get here to install what is missing. Install with this system's own means, then start again: $(printf '%s, ' "${lacking[@]}" | sed 's/, $//')"
}

build_packages() {
	local packages=(gcc libc6-dev meson ninja-build pkg-config python3 "${libraries[@]}")
	has curl || packages+=(curl)
	printf '%s\n' "${packages[@]}"
	node_packages
}

# ---- packages of Node ----

# Which of the packages in package-lock.json a command takes: those that the console is built with, or all, with
# those of the tests (./test says so).
node_part=console

# They are installed when that file is another than it was at the last time, so that a second start needs
# no network. All of them serve for the console too.
node_modules_are_current() {
	local lock installed
	lock=$(cat package-lock.json 2>/dev/null | sha256sum)
	installed=$(cat node_modules/.installed 2>/dev/null)
	[ "$installed" = "$lock all" ] || { [ "$node_part" = console ] && [ "$installed" = "$lock console" ]; }
}

# Prints the Debian packages that installing them takes.
node_packages() {
	node_is_recent || printf 'nodejs\n'
	node_modules_are_current || has npm || printf 'npm\n'
}

install_node_modules() {
	local omit=()
	[ "$node_part" = all ] || omit=(--omit=dev)
	# Not "npm ci": it wants the packages of all other platforms to be in the lock, too.
	npm install --no-save "${omit[@]}" --ignore-scripts --no-audit --no-fund --fetch-retries=1 &&
		printf '%s %s\n' "$(sha256sum <package-lock.json)" "$node_part" >node_modules/.installed
}

# ensure_node_modules: after ensure, with what node_packages printed.
ensure_node_modules() {
	local words="the packages that the console is built with"
	node_modules_are_current && return 0
	[ "$node_part" = console ] || words+=" and tested with"
	has npm || die "npm is missing; it installs $words. Install it with this system's own means, then start again."
	step node-modules "installing $words" install_node_modules && return 0
	if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network' "$log_dir/node-modules.log"; then
		die "npm cannot reach its package server: this machine seems to be offline. (Its words: $log_dir/node-modules.log)"
	fi
	show_log node-modules 5
	die "npm could not install $words. (All it said: $log_dir/node-modules.log)"
}

# ---- building ----

# True when version $1 is at least $2.
at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

check_compiler() {
	local cc=${CC:-gcc} version least
	has "${cc%% *}" || die "the compiler '$cc' (from CC) is not there."
	version=$($cc -dumpfullversion -dumpversion 2>/dev/null | head -n 1)
	case $($cc --version 2>/dev/null | head -n 1) in
	*clang*) least=14 ;;
	*) least=12 ;;
	esac
	at_least "${version:-0}" "$least" ||
		die "the compiler '$cc' is version ${version:-unknown}, but $least or newer is needed (Debian 12 has it; CC=… chooses another)."
	at_least "$(meson --version 2>/dev/null || echo 0)" 1.0 ||
		die "meson is version $(meson --version 2>/dev/null || echo unknown), but 1.0 or newer is needed (Debian 12 has it)."
}

# build DIR "words" "meson options" TARGET…: sets the folder up if need be and builds. Silent and quick when there
# is nothing to do.
build() {
	local dir=$1 words=$2 options=$3
	shift 3
	local wanted="$root ${CC:-gcc} $options"
	if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/log/setup.args" 2>/dev/null)" != "$wanted" ]; then
		check_compiler
		ensure_node_modules
		mkdir -p "$dir/log"
		find "$dir" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
		# shellcheck disable=SC2086 # options are words
		if ! CC=${CC:-gcc} meson setup "$dir" $options </dev/null >"$log_dir/setup.log" 2>&1; then
			show_log setup
			die "the build could not be set up. (All that meson said: $log_dir/setup.log)"
		fi
		printf '%s' "$wanted" >"$dir/log/setup.args"
	fi
	if ninja -C "$dir" -n "$@" 2>/dev/null | grep -q 'no work to do'; then
		return 0
	fi
	ensure_node_modules
	step build "$words" ninja -C "$dir" "$@" || {
		show_log build
		die "the build failed. (All that it said: $log_dir/build.log)"
	}
}

# ---- ports ----

# check_port NUMBER VARIABLE: dies with whom and how to choose another when the port is taken.
check_port() {
	local port=$1 variable=$2 inode owner='' pid
	[[ $port =~ ^[0-9]{1,5}$ && $port -ge 1 && $port -le 65535 ]] ||
		die "$variable is '$port', but a port is a number from 1 to 65535."
	inode=$(awk -v port="$(printf ':%04X' "$port")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
	[ -n "$inode" ] || return 0
	pid=$(find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null | head -n 1 | cut -d / -f 3)
	[ -z "$pid" ] || owner=" by '$(cat "/proc/$pid/comm" 2>/dev/null)' (process $pid)"
	die "port $port is in use$owner. Stop that, or choose another port: $variable=$((port < 65000 ? port + 100 : port - 100)) $me"
}
