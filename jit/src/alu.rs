//! Arithmetic and comparison → IR, as RFC 9669 sections 4.1 to 4.3 say.
//!
//! **Invariant:** no value of any register makes the machine trap: division by zero gives 0,
//! modulo by zero the dividend, and the one signed overflow wraps.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use probity_isa::{AluOp, JmpOp, Size, Src, SwapOp, Width};

/// The IR type of a width.
pub(crate) fn of_width(width: Width) -> Type {
    match width {
        Width::W32 => types::I32,
        Width::W64 => types::I64,
    }
}

/// The IR type of a memory access.
pub(crate) fn of_size(size: Size) -> Type {
    match size {
        Size::B => types::I8,
        Size::H => types::I16,
        Size::W => types::I32,
        Size::DW => types::I64,
    }
}

/// The low part of a 64-bit value.
pub(crate) fn narrow(b: &mut FunctionBuilder, v: Value, ty: Type) -> Value {
    if ty == types::I64 {
        v
    } else {
        b.ins().ireduce(ty, v)
    }
}

/// Zero-extends to 64 bits.
pub(crate) fn widen(b: &mut FunctionBuilder, v: Value) -> Value {
    if b.func.dfg.value_type(v) == types::I64 {
        v
    } else {
        b.ins().uextend(types::I64, v)
    }
}

/// Sign-extends to 64 bits.
pub(crate) fn widen_signed(b: &mut FunctionBuilder, v: Value) -> Value {
    if b.func.dfg.value_type(v) == types::I64 {
        v
    } else {
        b.ins().sextend(types::I64, v)
    }
}

/// `dst op src`, both of the operation's width, which the result has too. `constant` is the second operand when it is an immediate.
pub(crate) fn alu(
    b: &mut FunctionBuilder,
    op: AluOp,
    dst: Value,
    src: Value,
    constant: Option<i32>,
) -> Value {
    match op {
        AluOp::Add => b.ins().iadd(dst, src),
        AluOp::Sub => b.ins().isub(dst, src),
        AluOp::Mul => b.ins().imul(dst, src),
        AluOp::Or => b.ins().bor(dst, src),
        AluOp::And => b.ins().band(dst, src),
        AluOp::Xor => b.ins().bxor(dst, src),
        // Cranelift masks shift counts by the type's width, as BPF does.
        AluOp::Lsh => b.ins().ishl(dst, src),
        AluOp::Rsh => b.ins().ushr(dst, src),
        AluOp::Arsh => b.ins().sshr(dst, src),
        AluOp::Div | AluOp::Mod => unsigned_division(b, op, dst, src, constant),
        AluOp::SDiv | AluOp::SMod => signed_division(b, op, dst, src, constant),
    }
}

fn unsigned_division(
    b: &mut FunctionBuilder,
    op: AluOp,
    dst: Value,
    src: Value,
    constant: Option<i32>,
) -> Value {
    let ty = b.func.dfg.value_type(dst);
    match constant {
        Some(0) if op == AluOp::Div => b.ins().iconst(ty, 0),
        Some(0) => dst,
        Some(_) if op == AluOp::Div => b.ins().udiv(dst, src),
        Some(_) => b.ins().urem(dst, src),
        None => {
            let zero = b.ins().icmp_imm_u(IntCC::Equal, src, 0);
            let one = b.ins().iconst(ty, 1);
            let safe = b.ins().select(zero, one, src);
            if op == AluOp::Div {
                let q = b.ins().udiv(dst, safe);
                let none = b.ins().iconst(ty, 0);
                b.ins().select(zero, none, q)
            } else {
                let r = b.ins().urem(dst, safe);
                b.ins().select(zero, dst, r)
            }
        }
    }
}

fn signed_division(
    b: &mut FunctionBuilder,
    op: AluOp,
    dst: Value,
    src: Value,
    constant: Option<i32>,
) -> Value {
    let ty = b.func.dfg.value_type(dst);
    let div = op == AluOp::SDiv;
    match constant {
        Some(0) if div => b.ins().iconst(ty, 0),
        Some(0) => dst,
        Some(-1) if div => b.ins().ineg(dst),
        Some(-1) => b.ins().iconst(ty, 0),
        Some(_) if div => b.ins().sdiv(dst, src),
        Some(_) => b.ins().srem(dst, src),
        None => {
            let zero = b.ins().icmp_imm_u(IntCC::Equal, src, 0);
            let minus = b.ins().icmp_imm_s(IntCC::Equal, src, -1);
            let special = b.ins().bor(zero, minus);
            let one = b.ins().iconst(ty, 1);
            let safe = b.ins().select(special, one, src);
            let none = b.ins().iconst(ty, 0);
            if div {
                let q = b.ins().sdiv(dst, safe);
                let negated = b.ins().ineg(dst);
                let q = b.ins().select(minus, negated, q);
                b.ins().select(zero, none, q)
            } else {
                // A remainder of ±1 is 0.
                let r = b.ins().srem(dst, safe);
                b.ins().select(zero, dst, r)
            }
        }
    }
}

/// Byte order, on a little-endian host: 64 bits in, 64 bits out.
pub(crate) fn swap(b: &mut FunctionBuilder, op: SwapOp, bits: u8, v: Value) -> Value {
    let ty = match bits {
        16 => types::I16,
        32 => types::I32,
        _ => types::I64,
    };
    let v = narrow(b, v, ty);
    let v = match op {
        SwapOp::ToLe => v,
        SwapOp::ToBe | SwapOp::Bswap => b.ins().bswap(v),
    };
    widen(b, v)
}

/// Whether a jump is taken, from operands of the comparison's width: an `i8`.
pub(crate) fn compare(b: &mut FunctionBuilder, op: JmpOp, x: Value, y: Value) -> Value {
    let cc = match op {
        JmpOp::Eq => IntCC::Equal,
        JmpOp::Ne => IntCC::NotEqual,
        JmpOp::Gt => IntCC::UnsignedGreaterThan,
        JmpOp::Ge => IntCC::UnsignedGreaterThanOrEqual,
        JmpOp::Lt => IntCC::UnsignedLessThan,
        JmpOp::Le => IntCC::UnsignedLessThanOrEqual,
        JmpOp::SGt => IntCC::SignedGreaterThan,
        JmpOp::SGe => IntCC::SignedGreaterThanOrEqual,
        JmpOp::SLt => IntCC::SignedLessThan,
        JmpOp::SLe => IntCC::SignedLessThanOrEqual,
        JmpOp::Set => {
            let both = b.ins().band(x, y);
            return b.ins().icmp_imm_u(IntCC::NotEqual, both, 0);
        }
    };
    b.ins().icmp(cc, x, y)
}

/// The immediate of a second operand.
pub(crate) fn immediate(src: Src) -> Option<i32> {
    match src {
        Src::Imm(i) => Some(i),
        Src::Reg(_) => None,
    }
}
