//! Linux's program kinds as rows: context, helpers, return values, first version.
//!
//! Numbers are `enum bpf_prog_type`; return ranges are those of the verifier's `check_return_code`,
//! measured on Linux 6.18 where the kind loads there.

use std::borrow::Cow;

use super::{contexts as c, helper_sets as h, kinds as k};
use crate::{
    Context, ContextSpelling, Field, HelperSet, PacketArgs, PrivateStack, ProgKind, Returns,
    Spelling, Version, Widths,
};

/// All program kinds up to Linux 6.18, ascending by number.
pub static PROGRAMS: &[ProgKind] = &[
    kind(
        k::SOCKET_FILTER,
        "socket_filter",
        Version(3, 19),
        skb(c::SOCKET_FILTER),
    )
    .spellings(SK_BUFF)
    .helpers(&[h::BASE, h::SK_CASTS, h::SOCKET_FILTER])
    .packet_loads(),
    kind(
        k::KPROBE,
        "kprobe",
        Version(4, 1),
        structure("pt_regs", 168, c::PT_REGS),
    )
    .spellings(&[
        plain(Spelling::Typedef("bpf_user_pt_regs_t")),
        plain(Spelling::Struct("bpf_user_pt_regs_t")),
    ])
    .private_stack(&[])
    .helpers(&[h::BASE, h::TRACING_BASE, h::COOKIE, h::FUNC_IP, h::KPROBE])
    .returns(&[Returns {
        attach: &[56, 57],
        min: 0,
        max: 1,
    }])
    .sleepable(),
    kind(k::SCHED_CLS, "sched_cls", Version(4, 1), skb(c::SCHED_CLS))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::SCHED_CLS])
        .packet_loads()
        .packet_write(),
    kind(k::SCHED_ACT, "sched_act", Version(4, 1), skb(c::SCHED_CLS))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::SCHED_CLS])
        .packet_loads()
        .packet_write(),
    kind(
        k::TRACEPOINT,
        "tracepoint",
        Version(4, 7),
        Context::Bytes {
            name: "tracepoint record",
            from: 8,
            size: 8192,
        },
    )
    .spellings(&[tagged(&[], Spelling::Any)])
    .private_stack(&[])
    .helpers(&[h::BASE, h::TRACING_BASE, h::COOKIE]),
    kind(
        k::XDP,
        "xdp",
        Version(4, 8),
        structure("xdp_md", 24, c::XDP_MD),
    )
    .spellings(&[plain(Spelling::Struct("xdp_buff"))])
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_CASTS, h::XDP])
    .packet_write(),
    kind(
        k::PERF_EVENT,
        "perf_event",
        Version(4, 9),
        structure("bpf_perf_event_data", 184, c::PERF_EVENT_DATA),
    )
    .spellings(&[
        tagged(&[], Spelling::Typedef("bpf_user_pt_regs_t")),
        tagged(&[], Spelling::Struct("pt_regs")),
    ])
    .private_stack(&[])
    .helpers(&[h::BASE, h::TRACING_BASE, h::COOKIE, h::PERF_EVENT]),
    kind(
        k::CGROUP_SKB,
        "cgroup_skb",
        Version(4, 10),
        skb(c::CGROUP_SKB),
    )
    .spellings(SK_BUFF)
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_CASTS, h::CGROUP_SKB])
    .returns(&[
        Returns {
            attach: &[1],
            min: 0,
            max: 3,
        },
        Returns {
            attach: &[],
            min: 0,
            max: 1,
        },
    ])
    .attach(&[0, 1], None),
    kind(
        k::CGROUP_SOCK,
        "cgroup_sock",
        Version(4, 10),
        structure("bpf_sock", 80, c::CGROUP_SOCK),
    )
    .helpers(&[h::BASE, h::CGROUP_SOCK])
    .returns(BOOL)
    .attach(&[2, 12, 13, 34], Some(2)),
    kind(k::LWT_IN, "lwt_in", Version(4, 10), skb(c::LWT))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::LWT, h::LWT_IN]),
    kind(k::LWT_OUT, "lwt_out", Version(4, 10), skb(c::LWT))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::LWT]),
    kind(k::LWT_XMIT, "lwt_xmit", Version(4, 10), skb(c::LWT))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::LWT, h::LWT_XMIT])
        .packet_write(),
    kind(
        k::SOCK_OPS,
        "sock_ops",
        Version(4, 13),
        structure("bpf_sock_ops", 224, c::SOCK_OPS),
    )
    .helpers(&[h::BASE, h::SK_CASTS, h::SOCK_OPS])
    .returns(BOOL),
    kind(k::SK_SKB, "sk_skb", Version(4, 14), skb(c::SK_SKB))
        .spellings(SK_BUFF)
        .packet_args(PacketArgs::Declared)
        .helpers(&[h::BASE, h::SK_CASTS, h::SK_SKB])
        .packet_write(),
    kind(
        k::CGROUP_DEVICE,
        "cgroup_device",
        Version(4, 15),
        structure("bpf_cgroup_dev_ctx", 12, c::CGROUP_DEV),
    )
    .helpers(&[h::BASE, h::CGROUP_DEVICE])
    .by_attach(&[(&[6], h::RETVAL)])
    .returns(BOOL),
    kind(
        k::SK_MSG,
        "sk_msg",
        Version(4, 17),
        structure("sk_msg_md", 80, c::SK_MSG),
    )
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_CASTS, h::SK_MSG])
    .packet_write(),
    kind(k::RAW_TRACEPOINT, "raw_tracepoint", Version(4, 17), ARGS)
        .spellings(WORDS)
        .private_stack(&[])
        .helpers(&[h::BASE, h::TRACING_BASE, h::COOKIE]),
    kind(
        k::CGROUP_SOCK_ADDR,
        "cgroup_sock_addr",
        Version(4, 17),
        structure("bpf_sock_addr", 72, c::SOCK_ADDR),
    )
    .helpers(&[h::BASE, h::SK_CASTS, h::CGROUP_SOCK_ADDR])
    .by_attach(&[
        (&[8, 9, 10, 11, 14, 15, 49, 50], h::RETVAL),
        (&[10, 11], h::BIND),
    ])
    .returns(&[
        Returns {
            attach: &[19, 20, 29, 30, 31, 32, 51, 52, 53],
            min: 1,
            max: 1,
        },
        Returns {
            attach: &[8, 9],
            min: 0,
            max: 3,
        },
        Returns {
            attach: &[],
            min: 0,
            max: 1,
        },
    ])
    .attach(
        &[
            8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53,
        ],
        None,
    ),
    kind(
        k::LWT_SEG6LOCAL,
        "lwt_seg6local",
        Version(4, 18),
        skb(c::LWT),
    )
    .spellings(SK_BUFF)
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_CASTS, h::LWT, h::LWT_SEG6LOCAL]),
    kind(
        k::LIRC_MODE2,
        "lirc_mode2",
        Version(4, 18),
        structure("u32", 4, c::LIRC),
    )
    .helpers(&[h::LIRC_MODE2]),
    kind(
        k::SK_REUSEPORT,
        "sk_reuseport",
        Version(4, 19),
        structure("sk_reuseport_md", 56, c::SK_REUSEPORT),
    )
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_REUSEPORT])
    .attach(&[39, 40], Some(39)),
    kind(
        k::FLOW_DISSECTOR,
        "flow_dissector",
        Version(4, 20),
        skb(c::FLOW_DISSECTOR),
    )
    .spellings(SK_BUFF)
    .packet_args(PacketArgs::Declared)
    .helpers(&[h::BASE, h::SK_CASTS, h::FLOW_DISSECTOR]),
    kind(
        k::CGROUP_SYSCTL,
        "cgroup_sysctl",
        Version(5, 2),
        structure("bpf_sysctl", 8, c::SYSCTL),
    )
    .helpers(&[h::BASE, h::CGROUP_SYSCTL])
    .by_attach(&[(&[18], h::RETVAL)])
    .returns(BOOL),
    kind(
        k::RAW_TRACEPOINT_WRITABLE,
        "raw_tracepoint_writable",
        Version(5, 2),
        structure("bpf_raw_tracepoint_args", 96, c::WRITABLE_ARGS),
    )
    .spellings(WORDS)
    .helpers(&[h::BASE, h::TRACING_BASE, h::COOKIE]),
    kind(
        k::CGROUP_SOCKOPT,
        "cgroup_sockopt",
        Version(5, 3),
        structure("bpf_sockopt", 40, c::SOCKOPT),
    )
    .packet_args(PacketArgs::Any)
    .packet_write()
    .helpers(&[h::BASE, h::CGROUP_SOCKOPT])
    .by_attach(&[(&[22], h::SOCKOPT)])
    .returns(BOOL)
    .attach(&[21, 22], None),
    kind(k::TRACING, "tracing", Version(5, 5), Context::Typed)
        .spellings(&[
            tagged(&[23], Spelling::Struct("bpf_raw_tracepoint_args")),
            tagged(&[23, 24, 25, 26], Spelling::Word),
            tagged(&[28], Spelling::Prefix("bpf_iter__")),
        ])
        .private_stack(&[23, 24, 25, 26])
        .helpers(&[h::BASE, h::TRACING_BASE, h::TRACING])
        .by_attach(&[
            (&[23, 24, 25, 26], h::COOKIE),
            (&[24, 25, 26], h::TRAMPOLINE),
            (&[24, 25, 26], h::FUNC_IP),
            (&[28], h::ITER),
        ])
        .returns(&[
            Returns {
                attach: &[24, 25],
                min: 0,
                max: 0,
            },
            Returns {
                attach: &[28],
                min: 0,
                max: 1,
            },
        ])
        .sleepable()
        .attach(&[23, 24, 25, 26, 28], None),
    kind(k::STRUCT_OPS, "struct_ops", Version(5, 6), Context::Typed)
        .spellings(WORDS)
        .helpers(&[h::BASE, h::STRUCT_OPS])
        .sleepable(),
    kind(k::EXT, "ext", Version(5, 6), Context::Typed)
        .spellings(&[tagged(&[], Spelling::Any)])
        .helpers(&[h::BASE]),
    kind(k::LSM, "lsm", Version(5, 7), Context::Typed)
        .spellings(WORDS)
        .helpers(&[h::BASE, h::TRACING_BASE, h::TRACING, h::LSM])
        .by_attach(&[
            (&[27, 43], h::COOKIE),
            (&[27, 43], h::TRAMPOLINE),
            (&[43], h::LSM_CGROUP),
        ])
        .returns(&[
            Returns {
                attach: &[27],
                min: -4095,
                max: 0,
            },
            Returns {
                attach: &[43],
                min: 0,
                max: 1,
            },
        ])
        .sleepable()
        .attach(&[27, 43], None),
    kind(
        k::SK_LOOKUP,
        "sk_lookup",
        Version(5, 9),
        structure("bpf_sk_lookup", 72, c::SK_LOOKUP),
    )
    .helpers(&[h::BASE, h::SK_CASTS, h::SK_LOOKUP])
    .returns(BOOL)
    .attach(&[36], None),
    kind(
        k::SYSCALL,
        "syscall",
        Version(5, 14),
        Context::Memory { size: 65535 },
    )
    .spellings(&[tagged(&[], Spelling::Any)])
    .helpers(&[h::BASE, h::TRACING_BASE, h::TRACING, h::SYSCALL])
    .sleepable(),
    kind(
        k::NETFILTER,
        "netfilter",
        Version(6, 4),
        structure("bpf_nf_ctx", 16, c::NETFILTER),
    )
    .helpers(&[h::BASE])
    .returns(BOOL)
    .attach(&[45], None),
];

