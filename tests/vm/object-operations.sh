# A structure of operations is registered while its object is attached, the kernel calls its programs, and it is gone
# afterwards: a congestion control of TCP.
available=/proc/sys/net/ipv4/tcp_available_congestion_control
probity attach objects/congestion.o --json > /tmp/out 2> /tmp/err &
tracer=$!
waiting=0
while ! grep -q Attached /tmp/err && kill -0 $tracer && [ $waiting -lt 120 ]; do sleep 1; waiting=$((waiting + 1)); done
grep -qw probity_count $available && echo "ok it is registered" || { cat /tmp/err; echo "not ok it is registered"; }
load congestion probity_count && echo "ok a socket uses it" || echo "not ok a socket uses it"
kill -INT $tracer; wait $tracer
# Sockets of both ends, and what was acknowledged.
grep -q '"sockets":[1-9]' /tmp/out && grep -q '"acknowledged":[1-9]' /tmp/out && echo "ok its programs were called" || { cat /tmp/out /tmp/err; echo "not ok its programs were called"; }
waiting=0
while grep -qw probity_count $available && [ $waiting -lt 30 ]; do sleep 1; waiting=$((waiting + 1)); done
grep -qw probity_count $available && echo "not ok it is gone" || echo "ok it is gone"
load congestion probity_count 2> /dev/null && echo "not ok no socket can use it any more" || echo "ok no socket can use it any more"
# A second one of its name is refused, the first stays.
probity attach objects/congestion.o > /dev/null 2> /tmp/err &
tracer=$!
waiting=0
while ! grep -q Attached /tmp/err && kill -0 $tracer && [ $waiting -lt 120 ]; do sleep 1; waiting=$((waiting + 1)); done
probity attach objects/congestion.o > /tmp/out 2>&1 && echo "not ok a second is refused" || echo "ok a second is refused"
grep -q 'another one of its name is registered' /tmp/out && echo "ok it is said why" || { cat /tmp/out; echo "not ok it is said why"; }
grep -qw probity_count $available && echo "ok the first stays" || echo "not ok the first stays"
kill -INT $tracer; wait $tracer
