//! [`Insn`] ⇄ [`Kind`] and operand fields, the halves in which the table describes an instruction.
//!
//! **Invariant:** `from_insn` and `to_insn` are inverse for every kind that the table holds.

use crate::table::{Kind, Pseudo};
use crate::{CallTarget, Imm64, Insn, Reg, Src};

/// The operand fields of an encoded instruction; those that a kind does not use, and those
/// that the table fixes, are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operands {
    pub dst: Reg,
    pub src: Reg,
    pub off: i16,
    pub imm: i32,
    /// Immediate of the second slot.
    pub next: i32,
}

impl Default for Operands {
    fn default() -> Operands {
        Operands {
            dst: Reg::R0,
            src: Reg::R0,
            off: 0,
            imm: 0,
            next: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub kind: Kind,
    pub ops: Operands,
}

impl Form {
    pub fn to_insn(self) -> Insn {
        let Operands {
            dst,
            src,
            off,
            imm,
            next,
        } = self.ops;
        let rel = off;
        let (reg, num) = (Src::Reg(src), Src::Imm(imm));
        match self.kind {
            Kind::AluImm(op, width) => Insn::Alu {
                op,
                width,
                dst,
                src: num,
            },
            Kind::AluReg(op, width) => Insn::Alu {
                op,
                width,
                dst,
                src: reg,
            },
            Kind::Neg(width) => Insn::Neg { width, dst },
            Kind::MovImm(width) => Insn::Mov {
                width,
                dst,
                src: num,
            },
            Kind::MovReg(width) => Insn::Mov {
                width,
                dst,
                src: reg,
            },
            Kind::MovSx(width, from) => Insn::MovSx {
                width,
                dst,
                src,
                from,
            },
            Kind::Swap(op, bits) => Insn::Swap { op, dst, bits },
            Kind::AddrSpaceCast => Insn::AddrSpaceCast {
                dst,
                src,
                to: (imm as u32 >> 16) as u16,
                from: imm as u32 as u16,
            },
            Kind::LoadImm64(pseudo) => {
                let imm = match pseudo {
                    Pseudo::Value => {
                        Imm64::Value(u64::from(next as u32) << 32 | u64::from(imm as u32))
                    }
                    Pseudo::MapFd => Imm64::MapFd(imm),
                    Pseudo::MapFdValue => Imm64::MapFdValue {
                        fd: imm,
                        off: next as u32,
                    },
                    Pseudo::BtfId => Imm64::BtfId {
                        id: imm as u32,
                        module: next as u32,
                    },
                    Pseudo::Func => Imm64::Func { rel: imm },
                    Pseudo::MapIdx => Imm64::MapIdx(imm as u32),
                    Pseudo::MapIdxValue => Imm64::MapIdxValue {
                        index: imm as u32,
                        off: next as u32,
                    },
                };
                Insn::LoadImm64 { dst, imm }
            }
            Kind::Load(size, signed) => Insn::Load {
                size,
                signed,
                dst,
                base: src,
                off,
            },
            Kind::StoreImm(size) => Insn::Store {
                size,
                base: dst,
                off,
                src: num,
            },
            Kind::StoreReg(size) => Insn::Store {
                size,
                base: dst,
                off,
                src: reg,
            },
            Kind::Atomic(op, size) => Insn::Atomic {
                op,
                size,
                base: dst,
                off,
                src,
            },
            Kind::LoadAcquire(size) => Insn::LoadAcquire {
                size,
                dst,
                base: src,
                off,
            },
            Kind::StoreRelease(size) => Insn::StoreRelease {
                size,
                base: dst,
                off,
                src,
            },
            Kind::LoadAbs(size) => Insn::LoadPacket {
                size,
                index: None,
                imm,
            },
            Kind::LoadInd(size) => Insn::LoadPacket {
                size,
                index: Some(src),
                imm,
            },
            Kind::Jump => Insn::Jump {
                rel: i32::from(rel),
                long: false,
            },
            Kind::JumpLong => Insn::Jump {
                rel: imm,
                long: true,
            },
            Kind::JumpReg => Insn::JumpReg { dst },
            Kind::JumpIfImm(op, width) => Insn::JumpIf {
                op,
                width,
                dst,
                src: num,
                rel,
            },
            Kind::JumpIfReg(op, width) => Insn::JumpIf {
                op,
                width,
                dst,
                src: reg,
                rel,
            },
            Kind::MayGoto => Insn::MayGoto { rel },
            Kind::CallHelper => Insn::Call(CallTarget::Helper(imm as u32)),
            Kind::CallSubprog => Insn::Call(CallTarget::Subprog { rel: imm }),
            Kind::CallKfunc => Insn::Call(CallTarget::Kfunc {
                id: imm as u32,
                module: off,
            }),
            Kind::CallReg => Insn::Call(CallTarget::Reg(dst)),
            Kind::Exit => Insn::Exit,
        }
    }

    /// `None` for `Imm64High` and for a short jump whose distance does not fit 16 bits.
    pub fn from_insn(insn: Insn) -> Option<Form> {
        let none = Operands::default();
        let (kind, ops) = match insn {
            Insn::Alu {
                op,
                width,
                dst,
                src: Src::Imm(imm),
            } => (Kind::AluImm(op, width), Operands { dst, imm, ..none }),
            Insn::Alu {
                op,
                width,
                dst,
                src: Src::Reg(src),
            } => (Kind::AluReg(op, width), Operands { dst, src, ..none }),
            Insn::Neg { width, dst } => (Kind::Neg(width), Operands { dst, ..none }),
            Insn::Mov {
                width,
                dst,
                src: Src::Imm(imm),
            } => (Kind::MovImm(width), Operands { dst, imm, ..none }),
            Insn::Mov {
                width,
                dst,
                src: Src::Reg(src),
            } => (Kind::MovReg(width), Operands { dst, src, ..none }),
            Insn::MovSx {
                width,
                dst,
                src,
                from,
            } => (Kind::MovSx(width, from), Operands { dst, src, ..none }),
            Insn::Swap { op, dst, bits } => (Kind::Swap(op, bits), Operands { dst, ..none }),
            Insn::AddrSpaceCast { dst, src, to, from } => {
                let imm = (u32::from(to) << 16 | u32::from(from)) as i32;
                (
                    Kind::AddrSpaceCast,
                    Operands {
                        dst,
                        src,
                        imm,
                        ..none
                    },
                )
            }
            Insn::LoadImm64 { dst, imm } => {
                let (pseudo, imm, next) = match imm {
                    Imm64::Value(v) => (Pseudo::Value, v as u32 as i32, (v >> 32) as u32 as i32),
                    Imm64::MapFd(fd) => (Pseudo::MapFd, fd, 0),
                    Imm64::MapFdValue { fd, off } => (Pseudo::MapFdValue, fd, off as i32),
                    Imm64::BtfId { id, module } => (Pseudo::BtfId, id as i32, module as i32),
                    Imm64::Func { rel } => (Pseudo::Func, rel, 0),
                    Imm64::MapIdx(index) => (Pseudo::MapIdx, index as i32, 0),
                    Imm64::MapIdxValue { index, off } => {
                        (Pseudo::MapIdxValue, index as i32, off as i32)
                    }
                };
                (
                    Kind::LoadImm64(pseudo),
                    Operands {
                        dst,
                        imm,
                        next,
                        ..none
                    },
                )
            }
            Insn::Imm64High => return None,
            Insn::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => (
                Kind::Load(size, signed),
                Operands {
                    dst,
                    src: base,
                    off,
                    ..none
                },
            ),
            Insn::Store {
                size,
                base,
                off,
                src: Src::Imm(imm),
            } => (
                Kind::StoreImm(size),
                Operands {
                    dst: base,
                    off,
                    imm,
                    ..none
                },
            ),
            Insn::Store {
                size,
                base,
                off,
                src: Src::Reg(src),
            } => (
                Kind::StoreReg(size),
                Operands {
                    dst: base,
                    off,
                    src,
                    ..none
                },
            ),
            Insn::Atomic {
                op,
                size,
                base,
                off,
                src,
            } => (
                Kind::Atomic(op, size),
                Operands {
                    dst: base,
                    off,
                    src,
                    ..none
                },
            ),
            Insn::LoadAcquire {
                size,
                dst,
                base,
                off,
            } => (
                Kind::LoadAcquire(size),
                Operands {
                    dst,
                    src: base,
                    off,
                    ..none
                },
            ),
            Insn::StoreRelease {
                size,
                base,
                off,
                src,
            } => (
                Kind::StoreRelease(size),
                Operands {
                    dst: base,
                    off,
                    src,
                    ..none
                },
            ),
            Insn::LoadPacket {
                size,
                index: None,
                imm,
            } => (Kind::LoadAbs(size), Operands { imm, ..none }),
            Insn::LoadPacket {
                size,
                index: Some(src),
                imm,
            } => (Kind::LoadInd(size), Operands { src, imm, ..none }),
            Insn::Jump { rel, long: false } => (
                Kind::Jump,
                Operands {
                    off: i16::try_from(rel).ok()?,
                    ..none
                },
            ),
            Insn::Jump { rel, long: true } => (Kind::JumpLong, Operands { imm: rel, ..none }),
            Insn::JumpIf {
                op,
                width,
                dst,
                src: Src::Imm(imm),
                rel,
            } => (
                Kind::JumpIfImm(op, width),
                Operands {
                    dst,
                    imm,
                    off: rel,
                    ..none
                },
            ),
            Insn::JumpIf {
                op,
                width,
                dst,
                src: Src::Reg(src),
                rel,
            } => (
                Kind::JumpIfReg(op, width),
                Operands {
                    dst,
                    src,
                    off: rel,
                    ..none
                },
            ),
            Insn::JumpReg { dst } => (Kind::JumpReg, Operands { dst, ..none }),
            Insn::MayGoto { rel } => (Kind::MayGoto, Operands { off: rel, ..none }),
            Insn::Call(CallTarget::Helper(n)) => (
                Kind::CallHelper,
                Operands {
                    imm: n as i32,
                    ..none
                },
            ),
            Insn::Call(CallTarget::Subprog { rel }) => {
                (Kind::CallSubprog, Operands { imm: rel, ..none })
            }
            Insn::Call(CallTarget::Kfunc { id, module }) => (
                Kind::CallKfunc,
                Operands {
                    imm: id as i32,
                    off: module,
                    ..none
                },
            ),
            Insn::Call(CallTarget::Reg(dst)) => (Kind::CallReg, Operands { dst, ..none }),
            Insn::Exit => (Kind::Exit, none),
        };
        Some(Form { kind, ops })
    }
}
