#!/bin/sh
# Install what is missing: Debian packages (needs root or sudo) and a virtual environment with pinned versions.
# usage: scripts/setup.sh VENV PYTHON
set -eu
venv=$1
python=$2
here=$(dirname "$0")/..

# program:package pairs; a package is installed only if its program is missing
wanted="ffmpeg:ffmpeg strace:strace udisksctl:udisks2 dbus-daemon:dbus-daemon fusermount3:fuse3 mkfs.vfat:dosfstools
mkfs.ext4:e2fsprogs losetup:mount bwrap:bubblewrap systemd-analyze:systemd exiftool:libimage-exiftool-perl heif-enc:libheif-examples
chromium:chromium openssl:openssl pdftotext:poppler-utils zbarimg:zbar-tools ssh-keygen:openssh-client"
missing=
for pair in $wanted; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 ||
        missing="$missing ${pair#*:}"
done
# for forms on paper, and the station's screen
[ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || missing="$missing fonts-noto-cjk"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "run as root, or install:$missing" >&2; exit 1; }
        root=sudo
    fi
    echo "installing Debian packages:$missing" >&2
    $root apt-get update -q >&2
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -q --no-install-recommends $missing >&2
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q -c "$here/constraints.txt" -e "$here[dev]"
