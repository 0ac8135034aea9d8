#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building takes, builds with optimisation, and puts the service below a folder:
#   tools/install.sh [FOLDER]     the default is /
# It is what the Dockerfile runs, and what puts the service on a machine without containers.
. "$(dirname "$0")/setup.sh" || exit 1

to=$(mkdir -p "${1:-/}" && cd "${1:-/}" && pwd -P) || die "the folder ${1:-/} cannot be made."

put_in_place() {
	DESTDIR=$to meson install -C build-release --no-rebuild --quiet &&
		install -D -m 0755 deploy/healthcheck "${to%/}/usr/local/lib/review-fetcher/healthcheck" &&
		install -D -m 0644 deploy/review-fetcher.service "${to%/}/usr/local/lib/systemd/system/review-fetcher.service"
}

begin build-release
mapfile -t packages < <(build_packages)
ensure "build tools (about a minute)" "${packages[@]}"
build build-release "building" "--buildtype=release -Db_lto=true -Dtests=false -Dstrip=true" src/review-fetcher src/review-fetcher.1 src/review-fetcher-settings.5
step install "putting it below $to" put_in_place || {
	show_log install
	die "it could not be put below $to."
}
