//! The text of a row, split into literal text and operands in braces.
//!
//! **Invariant:** printing and parsing know an operand by the same [`Slot`], so they cannot
//! disagree on where it stands.

/// An operand of a template: which field it shows, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `r1`
    Dst,
    /// `w1`
    Dst32,
    Src,
    Src32,
    /// Immediate, sign-extended to 64 bits by the operation.
    Imm,
    /// Immediate of 32 bits, signed or not.
    Imm32,
    /// Immediate, read as a signed number of 32 bits.
    SignedImm,
    /// Immediate, read as an unsigned number of 32 bits.
    Id,
    /// Immediate: a helper's number, or any callee's name.
    Helper,
    /// Immediate: its upper and lower halves.
    To,
    From,
    /// Both immediates as one number, or a symbol.
    Imm64,
    /// Immediate of the second slot.
    Next,
    /// Offset field: `+ 4` or `- 4`.
    Off,
    /// Offset field without spaces: `+4`, `-4`, or nothing.
    Disp,
    /// Immediate as an offset: ` + 4`, ` - 4`, or nothing.
    Off32,
    /// Offset field as a plain number.
    Module,
    /// Offset field as a jump: `+3`, `-2` or a label.
    Rel,
    /// Immediate as a jump.
    Rel32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(&'static str),
    Operand(Slot),
}

impl Slot {
    fn named(name: &str) -> Option<Slot> {
        Some(match name {
            "dst" => Slot::Dst,
            "dst32" => Slot::Dst32,
            "src" => Slot::Src,
            "src32" => Slot::Src32,
            "imm" => Slot::Imm,
            "imm32" => Slot::Imm32,
            "simm" => Slot::SignedImm,
            "id" => Slot::Id,
            "helper" => Slot::Helper,
            "to" => Slot::To,
            "from" => Slot::From,
            "imm64" => Slot::Imm64,
            "next" => Slot::Next,
            "off" => Slot::Off,
            "disp" => Slot::Disp,
            "off32" => Slot::Off32,
            "module" => Slot::Module,
            "rel" => Slot::Rel,
            "rel32" => Slot::Rel32,
            _ => return None,
        })
    }
}

/// The pieces of a template. Braces around anything but a slot's name are literal text, which
/// a test shows not to occur.
pub(crate) fn pieces(text: &'static str) -> impl Iterator<Item = Piece> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if let Some((slot, after)) = leading_slot(rest) {
            rest = after;
            return Some(Piece::Operand(slot));
        }
        let end = rest
            .match_indices('{')
            .map(|(i, _)| i)
            .find(|i| leading_slot(&rest[*i..]).is_some());
        let (literal, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!literal.is_empty()).then_some(Piece::Literal(literal))
    })
}

fn leading_slot(text: &'static str) -> Option<(Slot, &'static str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    Some((Slot::named(name)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TABLE;

    #[test]
    fn every_brace_is_an_operand() {
        for row in &TABLE {
            for piece in pieces(row.text) {
                if let Piece::Literal(text) = piece {
                    assert!(!text.contains(['{', '}']), "{:?}", row.text);
                }
            }
        }
    }
}
