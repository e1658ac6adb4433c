//! A program's section name, parsed: what kind of program it is and where it wants to be attached.

use std::fmt;

use crate::hook_table::{ROWS, Rest};

/// Program kinds by their number in `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgType(pub u32);

#[rustfmt::skip]
impl ProgType {
    pub const SOCKET_FILTER: ProgType = ProgType(1);
    pub const KPROBE: ProgType = ProgType(2);
    pub const SCHED_CLS: ProgType = ProgType(3);
    pub const SCHED_ACT: ProgType = ProgType(4);
    pub const TRACEPOINT: ProgType = ProgType(5);
    pub const XDP: ProgType = ProgType(6);
    pub const PERF_EVENT: ProgType = ProgType(7);
    pub const CGROUP_SKB: ProgType = ProgType(8);
    pub const CGROUP_SOCK: ProgType = ProgType(9);
    pub const LWT_IN: ProgType = ProgType(10);
    pub const LWT_OUT: ProgType = ProgType(11);
    pub const LWT_XMIT: ProgType = ProgType(12);
    pub const SOCK_OPS: ProgType = ProgType(13);
    pub const SK_SKB: ProgType = ProgType(14);
    pub const CGROUP_DEVICE: ProgType = ProgType(15);
    pub const SK_MSG: ProgType = ProgType(16);
    pub const RAW_TRACEPOINT: ProgType = ProgType(17);
    pub const CGROUP_SOCK_ADDR: ProgType = ProgType(18);
    pub const LWT_SEG6LOCAL: ProgType = ProgType(19);
    pub const LIRC_MODE2: ProgType = ProgType(20);
    pub const SK_REUSEPORT: ProgType = ProgType(21);
    pub const FLOW_DISSECTOR: ProgType = ProgType(22);
    pub const CGROUP_SYSCTL: ProgType = ProgType(23);
    pub const RAW_TRACEPOINT_WRITABLE: ProgType = ProgType(24);
    pub const CGROUP_SOCKOPT: ProgType = ProgType(25);
    pub const TRACING: ProgType = ProgType(26);
    pub const STRUCT_OPS: ProgType = ProgType(27);
    pub const EXT: ProgType = ProgType(28);
    pub const LSM: ProgType = ProgType(29);
    pub const SK_LOOKUP: ProgType = ProgType(30);
    pub const SYSCALL: ProgType = ProgType(31);
    pub const NETFILTER: ProgType = ProgType(32);
}

/// `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachType(pub u32);

/// Where a program asks to be attached, from its section name (libbpf's spellings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The section name as it stands in the object, with `?` when there is one.
    pub section: String,
    /// Leading `?`: not loaded unless asked for.
    pub optional: bool,
    /// `.s` spellings.
    pub sleepable: bool,
    /// `xdp.frags`: packets of several fragments are welcome.
    pub frags: bool,
    /// `None` when the section name says nothing (`.text`, unknown names).
    pub prog_type: Option<ProgType>,
    pub attach_type: Option<AttachType>,
    pub target: Target,
}

/// The part of a section name after the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    None,
    /// `tp/CATEGORY/NAME`.
    Tracepoint {
        category: String,
        name: String,
    },
    /// `raw_tp/NAME`, `tp_btf/NAME`.
    RawTracepoint {
        name: String,
    },
    /// `kprobe/FUNC+OFF` and `kretprobe/`, `fentry/`, `fexit/`, `lsm/`, `iter/`, `struct_ops/` …: one kernel name.
    Function {
        name: String,
        offset: u64,
        ret: bool,
    },
    /// `ksyscall/NAME`, `kretsyscall/NAME`: a system call by its bare name (`openat`).
    Syscall {
        name: String,
        ret: bool,
    },
    /// `kprobe.multi/PATTERN`, `kprobe.session/PATTERN` (told apart by the attach type).
    FunctionPattern {
        pattern: String,
        ret: bool,
    },
    /// `uprobe/PATH:FUNC+OFF`; `uprobe.multi`, `uprobe.session`: `FUNC` may be a pattern.
    User {
        path: String,
        function: String,
        offset: u64,
        ret: bool,
        multi: bool,
    },
    /// `usdt/PATH:PROVIDER:NAME`.
    Usdt {
        path: String,
        provider: String,
        name: String,
    },
    /// `hook/NAME`, `hook/NAME@ABI`: a hook of a host application, in the version of its interface that the program was written for.
    Host {
        name: String,
        abi: Option<u32>,
    },
    /// Anything else after the slash (freplace targets, cgroup hooks with a free name …).
    Text(String),
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.section)
    }
}

