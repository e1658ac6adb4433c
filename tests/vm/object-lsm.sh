# A program on a hook of the Linux security modules refuses what it says, counts it, and is gone afterwards.
cat > /tmp/refuse.s <<'EOF'
// Refuses the command `mkdir` its work.
.license "GPL"
.map refused kind=array key=4 value=8 max_entries=1
.section "lsm/path_mkdir"
refuse:
	r1 = r10
	r1 += -16
	r2 = 16
	call bpf_get_current_comm
	r1 = *(u64 *)(r10 - 16)
	r2 = 0x7269646b6d ll
	if r1 != r2 goto allow
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map refused ll
	call bpf_map_lookup_elem
	if r0 == 0 goto allow
	r1 = 1
	lock *(u64 *)(r0 + 0) += r1
	r0 = -1
	exit
allow:
	r0 = 0
	exit
EOF
probity attach /tmp/refuse.s --json > /tmp/out 2> /tmp/err &
tracer=$!
# An emulated machine takes its time: only the end of the tracer ends the wait.
until grep -q -i attached /tmp/err || ! kill -0 $tracer; do sleep 0.2; done
made=0
for i in 1 2 3 4 5 6 7 8 9 10; do mkdir /tmp/refused-$i 2>/dev/null && made=$((made + 1)); done
kill -INT $tracer
wait $tracer; status=$?
cat /tmp/out /tmp/err
[ $status = 0 ] && echo "ok lsm ends with 0" || echo "not ok lsm ended with $status"
[ $made = 0 ] && echo "ok lsm refused all ten" || echo "not ok lsm let $made of ten through"
grep -q '"map":"refused".*"value":10' /tmp/out && echo "ok lsm counted ten" || echo "not ok lsm counted otherwise"
mkdir /tmp/allowed && echo "ok nothing is refused afterwards" || echo "not ok something is still refused"
