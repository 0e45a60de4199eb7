#!/bin/busybox sh
# First process of a lab node. Two lives, told apart by the kernel's arguments:
#   from the network: DHCP, the real Ignition, the disk, the report, then as `faros.after` says;
#   from its disk (faros.boot=disk): DHCP again, to show that the address stayed, then off.
# Every step says `FAROS-NODE <stage> …` on the console; the lab reads these lines.

/bin/busybox mkdir -p /dev /proc /sys /tmp /run /etc /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
echo 1 >/proc/sys/kernel/printk

say() { echo "FAROS-NODE $*"; }
argument() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
fail() {
    say "failed $*"
    # Retrying in place would hide the failure; a machine that stands still shows it.
    sync
    poweroff -f
}

say kernel "$(uname -r)"
while read -r module; do
    insmod "/modules/$module.ko" || fail "module $module does not load"
done </modules/order

ip link set lo up
ip link set eth0 up || fail "there is no network card eth0"
udhcpc -i eth0 -s /dhcp.sh -n -q -t 8 -T 2 >/tmp/udhcpc.log 2>&1 || {
    cat /tmp/udhcpc.log
    fail "no DHCP lease after 8 attempts"
}
. /run/lease
say dhcp "$ip"

if [ "$(argument faros.boot)" = disk ]; then
    say disk "$ip"
    sync
    poweroff -f
fi

ignition -platform=metal -stage=fetch -fetch-timeout=60s -log-to-stdout -config-cache=/run/ignition.json \
    -state-file=/run/ignition.state -neednet=/run/neednet -root=/root >/tmp/ignition.log 2>&1 || {
    tail -n 20 /tmp/ignition.log
    fail "ignition did not accept what $(argument ignition.config.url) served"
}
say ignition "$(argument ignition.config.url)"

# What goes onto the disk is told by the node's own Ignition file and by nothing else.
seed() {
    # One line per file of the merged configuration; its path stands before its contents.
    sed 's#"path":#\n&#g' /run/ignition.json |
        sed -n "s#^\"path\":\"$1\".*\"source\":\"data:,\([^\"]*\)\".*#\1#p"
}
image_sha256=$(seed /etc/faros/image.sha256)
[ -n "$image_sha256" ] || fail "the Ignition file names no /etc/faros/image.sha256"
disk=$(argument faros.disk)
if [ -b "$disk" ]; then
    wget -q -O /tmp/image.gz "$(argument faros.image)" || fail "$(argument faros.image) is not to be had"
    echo "$image_sha256  /tmp/image.gz" | sha256sum -c -s || fail "the image differs from the hash in the Ignition file"
    gunzip -c /tmp/image.gz >"$disk" || fail "$disk cannot be written"
    sync
    say written "$disk"
else
    say nodisk "$disk"
fi

wget -q -O /dev/null "$(argument faros.report)" || fail "$(argument faros.report) did not take the report"
say installed "$ip"
case $(argument faros.after) in
poweroff) poweroff -f ;;
*) reboot -f ;;
esac
