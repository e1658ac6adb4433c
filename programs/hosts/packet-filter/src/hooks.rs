//! What the packet filter offers to vendors' extensions: one hook, called for each packet.

use probity_host::{ChainRule, Context, Fallback, HookBuilder, Host, HostBuilder, Packet};

/// A packet, as extensions see it.
#[derive(Context, Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Frame {
    /// What was captured of it, from its link header on.
    #[context(read)]
    pub data: Packet,
    /// Bytes that it had on the wire.
    #[context(read)]
    pub length: u32,
    /// Kind of its link header, as pcap numbers them: 1 is Ethernet.
    #[context(read)]
    pub link: u32,
    /// When it came, in nanoseconds since 1970.
    #[context(read)]
    pub time: u64,
    /// For the extensions that come after.
    #[context(write)]
    pub mark: u32,
    hidden: u32,
}

impl Frame {
    /// For packets with this kind of link header.
    pub fn new(link: u32) -> Frame {
        Frame {
            link,
            ..Frame::default()
        }
    }
}

/// The packet filter's hook.
pub fn host() -> HostBuilder {
    Host::builder("packet-filter").hook(
        HookBuilder::new::<Frame>("packet")
            .doc("Called for each packet: 1 lets it pass, 0 drops it; it passes when all extensions let it.")
            .returns(0..=1)
            .budget(10_000)
            .rule(ChainRule::StopAt(0))
            .absent(Fallback::Open(1))
            .refused(Fallback::Closed(0)),
    )
}
