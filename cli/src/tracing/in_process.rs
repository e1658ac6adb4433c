//! The maps of a script that runs in this process, as its printer reads them.

use probity_runtime::Instance;
use probity_script::MapReader;

use crate::output;

/// The instance's maps.
pub struct ProcessMaps<'a>(pub &'a Instance);

impl MapReader for ProcessMaps<'_> {
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let Some(map) = self.0.map_by_name(map) else {
            return Vec::new();
        };
        map.keys()
            .into_iter()
            .filter_map(|key| Some((key.clone(), cells(map, &key)?)))
            .collect()
    }

    fn lookup(&self, map: &str, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        cells(self.0.map_by_name(map)?, key)
    }

    fn delete(&self, map: &str, key: &[u8]) {
        if let Some(map) = self.0.map_by_name(map) {
            // Gone already is as good.
            let _ = map.delete(key);
        }
    }

    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]) {
        let Some(map) = self.0.map_by_name(map) else {
            return;
        };
        let result = match (map.is_percpu(), cells) {
            (true, cells) => {
                map.update_percpu(key, &cells.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0)
            }
            (false, [one, ..]) => map.update(key, one, 0),
            (false, []) => Ok(()),
        };
        if let Err(error) = result {
            output::warning(error);
        }
    }
}

fn cells(map: &probity_runtime::Map, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    if map.is_percpu() {
        map.lookup_percpu(key)
    } else {
        Some(vec![map.lookup(key)?])
    }
}
