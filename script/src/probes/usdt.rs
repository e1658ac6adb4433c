//! `usdt:FILE:PROVIDER:NAME`: static probes that programs and libraries carry.
//!
//! Source: `sys/sdt.h` of SystemTap; an argument is written `SIZE@OPERAND`, the operand as the
//! machine's assembler writes it, the size negative for signed values.

use super::uprobe::{files, resolve};
use super::{Point, ProbeKind, Row, is_pattern, matches};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::{Arch, Environment, UsdtSite};

pub const ROW: Row = Row {
    names: &["usdt", "U"],
    syntax: "`usdt:FILE:NAME` or `usdt:FILE:PROVIDER:NAME`; the file may have wildcards, and `*` means all files that processes run (with -p: this process)",
    doc: "A static probe of a program or library; its arguments are `arg0` …",
    example: "usdt:/usr/sbin/mysqld:query__start { printf(\"%s\\n\", str(arg0)); }",
    expand,
};

/// Where one argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdtArg {
    pub bytes: u8,
    pub signed: bool,
    pub place: UsdtPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsdtPlace {
    Constant(i64),
    /// Offset in the registers.
    Register(i32),
    /// In memory at `base + index * scale + displacement`.
    Memory {
        base: i32,
        index: Option<(i32, i64)>,
        displacement: i64,
    },
}

fn expand(p: &Point<'_>, env: &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (file, provider, name) = match p.parts.as_slice() {
        [file, name] => (*file, "*", *name),
        [file, provider, name] => (
            *file,
            if provider.is_empty() { "*" } else { provider },
            *name,
        ),
        _ => return Err(p.wrong("a file and a name must follow")),
    };
    let (name, provider) = (name.trim_matches('"'), provider.trim_matches('"'));
    if file.is_empty() || name.is_empty() {
        return Err(p.wrong("a file and a name must follow"));
    }
    let wanted = |path: &str, sites: &[UsdtSite]| -> Vec<ProbeKind> {
        let named = sites
            .iter()
            .filter(|s| matches(provider, &s.provider) && matches(name, &s.name));
        let kind = |s: &UsdtSite| ProbeKind::Usdt {
            path: path.to_owned(),
            provider: s.provider.clone(),
            name: s.name.clone(),
            offset: s.offset,
            semaphore: s.semaphore,
            args: s.args.clone(),
        };
        named.map(kind).collect()
    };
    if is_pattern(file) {
        let files = files(p, env, file)?;
        let found: Vec<ProbeKind> = files
            .iter()
            .flat_map(|path| wanted(path, &env.functions.usdt(path)))
            .collect();
        if found.is_empty() {
            let what = format!(
                "none of the {} files of {file} has a static probe {name}",
                files.len()
            );
            return Err(Diagnostic::error(p.span, what));
        }
        return Ok(found);
    }
    let path = resolve(p, env, file)?;
    let sites = env.functions.usdt(&path);
    let found = wanted(&path, &sites);
    if !found.is_empty() {
        return Ok(found);
    }
    let d = Diagnostic::error(p.span, format!("{path} has no static probe {name}"));
    if sites.is_empty() {
        return Err(d.hint("it has no static probes at all"));
    }
    let near = nearest(name, sites.iter().map(|s| s.name.as_str())).filter(|_| !is_pattern(name));
    Err(match near {
        Some(near) => d.hint(format!("did you mean `usdt:{file}:{near}`?")),
        None => d,
    })
}

/// The arguments of a site.
pub(crate) fn arguments(text: &str, arch: Arch) -> Vec<Option<UsdtArg>> {
    // On 64-bit Arm an operand in memory has a blank inside: `8@[sp, 16]`.
    let mut parts: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match parts.last_mut() {
            Some(last) if last.contains('[') && !last.contains(']') => last.push_str(word),
            _ => parts.push(word.to_owned()),
        }
    }
    parts.iter().map(|t| argument(t, arch)).collect()
}

fn argument(text: &str, arch: Arch) -> Option<UsdtArg> {
    let (size, operand) = text.split_once('@')?;
    let size: i8 = size.parse().ok()?;
    let bytes = size.unsigned_abs();
    if !matches!(bytes, 1 | 2 | 4 | 8) {
        return None;
    }
    let place = match arch {
        Arch::X86_64 => x86(operand)?,
        Arch::Aarch64 => arm(operand)?,
    };
    Some(UsdtArg {
        bytes,
        signed: size < 0,
        place,
    })
}

