//! Arithmetic and comparison: operands → result, as RFC 9669 sections 4.1 to 4.3 say.

use probity_isa::{AluOp, Insn, JmpOp, Reg, Size, Src, SwapOp, Width};

/// r0 to r10.
pub(crate) type Regs = [u64; Reg::COUNT];

/// The second operand; 32-bit operations look at its low half only.
#[inline]
pub(crate) fn operand(regs: &Regs, src: Src) -> u64 {
    match src {
        Src::Reg(r) => regs[r.index()],
        Src::Imm(i) => i as u64,
    }
}

/// Executes an instruction that touches registers only; false for any other.
#[inline]
pub(crate) fn step(insn: Insn, regs: &mut Regs) -> bool {
    match insn {
        Insn::Alu {
            op,
            width,
            dst,
            src,
        } => {
            regs[dst.index()] = alu(op, width, regs[dst.index()], operand(regs, src));
        }
        Insn::Neg { width, dst } => regs[dst.index()] = neg(width, regs[dst.index()]),
        Insn::Mov { width, dst, src } => regs[dst.index()] = narrow(width, operand(regs, src)),
        Insn::MovSx {
            width,
            dst,
            src,
            from,
        } => {
            regs[dst.index()] = narrow(width, sign_extend(regs[src.index()], from));
        }
        Insn::Swap { op, dst, bits } => regs[dst.index()] = swap(op, bits, regs[dst.index()]),
        _ => return false,
    }
    true
}

/// `dst op src`. A 32-bit result is zero-extended; shift counts are masked; division by zero
/// gives 0, modulo by zero the dividend; the one signed overflow wraps.
#[inline]
pub(crate) fn alu(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    match width {
        Width::W64 => match op {
            AluOp::Add => dst.wrapping_add(src),
            AluOp::Sub => dst.wrapping_sub(src),
            AluOp::Mul => dst.wrapping_mul(src),
            AluOp::Div => dst.checked_div(src).unwrap_or(0),
            AluOp::SDiv if src == 0 => 0,
            AluOp::SDiv => (dst as i64).wrapping_div(src as i64) as u64,
            AluOp::Mod => dst.checked_rem(src).unwrap_or(dst),
            AluOp::SMod if src == 0 => dst,
            AluOp::SMod => (dst as i64).wrapping_rem(src as i64) as u64,
            AluOp::Or => dst | src,
            AluOp::And => dst & src,
            AluOp::Xor => dst ^ src,
            AluOp::Lsh => dst.wrapping_shl(src as u32),
            AluOp::Rsh => dst.wrapping_shr(src as u32),
            AluOp::Arsh => (dst as i64).wrapping_shr(src as u32) as u64,
        },
        Width::W32 => {
            let (dst, src) = (dst as u32, src as u32);
            u64::from(match op {
                AluOp::Add => dst.wrapping_add(src),
                AluOp::Sub => dst.wrapping_sub(src),
                AluOp::Mul => dst.wrapping_mul(src),
                AluOp::Div => dst.checked_div(src).unwrap_or(0),
                AluOp::SDiv if src == 0 => 0,
                AluOp::SDiv => (dst as i32).wrapping_div(src as i32) as u32,
                AluOp::Mod => dst.checked_rem(src).unwrap_or(dst),
                AluOp::SMod if src == 0 => dst,
                AluOp::SMod => (dst as i32).wrapping_rem(src as i32) as u32,
                AluOp::Or => dst | src,
                AluOp::And => dst & src,
                AluOp::Xor => dst ^ src,
                AluOp::Lsh => dst.wrapping_shl(src),
                AluOp::Rsh => dst.wrapping_shr(src),
                AluOp::Arsh => (dst as i32).wrapping_shr(src) as u32,
            })
        }
    }
}

#[inline]
pub(crate) fn neg(width: Width, v: u64) -> u64 {
    narrow(width, v.wrapping_neg())
}

/// Keeps the low bits of a width.
#[inline]
pub(crate) fn narrow(width: Width, v: u64) -> u64 {
    match width {
        Width::W32 => v & 0xffff_ffff,
        Width::W64 => v,
    }
}

/// Sign-extends the low `from` to 64 bits.
#[inline]
pub(crate) fn sign_extend(v: u64, from: Size) -> u64 {
    match from {
        Size::B => v as i8 as u64,
        Size::H => v as i16 as u64,
        Size::W => v as i32 as u64,
        Size::DW => v,
    }
}

/// Byte order, on a little-endian host.
#[inline]
pub(crate) fn swap(op: SwapOp, bits: u8, v: u64) -> u64 {
    match (op, bits) {
        (SwapOp::ToLe, 16) => v & 0xffff,
        (SwapOp::ToLe, 32) => v & 0xffff_ffff,
        (SwapOp::ToLe, _) => v,
        (SwapOp::ToBe | SwapOp::Bswap, 16) => u64::from((v as u16).swap_bytes()),
        (SwapOp::ToBe | SwapOp::Bswap, 32) => u64::from((v as u32).swap_bytes()),
        (SwapOp::ToBe | SwapOp::Bswap, _) => v.swap_bytes(),
    }
}

/// Whether a conditional jump is taken.
#[inline]
pub(crate) fn compare(op: JmpOp, width: Width, a: u64, b: u64) -> bool {
    let (a, b) = (narrow(width, a), narrow(width, b));
    let (sa, sb) = match width {
        Width::W32 => (i64::from(a as i32), i64::from(b as i32)),
        Width::W64 => (a as i64, b as i64),
    };
    match op {
        JmpOp::Eq => a == b,
        JmpOp::Ne => a != b,
        JmpOp::Gt => a > b,
        JmpOp::Ge => a >= b,
        JmpOp::Lt => a < b,
        JmpOp::Le => a <= b,
        JmpOp::SGt => sa > sb,
        JmpOp::SGe => sa >= sb,
        JmpOp::SLt => sa < sb,
        JmpOp::SLe => sa <= sb,
        JmpOp::Set => a & b != 0,
    }
}

#[cfg(test)]
mod tests;