impl Hook {
    /// Reads a section name as libbpf 1.x does, and a little more as aya: the kind stands alone or is followed by a slash.
    /// Names it does not know give a hook without a program type.
    pub fn parse(section: &str) -> Hook {
        let mut hook = Hook {
            section: section.to_owned(),
            optional: section.starts_with('?'),
            sleepable: false,
            frags: false,
            prog_type: None,
            attach_type: None,
            target: Target::None,
        };
        let name = section.strip_prefix('?').unwrap_or(section);
        for row in ROWS {
            let rest = match name.strip_prefix(row.name) {
                Some("") => None,
                Some(rest) if row.rest != Rest::No && rest.starts_with('/') => Some(&rest[1..]),
                _ => continue,
            };
            hook.sleepable = row.sleepable;
            hook.frags = row.frags;
            hook.prog_type = Some(row.prog_type);
            hook.attach_type = row.attach_type;
            if let Some(rest) = rest {
                hook.target = target(row.rest, rest).unwrap_or_else(|| Target::Text(rest.into()));
            }
            return hook;
        }
        if let Some(host) = name.strip_prefix("hook/").and_then(host) {
            hook.target = host;
        }
        hook
    }

    /// The part of the section name that says the kind: `kprobe.multi` of `?kprobe.multi/foo*`.
    pub fn kind(&self) -> &str {
        let name = self.section.strip_prefix('?').unwrap_or(&self.section);
        ROWS.iter()
            .map(|row| row.name)
            .find(|kind| {
                name.strip_prefix(kind)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .unwrap_or(name)
    }

    /// The kind that a section name begins with which says none, as old objects have it: `xdp` of `xdp1`, `classifier` of `.classifier`.
    /// And whether something may stand behind it after a slash.
    pub fn similar(&self) -> Option<(&'static str, bool)> {
        let name = self.section.trim_start_matches(['?', '.']);
        let rows = ROWS.iter().filter(|row| name.starts_with(row.name));
        let row = rows.max_by_key(|row| row.name.len())?;
        Some((row.name, row.rest != Rest::No))
    }
}

/// `NAME` or `NAME@ABI`.
fn host(text: &str) -> Option<Target> {
    let (name, abi) = match text.split_once('@') {
        Some((name, abi)) => (name, Some(abi.parse().ok()?)),
        None => (text, None),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(fine)).then(|| Target::Host {
        name: name.into(),
        abi,
    })
}

/// `None` for what is not of the kind's form.
fn target(rest: Rest, text: &str) -> Option<Target> {
    if text.is_empty() {
        return None;
    }
    let name = || text.to_owned();
    Some(match rest {
        Rest::No | Rest::Text => return None,
        Rest::Tracepoint => {
            let (category, name) = text.split_once('/')?;
            Target::Tracepoint {
                category: category.into(),
                name: name.into(),
            }
        }
        Rest::RawTracepoint => Target::RawTracepoint { name: name() },
        Rest::Function | Rest::Return => {
            let (name, offset) = function(text)?;
            Target::Function {
                name,
                offset,
                ret: rest == Rest::Return,
            }
        }
        Rest::Syscall | Rest::SyscallReturn => Target::Syscall {
            name: name(),
            ret: rest == Rest::SyscallReturn,
        },
        Rest::Pattern | Rest::PatternReturn => Target::FunctionPattern {
            pattern: name(),
            ret: rest == Rest::PatternReturn,
        },
        Rest::User | Rest::UserReturn => {
            let (path, place) = text.split_once(':')?;
            // An address alone stands for an offset into the file.
            let (function, offset) = match number(place) {
                Some(offset) => (String::new(), offset),
                None => function(place)?,
            };
            Target::User {
                path: path.into(),
                function,
                offset,
                ret: rest == Rest::UserReturn,
                multi: false,
            }
        }
        Rest::UserMulti | Rest::UserMultiReturn => {
            let (path, pattern) = text.split_once(':')?;
            Target::User {
                path: path.into(),
                function: pattern.into(),
                offset: 0,
                ret: rest == Rest::UserMultiReturn,
                multi: true,
            }
        }
        Rest::Usdt => {
            let (path, probe) = text.split_once(':')?;
            let (provider, name) = probe.split_once(':')?;
            Target::Usdt {
                path: path.into(),
                provider: provider.into(),
                name: name.into(),
            }
        }
    })
}

/// `FUNC` or `FUNC+OFF`.
fn function(text: &str) -> Option<(String, u64)> {
    match text.split_once('+') {
        None => Some((text.into(), 0)),
        Some((name, offset)) => Some((name.into(), number(offset)?)),
    }
}

/// As C writes numbers: decimal, `0x…`, or octal after a 0.
fn number(text: &str) -> Option<u64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(section: &str) -> (Option<u32>, Option<u32>, Target) {
        let hook = Hook::parse(section);
        assert_eq!(hook.to_string(), section);
        (
            hook.prog_type.map(|t| t.0),
            hook.attach_type.map(|t| t.0),
            hook.target,
        )
    }

    fn function(name: &str, offset: u64, ret: bool) -> Target {
        Target::Function {
            name: name.into(),
            offset,
            ret,
        }
    }

    #[test]
    fn kinds_that_old_names_begin_with() {
        let similar = |section: &str| Hook::parse(section).similar();
        assert_eq!(similar("xdp1"), Some(("xdp", false)));
        assert_eq!(similar(".classifier"), Some(("classifier", true)));
        assert_eq!(similar("?kprobe.multiple"), Some(("kprobe.multi", true)));
        assert_eq!(similar("2/1"), None);
    }

    #[test]
    fn kinds_alone_and_with_targets() {
        assert_eq!(parsed("xdp"), (Some(6), Some(37), Target::None));
        assert_eq!(parsed("xdp/devmap"), (Some(6), Some(33), Target::None));
        let mine = Target::Text("mine".into());
        assert_eq!(parsed("classifier/mine"), (Some(3), None, mine));
        assert_eq!(parsed("kprobe"), (Some(2), None, Target::None));
        assert_eq!(
            parsed("kprobe/vfs_read+0x10"),
            (Some(2), None, function("vfs_read", 16, false))
        );
        assert_eq!(
            parsed("fexit/vfs_read"),
            (Some(26), Some(25), function("vfs_read", 0, true))
        );
        assert_eq!(
            parsed("cgroup_skb/ingress"),
            (Some(8), Some(0), Target::None)
        );
        assert_eq!(parsed("socket"), (Some(1), None, Target::None));
        assert_eq!(
            parsed("tp/syscalls/sys_enter_openat"),
            (
                Some(5),
                None,
                Target::Tracepoint {
                    category: "syscalls".into(),
                    name: "sys_enter_openat".into()
                }
            )
        );
        assert_eq!(
            parsed("kprobe.session/vfs_*"),
            (
                Some(2),
                Some(56),
                Target::FunctionPattern {
                    pattern: "vfs_*".into(),
                    ret: false
                }
            )
        );
        assert_eq!(
            parsed("kretsyscall/openat").2,
            Target::Syscall {
                name: "openat".into(),
                ret: true
            }
        );
    }

    #[test]
    fn user_targets() {
        assert_eq!(
            parsed("uretprobe//usr/lib/libc.so.6:malloc+4").2,
            Target::User {
                path: "/usr/lib/libc.so.6".into(),
                function: "malloc".into(),
                offset: 4,
                ret: true,
                multi: false
            }
        );
        assert_eq!(
            parsed("usdt/libc.so.6:libc:setjmp").2,
            Target::Usdt {
                path: "libc.so.6".into(),
                provider: "libc".into(),
                name: "setjmp".into()
            }
        );
        assert_eq!(parsed("uprobe/nonsense").2, Target::Text("nonsense".into()));
    }

    #[test]
    fn hooks_of_hosts_have_names_and_versions() {
        let host = |name: &str, abi| {
            let name = name.into();
            (None, None, Target::Host { name, abi })
        };
        assert_eq!(parsed("hook/request"), host("request", None));
        assert_eq!(parsed("hook/http.request@3"), host("http.request", Some(3)));
        for nothing in [
            "hook",
            "hook/",
            "hook/@1",
            "hook/a b",
            "hook/a@",
            "hook/a@x",
            "hook/a@-1",
            "hook/a@1@2",
        ] {
            assert_eq!(parsed(nothing), (None, None, Target::None), "{nothing}");
        }
    }

    #[test]
    fn unknown_spellings_have_no_type() {
        for section in [
            "xdp_prog",
            "xdp/whatever",
            "kprobes/foo",
            ".text",
            "",
            "?",
            "tracepointx",
            "foo/bar",
        ] {
            assert_eq!(Hook::parse(section).prog_type, None, "{section}");
        }
    }

    #[test]
    fn modifiers() {
        let hook = Hook::parse("?lsm.s/file_open");
        assert!(hook.optional && hook.sleepable && !hook.frags);
        assert_eq!(hook.kind(), "lsm.s");
        assert!(Hook::parse("xdp.frags").frags);
        assert!(Hook::parse("syscall").sleepable);
    }

    #[test]
    fn no_spelling_twice() {
        let mut names: Vec<_> = ROWS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        let len = names.len();
        names.dedup();
        assert_eq!(names.len(), len);
        for row in ROWS {
            assert_eq!(
                Hook::parse(row.name).prog_type,
                Some(row.prog_type),
                "{}",
                row.name
            );
        }
    }
}
