#!/bin/busybox sh
# What udhcpc calls with a lease: configures the card and leaves the lease for /init.
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
echo "ip=$ip server=$siaddr hostname=$hostname" >/run/lease
