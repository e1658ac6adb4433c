//! Verdicts of a kernel, kept in a file of one JSON record a line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::kernel::Answer;

#[derive(serde::Serialize, serde::Deserialize)]
struct Record {
    key: String,
    /// For people.
    program: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Default)]
pub struct Cache {
    known: HashMap<String, Answer>,
    file: Option<File>,
}

impl Cache {
    /// Reads what is there; new verdicts are appended.
    pub fn open(path: &Path) -> Result<Cache, String> {
        let error = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut known = HashMap::new();
        if path.exists() {
            for line in std::fs::read_to_string(path).map_err(error)?.lines() {
                // A line that was cut off when a run was interrupted is only asked for again.
                if let Ok(r) = serde_json::from_str::<Record>(line) {
                    known.insert(r.key, r.answer);
                }
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(error)?;
        Ok(Cache {
            known,
            file: Some(file),
        })
    }

    pub fn get(&self, key: &str) -> Option<&Answer> {
        self.known.get(key)
    }

    pub fn put(&mut self, key: String, program: &str, answer: &Answer) {
        if let Some(file) = &mut self.file {
            let record = Record {
                key,
                program: program.to_string(),
                answer: answer.clone(),
            };
            if let Ok(text) = serde_json::to_string(&record) {
                // A cache that cannot be written is a slower one, no wrong one.
                let _ = writeln!(file, "{text}");
            }
        }
    }
}

/// A name for bytes: two rounds of 64-bit FNV-1a.
pub fn hash(parts: &[&[u8]]) -> String {
    let mut a = 0xcbf2_9ce4_8422_2325u64;
    let mut b = 0x9ae1_6a3b_2f90_404fu64;
    for part in parts {
        for &byte in part.iter().chain(&(part.len() as u64).to_le_bytes()) {
            a = (a ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            b = (b ^ u64::from(byte.rotate_left(3))).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{a:016x}{b:016x}")
}
