#!/bin/sh
# Install what mediad is measured against: rsync and rclone from Debian, ocopy from PyPI in an environment of its own.
# usage: bench/peers.sh FOLDER
set -eu
folder=$1
missing=
for program in rsync rclone; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
# shellcheck disable=SC2086  # a list of packages
[ -z "$missing" ] || { apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >&2; }
[ -x "$folder/bin/ocopy" ] || { python3 -m venv "$folder" && "$folder/bin/pip" install -q ocopy==0.9.2; }
