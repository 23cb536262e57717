# Process 1 of a container: runs the gateway $1 twice, and sees what is mounted in between.
masq=$1

mounted() {
    grep -c ' /run/masq/bpf .* - bpf ' /proc/self/mountinfo || true
}

# Waits for the gateway $1 to answer, or for 20 seconds.
run() {
    "$masq" run --instance "$1" --inside lan --outside wan >/run/log 2>&1 &
    tries=0
    until "$masq" status --instance "$1" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 400 ]; then
            cat /run/log
            exit 1
        fi
        sleep 0.05
    done
}

run one
[ "$(mounted)" = 1 ]
"$masq" --instance one detach
[ "$(mounted)" = 0 ]
[ ! -e /run/masq ]

# What somebody else has mounted is somebody else's to unmount.
mkdir -p /run/masq/bpf
mount -t bpf bpf /run/masq/bpf
run two
"$masq" --instance two detach
[ "$(mounted)" = 1 ]
umount /run/masq/bpf
rmdir /run/masq/bpf /run/masq
rm /run/log
echo nothing is left
