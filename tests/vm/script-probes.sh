# Each kind of probe that needs a kernel with kprobes and trampolines counts a known load: N of everything.
n=137
# name, what must be printed, script; -c runs the load once the probes are there.
count() {
    name=$1; shift
    probity trace -c "load $n" -e "$1" > /tmp/out 2> /tmp/err
    status=$?
    shift
    for want in "$@"; do
        if [ $status = 0 ] && grep -qxF "$want" /tmp/out; then
            echo "ok $name: $want"
        else
            cat /tmp/out /tmp/err
            echo "not ok $name: no '$want', status $status"
        fi
    done
}
mine='/pid == cpid/'
count kprobe "kprobe:__x64_sys_getpgid $mine { @ = count(); }" "@: $n"
count kretprobe "kretprobe:__x64_sys_getpgid $mine { @ = count(); @some = sum(retval >= 0 ? 1 : 0); }" "@: $n" "@some: $n"
count kprobe-offset "kprobe:__x64_sys_getpgid+0 $mine { @ = count(); }" "@: $n"
address=$(grep ' T __x64_sys_getpgid$' /proc/kallsyms | cut -d' ' -f1)
count kprobe-address "kprobe:0x$address $mine { @ = count(); }" "@: $n"
count kprobe-wildcard "kprobe:__x64_sys_get*id $mine { @[func] = count(); @p[probe] = count(); }" \
    "@[__x64_sys_getpgid]: $n" "@[__x64_sys_getsid]: $n" "@p[kprobe:__x64_sys_getpgid]: $n" "@p[kprobe:__x64_sys_getsid]: $n"
count kretprobe-wildcard "kretprobe:__x64_sys_get*id $mine { @[func] = count(); }" "@[__x64_sys_getpgid]: $n" "@[__x64_sys_getsid]: $n"
count kprobe-wildcard-text "kprobe:__x64_sys_get*id $mine { if (func == \"__x64_sys_getpgid\") { @ = count(); } }" "@: $n"
count fentry "fentry:__x64_sys_getpgid $mine { @ = count(); }" "@: $n"
count fexit "fexit:__x64_sys_getpgid $mine { @ = count(); @some = sum(retval >= 0 ? 1 : 0); }" "@: $n" "@some: $n"
count fentry-wildcard "fentry:__x64_sys_get*id $mine { @[probe] = count(); }" "@[fentry:__x64_sys_getpgid]: $n" "@[fentry:__x64_sys_getsid]: $n"
count tracepoints-ending-at-once "tracepoint:syscalls:sys_enter_* $mine { @[probe] = count(); }" "@[tracepoint:syscalls:sys_enter_getppid]: $n" "@[tracepoint:syscalls:sys_enter_getsid]: $n"
count tracepoint "tracepoint:syscalls:sys_enter_getppid $mine { @ = count(); }" "@: $n"
count kprobe-args "kprobe:__x64_sys_getpgid $mine { @[args.regs != 0] = count(); }" "@[true]: $n"
count rawtracepoint "rawtracepoint:sys_enter $mine { if (arg1 == 110) { @ = count(); } }" "@: $n"
count uprobe "uprobe:/bin/load:work_first { @ = count(); @s = sum(arg1); }" "@: $n" "@s: $n"
count uprobe-arguments "uprobe:/bin/load:work_first { @ = count(); @s = sum(args.b); @m = max(args.a); }" "@: $n" "@s: $n" "@m: $((n - 1))"
count uretprobe "uretprobe:/bin/load:work_first { @ = max(retval); }" "@: $n"
count uprobe-wildcard "uprobe:/bin/load:work_* { @[probe] = count(); }" "@[uprobe:/bin/load:work_first]: $n" "@[uprobe:/bin/load:work_second]: $n"
count usdt-semaphore "usdt:/bin/load:load:site { @ = count(); @m = max(arg0); }" "@: $n" "@m: $((n - 1))"
# Without frame pointers, two frames of it, and how many there are.
count dw_ustack "uprobe:/bin/load:work_first { @[dw_ustack(2)] = count(); @frames = max(len(dw_ustack(2))); }" "]: $n" "@frames: 2"
grep -q '^ *work_first+0$' /tmp/out && grep -q '^ *main+[0-9]*$' /tmp/out && echo "ok dw_ustack names both frames" || { cat /tmp/out; echo "not ok dw_ustack: names"; }
# A program of this very kind is traced by its name while it counts the load.
probity trace -q -e "tracepoint:syscalls:sys_enter_getppid /comm == \"load\"/ { @ = count(); }" > /tmp/other 2>&1 &
other=$!
waiting=0
while ! probity trace -l 'fentry:bpf:*sys_enter_getppid_1' > /tmp/list 2> /dev/null && kill -0 $other && [ $waiting -lt 120 ]; do
    sleep 1; waiting=$((waiting + 1))
done
traced=$(sed 's/.*://' /tmp/list)
cat > /tmp/both <<EOF
#!/bin/sh
exec load $n
EOF
chmod +x /tmp/both
for probe in "fentry:bpf:$traced" "fexit:bpf:$traced" "fentry:bpf:*getppid_1" "$(sed 's/^fentry/fexit/' /tmp/list)"; do
    probity trace -c /tmp/both -e "$probe /comm == \"load\"/ { @ = count(); @f[func] = count(); @a = max(arg0 != 0); }" > /tmp/out 2> /tmp/err
    grep -qxF "@: $n" /tmp/out && grep -qxF "@f[$traced]: $n" /tmp/out && grep -qxF "@a: 1" /tmp/out && echo "ok $probe counts $n" || { cat /tmp/out /tmp/err; echo "not ok $probe"; }
