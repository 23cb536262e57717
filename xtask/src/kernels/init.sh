#!/bin/sh
# The machine's first process: mounts what a system has, loads modules, runs each test of /job/tests by itself, says on
# the first serial line how it ended, and powers off. The kernel speaks on the second.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=dumb LC_ALL=C MASQ_REQUIRE_NETNS=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/net
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
ulimit -l unlimited
ulimit -n 65536
. /job/settings
# A tunnel module puts an interface of its own into every network otherwise.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net
absent=
for module in $MODULES; do
    modprobe "$module" 2>/dev/null || absent="$absent $module"
done
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
[ -e /dev/ppp ] || mknod /dev/ppp c 108 0
ip link set lo up
exec >/dev/ttyS0 2>&1 </dev/null
now() { cut -d' ' -f1 /proc/uptime; }
echo "UP $(uname -r) $(now)"
echo "ABSENT$absent"
while read -r file name; do
    echo "START $name"
    begin=$(now)
    timeout -s KILL "$LIMIT" "$file" --exact "${name#*::}" --test-threads=1 --nocapture >/out/log 2>&1 </dev/null
    status=$?
    seconds=$(echo "$begin $(now)" | awk '{ printf "%.1f", $2 - $1 }')
    skipped=$(sed -n 's/.*skipped: //p' /out/log | head -n 1)
    case $status in
    0) if [ -n "$skipped" ]; then verdict=skip; else verdict=pass; fi ;;
    137) verdict=TIME ;;
    *) verdict=FAIL ;;
    esac
    case $verdict in
    FAIL | TIME)
        head -c 40000 /out/log | sed 's/^/LOG /'
        echo
        [ "$(wc -c </out/log)" -lt 40000 ] || { echo 'LOG …' && tail -c 20000 /out/log | sed 's/^/LOG /' && echo; }
        ;;
    esac
    echo "RESULT $verdict $seconds $name $skipped"
done </job/tests
dmesg | grep -E 'BUG|WARNING|Oops|Call Trace|rcu.*stall|soft lockup|Out of memory' | head -n 20 | sed 's/^/KERNEL /'
echo "END $(now)"
sleep 1
poweroff -f
