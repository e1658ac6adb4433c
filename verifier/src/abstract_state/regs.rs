//! The registers of one frame, by number.
//!
//! Each half is copied when one of its registers is written and the copy that shares it still needs the old value:
//! r0 to r5, which change all the time, and r6 to r10, which mostly keep what they were given.

use std::ops::{Index, IndexMut};
use std::rc::Rc;

use probity_isa::Reg;

use crate::shared::own;
use crate::value::Value;

/// r0 to r5.
const LOW: usize = 6;

#[derive(Clone, Debug)]
pub(crate) struct Regs {
    low: Rc<[Value; LOW]>,
    high: Rc<[Value; Reg::COUNT - LOW]>,
}

impl Default for Regs {
    fn default() -> Regs {
        Regs {
            low: Rc::new([Value::Uninit; LOW]),
            high: Rc::new([Value::Uninit; Reg::COUNT - LOW]),
        }
    }
}

impl Index<usize> for Regs {
    type Output = Value;

    #[inline]
    fn index(&self, reg: usize) -> &Value {
        match reg {
            0..LOW => &self.low[reg],
            _ => &self.high[reg - LOW],
        }
    }
}

impl IndexMut<usize> for Regs {
    #[inline]
    fn index_mut(&mut self, reg: usize) -> &mut Value {
        match reg {
            0..LOW => &mut own(&mut self.low)[reg],
            _ => &mut own(&mut self.high)[reg - LOW],
        }
    }
}

impl Regs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.low.iter().chain(self.high.iter())
    }

    /// Changes every value for which `wanted` holds.
    pub(crate) fn for_each(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        mut f: impl FnMut(&mut Value),
    ) {
        if self.low.iter().any(&wanted) {
            let low = own(&mut self.low);
            low.iter_mut().filter(|v| wanted(v)).for_each(&mut f);
        }
        if self.high.iter().any(&wanted) {
            let high = own(&mut self.high);
            high.iter_mut().filter(|v| wanted(v)).for_each(&mut f);
        }
    }
}
