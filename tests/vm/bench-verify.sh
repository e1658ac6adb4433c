# Linux's figures beside ours, with its memory counted by control groups of version 2, which the command mounts itself.
objects="programs/open-latency/open-latency.o programs/xdp-firewall/xdp-firewall.o programs/exec-snoop/exec-snoop.o"
probity bench verify --against linux --runs 2 --csv $objects > /tmp/bench.csv 2> /tmp/err; status=$?
cat /tmp/bench.csv /tmp/err
[ $status = 0 ] && echo "ok bench verify ends with 0" || echo "not ok bench verify ended with $status"
rows=$(grep -c ',accept,' /tmp/bench.csv)
# verdict time_us processed states memory_bytes compiled time_ratio
whole=$(cut -d, -f14-19 /tmp/bench.csv | grep -c '^accept,[0-9.]*[1-9][0-9.]*,[0-9]*,[0-9]*,[0-9][0-9]*,0$')
[ "$rows" -gt 3 ] && [ "$rows" = "$whole" ] && echo "ok Linux tells time and memory of $rows programs, without its compiler" || echo "not ok $whole of $rows rows are whole"
grep -q cgroup2 /proc/mounts && echo "not ok a control group stayed mounted" || echo "ok no control group stays mounted"