fn x86(operand: &str) -> Option<UsdtPlace> {
    if let Some(n) = operand.strip_prefix('$') {
        return Some(UsdtPlace::Constant(crate::lexer::integer(n)?));
    }
    if let Some(r) = operand.strip_prefix('%') {
        return Some(UsdtPlace::Register(x86_register(r)?));
    }
    let (displacement, rest) = operand.split_once('(')?;
    let displacement = match displacement {
        "" => 0,
        n => crate::lexer::integer(n)?,
    };
    let mut inner = rest.strip_suffix(')')?.split(',');
    let base = x86_register(inner.next()?.strip_prefix('%')?)?;
    let index = match inner.next() {
        Some(r) => {
            let r = x86_register(r.strip_prefix('%')?)?;
            let scale = match inner.next() {
                Some(n) => n.parse().ok()?,
                None => 1,
            };
            Some((r, scale))
        }
        None => None,
    };
    Some(UsdtPlace::Memory {
        base,
        index,
        displacement,
    })
}

/// Any width's name of a register.
fn x86_register(name: &str) -> Option<i32> {
    let full = match name {
        "al" | "ax" | "eax" | "rax" => "ax",
        "bl" | "bx" | "ebx" | "rbx" => "bx",
        "cl" | "cx" | "ecx" | "rcx" => "cx",
        "dl" | "dx" | "edx" | "rdx" => "dx",
        "sil" | "si" | "esi" | "rsi" => "si",
        "dil" | "di" | "edi" | "rdi" => "di",
        "bpl" | "bp" | "ebp" | "rbp" => "bp",
        "spl" | "sp" | "esp" | "rsp" => "sp",
        "rip" => "ip",
        other => other.trim_end_matches(['b', 'w', 'd']),
    };
    Arch::X86_64.register(full)
}

fn arm(operand: &str) -> Option<UsdtPlace> {
    let register = |r: &str| {
        let r = r.trim();
        let full = match r.strip_prefix('w') {
            Some(n) => format!("x{n}"),
            None => r.to_owned(),
        };
        Arch::Aarch64.register(&full)
    };
    if let Some(inner) = operand.strip_prefix('[') {
        let mut inner = inner.strip_suffix(']')?.split(',');
        let base = register(inner.next()?)?;
        let (index, displacement) = match inner.next() {
            None => (None, 0),
            Some(n) => match crate::lexer::integer(n.trim().trim_start_matches('#')) {
                Some(n) => (None, n),
                None => (Some((register(n)?, 1)), 0),
            },
        };
        return Some(UsdtPlace::Memory {
            base,
            index,
            displacement,
        });
    }
    match crate::lexer::integer(operand.trim_start_matches('#')) {
        Some(n) => Some(UsdtPlace::Constant(n)),
        None => Some(UsdtPlace::Register(register(operand)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands() {
        let a = arguments(
            "8@%rdi -4@-20(%rbp) 4@$5 2@%r8w 8@8(%rax,%rbx,4) 4@x(%rip)",
            Arch::X86_64,
        );
        assert_eq!(a.len(), 6);
        assert_eq!(a[0].unwrap().place, UsdtPlace::Register(112));
        let b = a[1].unwrap();
        assert!(b.signed && b.bytes == 4);
        assert_eq!(
            b.place,
            UsdtPlace::Memory {
                base: 32,
                index: None,
                displacement: -20
            }
        );
        assert_eq!(a[2].unwrap().place, UsdtPlace::Constant(5));
        assert_eq!(a[3].unwrap().place, UsdtPlace::Register(72));
        assert_eq!(
            a[4].unwrap().place,
            UsdtPlace::Memory {
                base: 80,
                index: Some((40, 4)),
                displacement: 8
            }
        );
        assert_eq!(a[5], None);
        let a = arguments("8@x0 -4@[sp, 12] 4@7", Arch::Aarch64);
        assert_eq!(a[0].unwrap().place, UsdtPlace::Register(0));
        assert_eq!(
            a[1].unwrap().place,
            UsdtPlace::Memory {
                base: 248,
                index: None,
                displacement: 12
            }
        );
        assert_eq!(a[2].unwrap().place, UsdtPlace::Constant(7));
    }
}
