#!/bin/sh
# Checks docker-compose.yml against the Compose specification's schema.
set -eu

venv="${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/compose-venv"
if [ ! -x "$venv/bin/check-jsonschema" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet check-jsonschema==0.37.4
fi
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml
