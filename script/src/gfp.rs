//! `%gr`: flags of the kernel's memory allocator → their names.
//!
//! Source: `include/linux/gfp_types.h` of Linux 6.18; combinations are tried before single flags.

const RECLAIM: u64 = 0x400 | 0x800;
const KERNEL: u64 = RECLAIM | 0x40 | 0x80;
const USER: u64 = KERNEL | 0x10_0000;
const HIGHUSER: u64 = USER | 0x02;
const HIGHUSER_MOVABLE: u64 = HIGHUSER | 0x08;
const TRANSHUGE_LIGHT: u64 = (HIGHUSER_MOVABLE | 0x4_0000 | 0x8_0000 | 0x2000) & !RECLAIM;

const FLAGS: &[(u64, &str)] = &[
    (TRANSHUGE_LIGHT | 0x400, "GFP_TRANSHUGE"),
    (TRANSHUGE_LIGHT, "GFP_TRANSHUGE_LIGHT"),
    (HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"),
    (HIGHUSER, "GFP_HIGHUSER"),
    (USER, "GFP_USER"),
    (KERNEL | 0x40_0000, "GFP_KERNEL_ACCOUNT"),
    (KERNEL, "GFP_KERNEL"),
    (RECLAIM | 0x40, "GFP_NOFS"),
    (0x20 | 0x800, "GFP_ATOMIC"),
    (RECLAIM, "GFP_NOIO"),
    (0x800, "GFP_NOWAIT"),
    (0x01, "GFP_DMA"),
    (0x02, "__GFP_HIGHMEM"),
    (0x04, "GFP_DMA32"),
    (0x08, "__GFP_MOVABLE"),
    (0x10, "__GFP_RECLAIMABLE"),
    (0x20, "__GFP_HIGH"),
    (0x40, "__GFP_IO"),
    (0x80, "__GFP_FS"),
    (0x100, "__GFP_ZERO"),
    (0x400, "__GFP_DIRECT_RECLAIM"),
    (0x1000, "__GFP_WRITE"),
    (0x2000, "__GFP_NOWARN"),
    (0x4000, "__GFP_RETRY_MAYFAIL"),
    (0x8000, "__GFP_NOFAIL"),
    (0x1_0000, "__GFP_NORETRY"),
    (0x2_0000, "__GFP_MEMALLOC"),
    (0x4_0000, "__GFP_COMP"),
    (0x8_0000, "__GFP_NOMEMALLOC"),
    (0x10_0000, "__GFP_HARDWALL"),
    (0x20_0000, "__GFP_THISNODE"),
    (0x40_0000, "__GFP_ACCOUNT"),
    (0x80_0000, "__GFP_ZEROTAGS"),
];

/// `GFP_KERNEL|__GFP_ZERO`; what has no name stays a number.
pub(crate) fn names(flags: u64) -> String {
    if flags == 0 {
        return "none".into();
    }
    let mut left = flags;
    let mut parts = Vec::new();
    for (bits, name) in FLAGS {
        if left & bits == *bits {
            left &= !bits;
            parts.push((*name).to_owned());
        }
    }
    if left != 0 {
        parts.push(format!("{left:#x}"));
    }
    parts.join("|")
}

#[cfg(test)]
mod tests {
    #[test]
    fn combinations_and_single_flags() {
        assert_eq!(super::names(1), "GFP_DMA");
        assert_eq!(super::names(0xcc0), "GFP_KERNEL");
        assert_eq!(super::names(0xdc0), "GFP_KERNEL|__GFP_ZERO");
        assert_eq!(super::names(0), "none");
        assert_eq!(super::names(1 << 40), "0x10000000000");
    }
}
