#!/bin/bash
# Build the base image of the virtual docking station: Debian 12 with systemd, udev, udisks2, polkit and the stock
# kernel.  Idempotent: does nothing when the image for this very recipe is already there; FORCE=1 rebuilds.
# Needs root and the packages named in NEEDS; installs what is missing with apt-get.
# Uses the host's own Debian sources and network options; none of them stay in the image.
# Result in $MEDIAD_DOCKVM (default var/dockvm in the checkout): base.ext4 vmlinux initrd base.key
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
LAB=${MEDIAD_DOCKVM:-$(readlink -m "$here/../../var/dockvm")}
SIZE=${SIZE:-3G}

NEEDS="qemu-system-x86 qemu-utils mmdebstrap mtools dosfstools exfatprogs fdisk e2fsprogs"

PKGS=systemd,systemd-sysv,udev,dbus,kmod,procps,python3,linux-image-amd64,initramfs-tools
PKGS+=,udisks2,polkitd,adduser,tzdata,jmtpfs,libmtp-common,libmtp-runtime,fuse3
PKGS+=,exfatprogs,dosfstools,e2fsprogs,util-linux,fdisk,dmsetup,usbutils,strace,bubblewrap,ffmpeg

# What the docks never touch; leaving it out of the stock kernel's modules makes the image smaller and quicker to build.
SKIP=('/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' '/usr/share/bug/*'
      '/usr/share/lintian/*' '/lib/modules/*/kernel/sound/*')
for d in gpu media net/wireless net/ethernet infiniband staging iio isdn scsi/qla2xxx scsi/lpfc; do
    SKIP+=("/lib/modules/*/kernel/drivers/$d/*")
done

export DEBIAN_FRONTEND=noninteractive
key=$({ echo "$SIZE"; cat "$here/image.sh" "$here/agent.py"; } | sha256sum | cut -c1-16)
mkdir -p "$LAB"
exec 9>"$LAB/.image.lock"; flock 9             # two test runs at once: the second waits and finds it built

missing=
for p in $NEEDS; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=" $p"
done
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || { echo "image.sh: needs root to install:$missing" >&2; exit 1; }
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >&2
fi

if [ "$(cat "$LAB/base.key" 2>/dev/null)" = "$key" ] && [ -z "${FORCE:-}" ]; then
    echo "already built: $LAB/base.ext4"; exit 0
fi
[ "$(id -u)" = 0 ] || { echo "image.sh: needs root to build the image" >&2; exit 1; }
ROOT=$LAB/rootfs.$$
trap 'rm -rf "$ROOT" "$LAB"/*.part' EXIT
rm -rf "$LAB"/rootfs.* "$LAB/base.key"

src=()
for f in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if [ -s "$f" ]; then src+=("$f"); fi
done
opt=()
for f in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
    if [ -f "$f" ] && grep -qE '^[^/#]*Acquire::(Check|http|https|Retries|By-Hash|AllowInsecure)' "$f"; then
        opt+=(--aptopt="$f")
    fi
done
for s in "${SKIP[@]}"; do opt+=(--dpkgopt="path-exclude=$s"); done

t0=$(date +%s)
# shellcheck disable=SC2016  # the hooks are expanded by mmdebstrap's shell
log=$LAB/image.log
mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
    --include="$PKGS" "${opt[@]}" \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt='force-unsafe-io' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/lab"; printf "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n" >"$1/etc/initramfs-tools/modules"' \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap' \
    bookworm "$ROOT" "${src[@]}" >"$log" 2>&1 || { tail -40 "$log" >&2; exit 1; }
t1=$(date +%s)

install -m755 "$here/agent.py" "$ROOT/usr/local/sbin/lab-agent"
cat >"$ROOT/etc/systemd/system/lab-agent.service" <<U
[Unit]
Description=test agent on virtio-serial
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/usr/bin/python3 -I /usr/local/sbin/lab-agent
Restart=always
RestartSec=1
U
cat >"$ROOT/etc/udev/rules.d/99-lab-agent.rules" <<'R'
SUBSYSTEM=="virtio-ports", ATTR{name}=="lab.0", TAG+="systemd", ENV{SYSTEMD_WANTS}+="lab-agent.service"
R
chroot "$ROOT" systemctl -q set-default multi-user.target
chroot "$ROOT" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-timesyncd.service getty@tty1.service \
    systemd-networkd-wait-online.service
# The catalogue and the vault live on disks of their own, raw ones: what QEMU was given survives its SIGKILL.
cat >"$ROOT/etc/fstab" <<F
/dev/vda / ext4 defaults,noatime 0 1
LABEL=state /var/lib/mediad ext4 defaults,noatime,nofail 0 0
LABEL=vault /var/lib/mediad/vault ext4 defaults,noatime,nofail 0 0
F
echo dock >"$ROOT/etc/hostname"; : >"$ROOT/etc/machine-id"
ln -sf /usr/share/zoneinfo/Asia/Shanghai "$ROOT/etc/localtime"
chroot "$ROOT" passwd -d root >/dev/null
mkdir -p "$ROOT/host" "$ROOT/mnt" "$ROOT/var/log/journal"
# The bare ELF inside vmlinuz (QEMU starts it by its PVH entry): no unpacking in the guest, which is slow without KVM.
/usr/bin/python3 - "$ROOT"/boot/vmlinuz-* "$LAB/vmlinux.part" <<'P'
import lzma, sys
data = open(sys.argv[1], "rb").read()
start = data.find(b"\xfd7zXZ\0")
open(sys.argv[2], "wb").write(lzma.LZMADecompressor().decompress(data[start:]) if start > 0 else data)
P
cp -L "$ROOT"/boot/initrd.img-* "$LAB/initrd.part"
rm -rf "$ROOT"/boot/* "$ROOT"/var/cache/apt/* "$ROOT"/var/lib/apt/lists/*
t2=$(date +%s)
mke2fs -q -t ext4 -L dock -E root_owner=0:0,lazy_itable_init=0 -d "$ROOT" "$LAB/base.ext4.part" "$SIZE"
for f in vmlinux initrd base.ext4; do mv "$LAB/$f.part" "$LAB/$f"; done
echo "$key" >"$LAB/base.key"
t3=$(date +%s)
echo "mmdebstrap $((t1-t0))s  finish $((t2-t1))s  file system $((t3-t2))s"