done
# It returns what programs of tracepoints do.
probity trace -c /tmp/both -e "fexit:bpf:$traced /comm == \"load\"/ { @[retval] = count(); }" > /tmp/out 2> /tmp/err
grep -qxF "@[1]: $n" /tmp/out && echo "ok fexit of a program has what it returns" || { cat /tmp/out /tmp/err; echo "not ok fexit of a program"; }
kill -INT $other; wait $other
count watchpoint "watchpoint:$(load address):8:w $mine { @ = count(); }" "@: $n"
count software "software:page-faults:1 $mine { @ = count(); } end { printf(\"%d\\n\", (int64)@ >= $n); }" "1"
probity trace -e "iter:task { if (ctx->task->pid == 2) { @ = count(); } }" > /tmp/out 2> /tmp/err
grep -qxF "@: 1" /tmp/out && echo "ok iter walks over thread 2 once" || { cat /tmp/out /tmp/err; echo "not ok iter"; }
probity trace --stats -c "load $n" -e "uprobe:/bin/load:work_first { @ = count(); }" > /tmp/out 2> /tmp/err
grep -q "^ *$n .* uprobe:/bin/load:work_first" /tmp/err && echo "ok --stats tells $n runs" || { cat /tmp/out /tmp/err; echo "not ok --stats"; }
# The load's output is a file, which its end closes.
probity trace -c "load $n" -e "fentry:filp_close $mine { @[path(args.filp.f_path)] = count(); }" > /tmp/out 2> /tmp/err
grep -q '^@\[/tmp/out\]: ' /tmp/out && echo "ok path names the file that was closed" || { cat /tmp/out /tmp/err; echo "not ok path"; }
# One load outside of the group and one in it.
group=/sys/fs/cgroup/one; mkdir -p $group
cat > /tmp/both <<EOF
#!/bin/sh
load $n
echo \$\$ > $group/cgroup.procs
exec load $n
EOF
chmod +x /tmp/both
probity trace --cgroup $group -c /tmp/both -e "fentry:__x64_sys_getpgid /comm == \"load\"/ { @ = count(); }" > /tmp/out 2> /tmp/err
grep -qxF "@: $n" /tmp/out && echo "ok --cgroup lets through $n of $((2 * n))" || { cat /tmp/out /tmp/err; echo "not ok --cgroup"; }
printf '#!/bin/sh\nload %s\nunshare -p -f load %s\n' $n $n > /tmp/both
probity trace --pidns /proc/self/ns/pid -c /tmp/both -e "kprobe:__x64_sys_getpgid /comm == \"load\"/ { @ = count(); }" > /tmp/out 2> /tmp/err
grep -qxF "@: $n" /tmp/out && echo "ok --pidns lets through $n of $((2 * n))" || { cat /tmp/out /tmp/err; echo "not ok --pidns"; }
# A module's functions: every reading of /proc/net/dev asks each of its devices once.
if insmod modules/dummy.ko; then
    printf '#!/bin/sh\nfor i in $(seq %s); do grep -q dummy0 /proc/net/dev; done\n' $n > /tmp/devices
    chmod +x /tmp/devices
    for probe in kprobe:dummy:dummy_get_stats64 fentry:dummy:dummy_get_stats64 fexit:dummy:dummy_get_stats64; do
        probity trace -c /tmp/devices -e "$probe /comm == \"grep\"/ { @ = count(); }" > /tmp/out 2> /tmp/err
        grep -qxF "@: $n" /tmp/out && echo "ok $probe counts $n" || { cat /tmp/out /tmp/err; echo "not ok $probe"; }
    done
    probity trace -c /tmp/devices -e 'fentry:dummy:dummy_get_stats64 /comm == "grep"/ { @[args.dev.name] = count(); }' > /tmp/out 2> /tmp/err
    grep -qxF "@[dummy0]: $n" /tmp/out && echo "ok fentry of a module knows its arguments" || { cat /tmp/out /tmp/err; echo "not ok fentry of a module: arguments"; }
    # The same as an object, which says nothing of the module.
    probity trace --emit /tmp/module.o -e 'fentry:dummy:dummy_get_stats64 /comm == "grep"/ { @++; }' 2> /tmp/err
    probity attach /tmp/module.o --json > /tmp/out 2>> /tmp/err &
    tracer=$!
    waiting=0
    while ! grep -q Attached /tmp/err && kill -0 $tracer && [ $waiting -lt 120 ]; do sleep 1; waiting=$((waiting + 1)); done
    /tmp/devices
    kill -INT $tracer; wait $tracer
    grep -q "\"value\":$n[^0-9]" /tmp/out && echo "ok an object traces a module's function" || { cat /tmp/out /tmp/err; echo "not ok an object of a module's function"; }
    probity trace --dry-run -e 'fentry:dummy:dummy_get_stats65 { }' 2> /tmp/err
    grep -q 'did you mean `fentry:dummy:dummy_get_stats64`' /tmp/err && echo "ok a module's function is suggested" || { cat /tmp/err; echo "not ok suggestion"; }
else
    echo "not ok insmod dummy"
fi
