#!/bin/sh
# Installs the Debian packages that are missing, and says which. Nothing else on
# the machine is touched. On other systems: install their like by hand. With the
# argument `test`, also those that only the tests need.
set -eu

missing=
need() { # command-or-file package
    if ! command -v "$1" >/dev/null 2>&1 && ! ls $1 >/dev/null 2>&1; then
        missing="$missing $2"
    fi
}
need cc build-essential
need g++ build-essential
need make build-essential
need cmake cmake
need pkg-config pkg-config
need /usr/include/zlib.h zlib1g-dev
need curl curl
need npm npm
need pgrep procps
need '/usr/lib/postgresql/*/bin/initdb' postgresql
need python3 python3
if [ "${1-}" = test ]; then
    need node nodejs
    need chromium chromium
    need unshare util-linux
    need gzip gzip
    need hledger hledger
    need prometheus prometheus
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install:$missing" >&2
    exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing Debian packages:$missing"
$sudo apt-get update -qq
# No cluster is wanted from Debian's postgresql, only its programs.
$sudo mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
