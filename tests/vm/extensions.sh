# Extensions pinned under bpffs outlive the command, are listed, replaced with their maps, and taken away: on probes that need
# a kernel with kprobes and trampolines. What they count is read past Probity, of a known load: N of everything.
n=137
export PROBITY_TRUST=/tmp/trust PROBITY_STATE=/tmp/state
mkdir -p /sys/kernel/debug; mount -t debugfs d /sys/kernel/debug 2>/dev/null
pins=/sys/fs/bpf/probity
cd /tmp || exit 1
probity key generate vendor && probity key add vendor.pub --trust trust || echo "not ok a key is made"

# What is so, and what it is called.
check() {
    what=$1; shift
    if "$@" > /tmp/out 2>&1; then echo "ok $what"; else cat /tmp/out; echo "not ok $what: $*"; fi
}
same() { [ "$1" = "$2" ] || { echo "$1 is not $2"; false; }; }
value() { load read "$pins/$1/$2/maps/counts" "$3"; }

# name, version, section, slot: a program that counts its calls in the slot.
package() {
    cat > object.s <<EOF
.license "GPL"
.map counts kind=array key=4 value=8 max_entries=2
.section "$3"
.globl count
count:
*(u32 *)(r10 - 4) = $4
r1 = counts ll
r2 = r10
r2 += -4
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = 1
lock *(u64 *)(r0 + 0) += r1
out:
r0 = 0
exit
EOF
    printf "name = '%s'\nversion = '%s'\n" "$1" "$2" > extension.toml
    probity asm object.s -o object.o && probity pack object.o -o "$1-$2.pkg" --key vendor.key > /dev/null
}

# Linux takes some links away a moment after they have gone.
still() {
    for _ in $(seq 60); do
        before=$(value "$1" 2 1)
        load 1
        [ "$(value "$1" 2 1)" = "$before" ] && return
        sleep 1
    done
}

# name, section, calls a round of the load.
life() {
    name=$1 calls=$(($3 * n))
    check "$name is packed" package "$name" 1.0.0 "$2" 0
    check "$name 1.1 is packed" package "$name" 1.1.0 "$2" 1
    check "$name is loaded" probity ext load "$name-1.0.0.pkg"
    check "$name is listed" sh -c "probity ext list | grep -q '^$name  1.0.0  generation 1  attached  signed by vendor'"
    load $n
    check "$name counts after the command has ended" same "$(value "$name" 1 0)" $calls
    # While it is replaced, nothing is missed.
    load 20000 & busy=$!
    check "$name is replaced" probity ext replace "$name" "$name-1.1.0.pkg"
    wait $busy
    seen=$(($(value "$name" 2 0) + $(value "$name" 2 1)))
    check "$name misses nothing while it is replaced" [ $seen -ge $(($calls + $3 * 20000)) ]
    old=$(value "$name" 2 0) new=$(value "$name" 2 1)
    load $n
    check "$name has the next version alone" same "$(value "$name" 2 0) $(value "$name" 2 1)" "$old $((new + calls))"
    check "$name is disabled" probity ext disable "$name"
    still "$name"
    rest=$(value "$name" 2 1)
    load $n
    check "$name rests while it is disabled" same "$(value "$name" 2 1)" "$rest"
    check "$name is enabled" probity ext enable "$name"
    load $n
    check "$name goes on" same "$(value "$name" 2 1)" $((rest + calls))
    check "$name is unloaded" probity ext unload "$name"
    check "$name leaves no pins" sh -c "! ls -d $pins/$name"
}

# Linux takes a probe away some time after its link has gone.
gone() {
    for _ in $(seq 60); do
        grep -q __x64_sys_getpgid /sys/kernel/debug/kprobes/list || return 0
        sleep 1
    done
    cat /sys/kernel/debug/kprobes/list; return 1
}
life kprobe "kprobe/__x64_sys_getpgid" 1
check "no probe is left" gone
life kretprobe "kretprobe/__x64_sys_getpgid" 1
check "no return probe is left" gone
life kprobe-multi "kprobe.multi/__x64_sys_getpgi*" 1
life fentry "fentry/__x64_sys_getpgid" 1
life fexit "fexit/__x64_sys_getpgid" 1
life uprobe "uprobe//bin/load:work_first" 1
life uprobe-multi "uprobe.multi//bin/load:work_*" 2
life tracepoint "tracepoint/syscalls/sys_enter_getsid" 1
check "the log is whole" probity log verify
