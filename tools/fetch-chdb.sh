#!/bin/sh
# Fetches libchdb, ClickHouse as a library, from its npm package: once, pinned by
# version and checksum. Apache-2.0, https://github.com/chdb-io/chdb-core
set -eu

version=26.7.3-stable.1
case "$(uname -sm)" in
"Linux x86_64")
    package=@chdb/lib-linux-x64-gnu
    sha256=c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad
    ;;
*)
    echo "There is no pinned libchdb for $(uname -sm) yet; name one with --libchdb." >&2
    exit 1
    ;;
esac

target="${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/engines/chdb-$version"
[ -f "$target/libchdb.so" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "Fetching $package@$version (178 MB) …"
(cd "$work" && npm pack --silent "$package@$version" >/dev/null)
echo "$sha256  $(ls "$work"/*.tgz)" | sha256sum --check --quiet
tar -xzf "$work"/*.tgz -C "$work" package/libchdb.so
mkdir -p "$target"
# Moved in one step: an interrupted fetch leaves nothing that looks whole.
mv "$work/package/libchdb.so" "$target/libchdb.so.new"
mv "$target/libchdb.so.new" "$target/libchdb.so"
