//! The in-process platform: Linux's rows, narrowed to the helpers and map kinds that exist here.

use std::sync::Arc;

use probity_btf::Btf;
use probity_platform::Platform;
use probity_platform::linux::NEWEST;

use crate::{helpers, kfuncs, maps};

/// What programs may do in process. A proof for it holds on Linux too, and one for Linux holds
/// here when [`crate::Instance::new`] finds everything that the programs reach.
/// Without a kernel's types, those of the kernel functions that exist here.
pub fn platform(types: Option<Arc<Btf>>) -> Platform {
    let types = types.unwrap_or_else(|| Arc::new(kfuncs::types()));
    let linux = Platform::linux(NEWEST, Some(types));
    Platform {
        name: "in-process".into(),
        helpers: linux
            .helpers
            .iter()
            .filter(|h| helpers::find(h.id).is_some())
            .cloned()
            .collect(),
        map_kinds: linux
            .map_kinds
            .iter()
            .filter(|k| maps::supported(k.kind))
            .cloned()
            .collect(),
        kfuncs: linux
            .kfuncs
            .iter()
            .filter(|k| kfuncs::find(k.name).is_some())
            .cloned()
            .collect(),
        ..linux
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_helper_here_is_a_row_of_linux_by_number_and_name() {
        let linux = Platform::linux(NEWEST, None);
        for entry in helpers::all() {
            let row = linux.helper(entry.id);
            assert_eq!(row.map(|r| r.name), Some(entry.name), "helper {}", entry.id);
        }
        assert_eq!(
            platform(None).helpers.len(),
            helpers::all().count(),
            "two entries share a number"
        );
    }
}
