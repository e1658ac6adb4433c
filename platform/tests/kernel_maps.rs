//! Asks the running kernel which sizes of keys and values each kind of map may have, which kinds may be made
//! read-only for programs, and whose values may be addressed directly.

mod kernel;

use kernel::{
    EXIT, Load, MapCreate, create_map, differ, inner_map, load, map_attrs, map_value, mov,
};

/// `BPF_F_RDONLY_PROG`.
const READ_ONLY: u32 = 1 << 7;

#[test]
fn sizes_and_flags_are_those_of_the_kernel() {
    let Some(platform) = kernel::platform() else {
        return;
    };
    let inner = inner_map();
    let mut wrong = Vec::new();
    for attr in map_attrs(&inner) {
        let Some(kind) = platform.map_kind(attr.map_type) else {
            continue;
        };
        for key_size in [0, 1, 3, 4, 5, 7, 8, 16, 24, 260, 261, 512, 513] {
            for value_size in [0, 1, 4, 8, 12, 16, 64, 1016, 1024] {
                let theirs = create_map(&MapCreate {
                    key_size,
                    value_size,
                    ..copy(&attr)
                })
                .is_ok();
                let ours =
                    kind.key_sizes.contains(key_size) && kind.value_sizes.contains(value_size);
                if differ(&platform, ours, theirs) {
                    wrong.push(format!(
                        "{} with keys of {key_size} and values of {value_size}: the kernel says {theirs}",
                        kind.name
                    ));
                }
            }
        }
        let flags = MapCreate {
            map_flags: attr.map_flags | READ_ONLY,
            ..copy(&attr)
        };
        let theirs = create_map(&flags).is_ok();
        if differ(&platform, kind.access_flags, theirs) {
            wrong.push(format!(
                "{} read-only for programs: the kernel says {theirs}",
                kind.name
            ));
        }
        // The address of an arena is known only after user space has mapped it.
        if kind.name == "arena" {
            continue;
        }
        let map = create_map(&attr).unwrap();
        let mut insns = map_value(2, &map).to_vec();
        insns.extend([mov(0, 0), EXIT]);
        let theirs = load(
            &Load {
                kind: 1,
                insns,
                ..Load::default()
            },
            false,
        )
        .error
            == 0;
        if differ(&platform, kind.direct_value, theirs) {
            wrong.push(format!(
                "{} addressed directly: the kernel says {theirs}",
                kind.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn copy(attr: &MapCreate) -> MapCreate {
    MapCreate {
        map_type: attr.map_type,
        key_size: attr.key_size,
        value_size: attr.value_size,
        max_entries: attr.max_entries,
        map_flags: attr.map_flags,
        inner_map_fd: attr.inner_map_fd,
        ..MapCreate::default()
    }
}
