# What the tables of this version of Linux say, asked of the kernel itself.
for test in tables/*; do
    name=$(basename "$test")
    if PROBITY_REQUIRE_KERNEL=1 "$test" --nocapture > /tmp/out 2>&1 && ! grep -q skipped: /tmp/out; then
        echo "ok $name on $(uname -r): $(grep asked /tmp/out | tr '\n' ' ')"
    else
        cat /tmp/out
        echo "not ok $name on $(uname -r)"
    fi
done
