#!/bin/sh
# Puts bugs in on purpose, one at a time, and checks that the named test fails.
#
#   tests/plants/run.sh [NAME…]
#
# Each .patch beside this script begins with a line `caught-by: lib FILTER`,
# `caught-by: sim FILTER` or `caught-by: it FILTER`: the unit tests, the
# simulation or the end-to-end tests that must catch it.
# The checkout must be clean; each patch is taken out again.
set -eu
cd "$(dirname "$0")/../.."
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo "the checkout has changes; commit or stash them first" >&2
    exit 2
fi
here=tests/plants
[ $# -gt 0 ] || set -- $(basename -s .patch "$here"/*.patch)
passed=0
failed=0
for name in "$@"; do
    patch="$here/$name.patch"
    caught_by=$(sed -n 's/^caught-by: //p' "$patch")
    kind=${caught_by%% *}
    filter=${caught_by#* }
    git apply "$patch"
    trap 'git apply --reverse "$patch"' EXIT
    case $kind in
        lib) set +e; cargo test --locked --workspace --lib "$filter" >/tmp/plant.log 2>&1; status=$?; set -e ;;
        sim) set +e; cargo test --locked --workspace --test simulation "$filter" >/tmp/plant.log 2>&1; status=$?; set -e ;;
        it)
            # The program under test is the built one.
            cargo build --locked --workspace >/tmp/plant.log 2>&1 || { echo "$name: does not build" >&2; exit 2; }
            set +e; cargo test --locked --workspace --test it "$filter" >/tmp/plant.log 2>&1; status=$?; set -e ;;
    esac
    trap - EXIT
    git apply --reverse "$patch"
    if ! grep -q '^running [1-9]' /tmp/plant.log; then
        echo "$name: no test ran; see /tmp/plant.log" >&2
        exit 2
    elif [ "$status" -ne 0 ]; then
        seed=$(grep -o -m1 '^seed [0-9]*' /tmp/plant.log || true)
        echo "caught     $name ($filter${seed:+, $seed})"
        passed=$((passed + 1))
    else
        echo "NOT CAUGHT $name ($filter)"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
