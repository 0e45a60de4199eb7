# Makes kernel and initial RAM disk of a machine that unlocks its disk by clevis: Debian's own, from Debian's packages.
# They are unpacked into a directory and never installed; what their scripts would have set up is set up here.
#
# $1: an empty directory to work in.   $2: where the result goes.   FAROS_IMAGE_LIST=1: only list the packages.
set -eu
work=$1
packages="linux-image-cloud-amd64 initramfs-tools busybox-static udev kmod cryptsetup-initramfs clevis-initramfs
    clevis-luks curl zstd mawk bash dash coreutils findutils sed grep gzip cpio util-linux procps iproute2 libc-bin
    klibc-utils"

# As if nothing were installed, so that what is needed is listed to the end.
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
mkdir -p "$root/etc/cryptsetup-initramfs" "$root/etc/initramfs-tools" "$root/dev" "$root/proc" "$root/sys" \
    "$root/run" "$root/tmp" "$root/var/tmp"
ln -sf dash "$root/usr/bin/sh"
ln -sf mawk "$root/usr/bin/awk"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo 'CRYPTSETUP=y' >>"$root/etc/cryptsetup-initramfs/conf-hook"
printf '%s\n' virtio_net virtio_blk virtio_pci dm_crypt ext4 >"$root/etc/initramfs-tools/modules"
echo '/dev/mapper/cryptroot / ext4 defaults 0 1' >"$root/etc/fstab"
: >"$root/etc/crypttab"
sed -i 's/^COMPRESS=.*/COMPRESS=zstd/; s/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"

version=$(basename "$root"/boot/vmlinuz-* | sed 's/^vmlinuz-//')
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
inside ldconfig
inside depmod "$version"
inside mkinitramfs -o /initrd "$version"
mkdir -p "$2"
cp "$root/boot/vmlinuz-$version" "$2/vmlinuz"
cp "$root/initrd" "$2/initrd"