const BOOL: &[Returns] = &[Returns {
    attach: &[],
    min: 0,
    max: 1,
}];
const ARGS: Context = Context::Words {
    name: "bpf_raw_tracepoint_args",
    count: 12,
    widths: Widths(1 | 2 | 4 | 8),
};

/// The kernel's own structure behind `__sk_buff`.
const SK_BUFF: &[ContextSpelling] = &[plain(Spelling::Struct("sk_buff"))];
const WORDS: &[ContextSpelling] = &[tagged(&[], Spelling::Word)];

const fn plain(spelling: Spelling) -> ContextSpelling {
    ContextSpelling {
        attach: &[],
        spelling,
        untagged: true,
    }
}

const fn tagged(attach: &'static [u32], spelling: Spelling) -> ContextSpelling {
    ContextSpelling {
        attach,
        spelling,
        untagged: false,
    }
}

const fn skb(fields: &'static [Field]) -> Context {
    structure("__sk_buff", 192, fields)
}

const fn structure(name: &'static str, size: u32, fields: &'static [Field]) -> Context {
    Context::Struct {
        name,
        size,
        fields: Cow::Borrowed(fields),
    }
}

const fn kind(kind: u32, name: &'static str, since: Version, context: Context) -> ProgKind {
    ProgKind {
        kind,
        name,
        context,
        helpers: HelperSet {
            groups: &[],
            by_attach: &[],
            kind,
            later: &[],
        },
        returns: &[],
        sleepable: false,
        packet_loads: false,
        packet_write: false,
        packet_args: PacketArgs::None,
        attach: &[],
        default_attach: None,
        spellings: &[],
        private_stack: None,
        since,
    }
}

