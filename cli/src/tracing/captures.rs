//! Packets that a script hands out → capture files (pcap, raw IP).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, TsResolution};
use probity_script::Packet;

/// The files of one run, by their names; each is made when its first packet comes.
#[derive(Default)]
pub struct Captures(HashMap<String, PcapWriter<BufWriter<File>>>);

impl Captures {
    pub fn write(&mut self, packet: &Packet) -> Result<()> {
        let shown = &packet.path;
        if !self.0.contains_key(shown) {
            let file = File::create(shown).with_context(|| format!("cannot write {shown}"))?;
            let header = PcapHeader {
                datalink: DataLink::RAW,
                ts_resolution: TsResolution::NanoSecond,
                ..PcapHeader::default()
            };
            let writer = PcapWriter::with_header(BufWriter::new(file), header)
                .with_context(|| format!("cannot write {shown}"))?;
            self.0.insert(shown.clone(), writer);
        }
        let Some(writer) = self.0.get_mut(shown) else {
            return Ok(());
        };
        let since = u64::try_from(packet.time).unwrap_or(0);
        // No packet is shorter than what there is of it.
        let whole = packet.length.max(packet.bytes.len() as u32);
        writer
            .write_packet(&PcapPacket::new(
                Duration::from_nanos(since),
                whole,
                &packet.bytes,
            ))
            .with_context(|| format!("cannot write {shown}"))?;
        Ok(())
    }

    /// Nothing is in a buffer any more.
    pub fn finish(&mut self) -> Result<()> {
        for (shown, writer) in self.0.drain() {
            let mut file = writer.into_writer();
            file.flush()
                .with_context(|| format!("cannot write {shown}"))?;
        }
        Ok(())
    }
}
