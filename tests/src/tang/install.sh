# Makes the initial RAM disk of a machine that installs itself as its Ignition file says: Debian's systemd, udev, cryptsetup
# and clevis from Debian's packages, with the engine of this host. Unpacked into a directory, never installed.
#
# $1: an empty directory to work in.   $2: where the result goes.   $3: the engine.
# FAROS_IMAGE_LIST=1: only list the packages.
set -eu
work=$1
packages="linux-image-cloud-amd64 systemd mount busybox-static udev kmod cryptsetup-bin clevis-luks curl zstd mawk bash
    dash coreutils findutils sed grep gzip cpio util-linux iproute2 libc-bin e2fsprogs cracklib-runtime"

mkdir -p "$work/debs/partial"
: >"$work/status"
fetch() {
    # shellcheck disable=SC2086
    apt-get -q -y -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User=root --no-install-recommends "$@" install $packages
}
if [ "${FAROS_IMAGE_LIST:-}" ]; then
    fetch --print-uris | sed -n "s/^'.* \([^ ]*\.deb\) .*/\1/p" | sort
    exit
fi
fetch --download-only

root=$work/root
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
for package in "$work"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
cd "$root"
kernel=$(echo boot/vmlinuz-*)
version=${kernel#boot/vmlinuz-}
mkdir -p "$2"
cp "$kernel" "$2/vmlinuz"
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# What no machine of this kind has is left out: the whole of it has to fit into memory twice.
rm -rf boot usr/share/doc usr/share/man usr/share/locale usr/lib/x86_64-linux-gnu/gconv
modules=usr/lib/modules/$version/kernel
find "$modules/drivers" -type f ! -path '*/md/dm-*' ! -name '*virtio*' ! -name '*failover*' -delete
rm -rf "$modules/sound" "$modules/fs" "$modules/net/bluetooth" "$modules/arch/x86/kvm"
mkdir -p dev proc sys run tmp sysroot var/cache/cracklib var/tmp
ln -sf dash usr/bin/sh
ln -sf mawk usr/bin/awk
ln -sf true usr/bin/setfiles
cp "$3" usr/bin/ignition
cp "${3%/*}"/*.rules usr/lib/udev/rules.d/
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
printf 'NAME=Installer\nID=installer\nVERSION_ID=1\n' >usr/lib/initrd-release
ln -sf ../usr/lib/initrd-release etc/initrd-release
ln -sf ../usr/lib/initrd-release etc/os-release
: >etc/machine-id
ln -s usr/lib/systemd/systemd init
inside ldconfig
inside depmod "$version"
# The passphrase that clevis makes up is judged by this dictionary.
inside sh -c 'cracklib-format /usr/share/dict/cracklib-small | cracklib-packer /var/cache/cracklib/cracklib_dict'

cat >udhcpc <<'SCRIPT'
#!/bin/sh
[ "$1" = bound ] && ip addr add "$ip/${mask:-24}" dev "$interface"
exit 0
SCRIPT
cat >installer <<'SCRIPT'
#!/bin/sh
# What a first boot does: an address, then the engine's stages; and off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
ip link set lo up
ip link set eth0 up
busybox udhcpc -i eth0 -n -q -s /udhcpc
stage() {
    ignition -platform=metal -stage="$1" -root=/sysroot -log-to-stdout -fetch-timeout=60s
}
# The engine labels files as SELinux has it, and this system has none.
place() {
    busybox mount -t ext4 /dev/mapper/root /sysroot && mkdir -p /sysroot/etc/selinux &&
        echo SELINUXTYPE=none >/sysroot/etc/selinux/config
}
if stage fetch && stage disks && place && stage files; then
    busybox umount /sysroot && cryptsetup luksClose root && echo FAROS-INSTALLED
fi
busybox poweroff -f
SCRIPT
chmod +x udhcpc installer
cd usr/lib/systemd/system
cat >install.target <<'UNIT'
[Unit]
Description=Installation
Requires=install.service
UNIT
cat >install.service <<'UNIT'
[Unit]
Description=Installation by Ignition
DefaultDependencies=no
Wants=systemd-udevd.service systemd-udev-trigger.service install-modules.service
After=systemd-udevd.service systemd-udev-trigger.service install-modules.service

[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
ExecStart=/installer
UNIT
cat >install-modules.service <<'UNIT'
[Unit]
Description=Drivers of a virtual machine
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/modprobe -a virtio_pci virtio_blk virtio_net virtio_rng dm_mod dm_crypt xts
UNIT
inside sh -c 'find . -print | cpio -o -H newc --quiet | zstd -q -3 -T2' >"$2/initrd"
