#!/bin/bash
# Build dist/mediad_<version>_amd64.deb for Debian 12 (Python 3.11): mediad, its pinned dependencies in one private
# folder, units, rules and the default configuration.  Prints the path of the package as its last line.
#
# Needs dpkg-deb and a Python 3.11 with pip ($PYTHON, else .venv/bin/python, else python3).  The dependencies are
# installed once per content of constraints.txt into var/package-cache; after that a build takes seconds.
# The same inputs give the same bytes: every time stamp is that of the last commit to them (or SOURCE_DATE_EPOCH).
set -euo pipefail
umask 022
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
fail() { echo "build-deb.sh: $*" >&2; exit 1; }

version=$(sed -nE 's/^__version__ *(: *[A-Za-z]+ *)?= *"([^"]+)".*/\2/p' src/mediad/__init__.py 2>/dev/null || true)
version=${version:-0.1.0}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct -- src config systemd packaging constraints.txt 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
for f in constraints.txt pyproject.toml src/mediad/cli/main.py config/mediad.toml systemd/mediad.service \
    systemd/mediad-derive.service systemd/mediad-mtp@.service systemd/65-mediad.rules systemd/50-mediad.rules systemd/sysusers.conf \
    systemd/tmpfiles.conf; do
    [ -f "$f" ] || fail "missing: $f"
done
compgen -G 'config/recorders/*.toml' >/dev/null || fail "missing: config/recorders/*.toml"

# ---- dependencies, cached ---------------------------------------------------------------------------------------
py=${PYTHON:-}
for p in "$py" .venv/bin/python python3; do
    if [ -n "$p" ] && "$p" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then py=$p; break; fi
    py=
done
[ -n "$py" ] || fail "no Python 3.11 with pip (make setup makes one)"
mkdir -p var
"$py" - >"$root/var/.deps.$$" <<'P' || fail "pyproject.toml: no dependencies read"
import tomllib
with open("pyproject.toml", "rb") as f:
    print("\n".join(tomllib.load(f)["project"]["dependencies"]))
P
deps=$root/var/.deps.$$
trap 'rm -rf "$deps" "${stage:-}" "${part:-}"' EXIT
key=$(cat constraints.txt "$deps" packaging/build-deb.sh | sha256sum | cut -c1-16)
site=$root/var/package-cache/$key
if [ ! -d "$site" ]; then
    echo "installing the pinned dependencies (once per constraints.txt) ..." >&2
    rm -rf "$root"/var/package-cache; mkdir -p "$root/var/package-cache"
    part=$root/var/package-cache/.part
    # Only built wheels, for the C library of Debian 12 or an older one: nothing is compiled against this machine.
    platforms=(); for m in 36 35 34 31 28 27 24 17 12 5; do platforms+=(--platform "manylinux_2_${m}_x86_64"); done
    "$py" -m pip install -qq --disable-pip-version-check --no-compile --no-warn-script-location \
        --root-user-action=ignore --target "$part" --only-binary :all: --implementation cp --python-version 3.11 \
        "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
        -c constraints.txt -r "$deps" >&2
    # Nothing that says where a wheel came from, no scripts with this machine's interpreter, no test suites.
    rm -rf "$part/bin"
    find "$part" -name direct_url.json -delete -o -name INSTALLER -delete -o -name REQUESTED -delete
    find "$part" -type d \( -name tests -o -name testing \) -path '*/sqlalchemy/*' -prune -exec rm -rf {} +
    find "$part" -name RECORD -path '*.dist-info/*' -delete
    find "$part" -exec touch -h -d "@1700000000" {} +
    # Byte code for the interpreter of Debian 12, so that starting does not compile
    "$py" -m compileall -q -j 0 --invalidation-mode timestamp -s "$part" -p /usr/lib/mediad "$part" >&2
    mv "$part" "$site"; part=
fi

# ---- the tree ---------------------------------------------------------------------------------------------------
stage=$(mktemp -d "$root/var/.deb.XXXXXX"); chmod 755 "$stage"
lib=$stage/usr/lib/mediad
mkdir -p "$stage/usr/lib"
cp -a --reflink=auto "$site" "$lib"
(cd src && tar -cf - --exclude=__pycache__ --exclude=mediad/recorders mediad) | tar -xf - --no-same-owner -C "$lib"
find "$lib/mediad" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
"$py" -m compileall -q --invalidation-mode timestamp -s "$lib" -p /usr/lib/mediad "$lib/mediad" >&2

put() { install -D -m "${3:-644}" "$1" "$stage/$2"; }
put packaging/mediad usr/bin/mediad 755
put config/mediad.toml etc/mediad/mediad.toml
put config/calendar.toml etc/mediad/calendar.toml
for f in config/recorders/*.toml; do put "$f" "usr/share/mediad/recorders/$(basename "$f")"; done
put systemd/mediad.service usr/lib/systemd/system/mediad.service
put systemd/mediad-derive.service usr/lib/systemd/system/mediad-derive.service
put systemd/mediad-mtp@.service usr/lib/systemd/system/mediad-mtp@.service
put systemd/65-mediad.rules usr/lib/udev/rules.d/65-mediad.rules
put systemd/50-mediad.rules usr/share/polkit-1/rules.d/50-mediad.rules
put systemd/sysusers.conf usr/lib/sysusers.d/mediad.conf
put systemd/tmpfiles.conf usr/lib/tmpfiles.d/mediad.conf
if [ -f systemd/mount_options.conf ]; then put systemd/mount_options.conf etc/udisks2/mount_options.conf; fi
for f in LICENSE NOTICE CHANGELOG.md README.md README.zh.md docs/*.md; do
    if [ -f "$f" ]; then put "$f" "usr/share/doc/mediad/$f"; fi
done

# ---- control ----------------------------------------------------------------------------------------------------
mkdir -p "$stage/DEBIAN"
size=$(du -sk --exclude=DEBIAN "$stage" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@SIZE@/$size/" packaging/control >"$stage/DEBIAN/control"
for f in postinst prerm postrm; do install -m 755 "packaging/$f" "$stage/DEBIAN/$f"; done
(cd "$stage" && find etc -type f -printf '/%p\n' | sort) >"$stage/DEBIAN/conffiles"
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
find "$stage" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# A package must not tell where it was built.
if leak=$(grep -rlF -e "$root/" "$stage" | head -3) && [ -n "$leak" ]; then fail "path of the checkout in: $leak"; fi

mkdir -p dist
deb=dist/mediad_${version}_amd64.deb
rm -f dist/mediad_*_amd64.deb
dpkg-deb --root-owner-group -Zzstd -z3 --build "$stage" "$deb" >&2
echo "$deb"
