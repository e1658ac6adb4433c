# A script's kprobe and kretprobe count real calls: as many as were made, no more.
f=/tmp/script.bt
cat > $f <<'S'
kprobe:do_sys_openat2 /comm == "opener"/ { @entered = count(); @begin[tid] = nsecs; }
kretprobe:do_sys_openat2 /@begin[tid]/ { @returned = count(); @ok = sum((int64)retval >= 0 ? 1 : 0); delete(@begin[tid]); }
S
cp /bin/busybox /tmp/opener
probity trace $f > /tmp/out 2> /tmp/err &
tracer=$!
# An emulated machine takes its time: only the end of the tracer ends the wait.
until grep -q -i attached /tmp/err || ! kill -0 $tracer; do sleep 0.2; done
# 25 opens by a process of that name (busybox takes its applet from the first argument).
for i in 1 2 3 4 5; do (exec -a cat /tmp/opener /etc/f1 /etc/f2 /etc/f3 /etc/f4 /etc/f5 2>/dev/null); done
kill -INT $tracer
wait $tracer; status=$?
cat /tmp/out /tmp/err
entered=$(sed -n 's/^@entered: //p' /tmp/out); returned=$(sed -n 's/^@returned: //p' /tmp/out)
[ $status = 0 ] && echo "ok script ends with 0" || echo "not ok script ended with $status"
[ "${entered:-0}" = 25 ] && echo "ok script kprobe counted 25 opens" || echo "not ok script kprobe: 25 opens counted as ${entered:-nothing}"
[ "${returned:-0}" = 25 ] && echo "ok script kretprobe counted 25 returns" || echo "not ok script kretprobe: 25 returns counted as ${returned:-nothing}"