impl ProgKind {
    const fn helpers(mut self, groups: &'static [&'static [&'static str]]) -> ProgKind {
        self.helpers.groups = groups;
        self
    }

    const fn by_attach(
        mut self,
        sets: &'static [(&'static [u32], &'static [&'static str])],
    ) -> ProgKind {
        self.helpers.by_attach = sets;
        self
    }

    const fn spellings(mut self, spellings: &'static [ContextSpelling]) -> ProgKind {
        self.spellings = spellings;
        self
    }

    const fn private_stack(mut self, attach: &'static [u32]) -> ProgKind {
        self.private_stack = Some(PrivateStack {
            attach,
            since: Version(6, 13),
        });
        self
    }

    const fn returns(mut self, returns: &'static [Returns]) -> ProgKind {
        self.returns = returns;
        self
    }

    const fn sleepable(mut self) -> ProgKind {
        self.sleepable = true;
        self
    }

    const fn packet_loads(mut self) -> ProgKind {
        self.packet_loads = true;
        self
    }

    const fn packet_write(mut self) -> ProgKind {
        self.packet_write = true;
        self
    }

    const fn packet_args(mut self, args: PacketArgs) -> ProgKind {
        self.packet_args = args;
        self
    }

    const fn attach(mut self, attach: &'static [u32], default: Option<u32>) -> ProgKind {
        self.attach = attach;
        self.default_attach = default;
        self
    }
}
