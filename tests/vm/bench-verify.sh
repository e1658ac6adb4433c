# Linux's figures beside ours. Control groups of version 2 are mounted by the command itself, and gone afterwards.
umount /sys/fs/cgroup
objects="programs/open-latency/open-latency.o programs/xdp-firewall/xdp-firewall.o programs/exec-snoop/exec-snoop.o"
probity bench verify --against linux --runs 2 --csv $objects > /tmp/bench.csv 2> /tmp/err; status=$?
cat /tmp/bench.csv /tmp/err
grep -q cgroup2 /proc/mounts && echo "not ok a control group stayed mounted" || echo "ok no control group stays mounted"
mount -t cgroup2 c /sys/fs/cgroup
ls -d /sys/fs/cgroup/probity-* > /dev/null 2>&1 && echo "not ok a control group stays" || echo "ok no control group stays"
[ $status = 0 ] && echo "ok bench verify ends with 0" || echo "not ok bench verify ended with $status"
rows=$(grep -c ',accept,' /tmp/bench.csv)
# verdict time_us processed states memory_bytes compiled; this kernel does not count its verifier's memory.
whole=$(cut -d, -f15-20 /tmp/bench.csv | grep -c '^accept,[0-9.]*[1-9][0-9.]*,[0-9]*,[0-9]*,,0$')
[ "$rows" -gt 3 ] && [ "$rows" = "$whole" ] && echo "ok Linux tells the time of $rows programs, without its compiler" || echo "not ok $whole of $rows rows are whole"
grep -q '6.17' /tmp/err && echo "ok it says why memory is not told" || echo "not ok nothing says why memory is not told"
