# The kprobe and kretprobe of a C object count real calls.
probity attach programs/open-latency/open-latency.o --json > /tmp/out 2> /tmp/err &
tracer=$!
# An emulated machine takes its time: only the end of the tracer ends the wait.
until grep -q -i attached /tmp/err || ! kill -0 $tracer; do sleep 0.2; done
for i in 1 2 3 4 5 6 7 8 9 10; do cat /etc/nothing-$i 2>/dev/null; done
kill -INT $tracer
wait $tracer; status=$?
cat /tmp/out /tmp/err
failed=$(sed -n 's/.*"failed":\([0-9]*\).*/\1/p' /tmp/out | tail -n 1)
returned=$(sed -n 's/.*"returned":\([0-9]*\).*/\1/p' /tmp/out | tail -n 1)
[ $status = 0 ] && echo "ok object ends with 0" || echo "not ok object ended with $status"
[ "${failed:-0}" -ge 10 ] && echo "ok kretprobe of an object saw 10 failing opens" || echo "not ok kretprobe of an object saw ${failed:-no} failing opens"
[ "${returned:-0}" -ge "${failed:-1}" ] && echo "ok returns are counted" || echo "not ok returned ${returned:-nothing}"
