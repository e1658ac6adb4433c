//! Files of packets: pcap in, pcap out.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};

/// A packet wherever it is from.
pub struct Captured<'a> {
    pub bytes: &'a [u8],
    /// On the wire.
    pub length: u32,
    /// Since 1970.
    pub time: Duration,
}

pub struct Reader {
    packets: PcapReader<BufReader<File>>,
    path: PathBuf,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        let packets = PcapReader::new(BufReader::new(file))
            .with_context(|| format!("{shown} is no capture (pcap)"))?;
        Ok(Reader {
            packets,
            path: path.into(),
        })
    }

    /// Kind of link header, as pcap numbers them.
    pub fn link(&self) -> u32 {
        self.packets.header().datalink.into()
    }

    /// Hands each packet on until `each` says that it is enough.
    pub fn packets(&mut self, mut each: impl FnMut(Captured<'_>) -> Result<bool>) -> Result<()> {
        while let Some(packet) = self.packets.next_packet() {
            let packet = packet.with_context(|| format!("in {}", self.path.display()))?;
            let captured = Captured {
                bytes: &packet.data,
                length: packet.orig_len,
                time: packet.timestamp,
            };
            if !each(captured)? {
                break;
            }
        }
        Ok(())
    }
}

pub struct Writer {
    packets: PcapWriter<BufWriter<File>>,
}

impl Writer {
    pub fn create(path: &Path, link: u32) -> Result<Writer> {
        let shown = path.display();
        let file = File::create(path).with_context(|| format!("cannot write {shown}"))?;
        let header = PcapHeader {
            datalink: DataLink::from(link),
            ts_resolution: TsResolution::NanoSecond,
            endianness: Endianness::native(),
            ..PcapHeader::default()
        };
        let packets = PcapWriter::with_header(BufWriter::new(file), header)
            .with_context(|| format!("cannot write {shown}"))?;
        Ok(Writer { packets })
    }

    pub fn write(&mut self, packet: &Captured<'_>) -> Result<()> {
        let packet = PcapPacket::new(packet.time, packet.length, packet.bytes);
        self.packets.write_packet(&packet)?;
        Ok(())
    }

    /// What is not told to be whole may not be.
    pub fn finish(self) -> Result<()> {
        self.packets.into_writer().flush()?;
        Ok(())
    }
}
