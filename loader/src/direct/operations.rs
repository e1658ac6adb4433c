//! A structure of operations that programs implement → registered in the kernel, until dropped.
//!
//! Source: the kernel's `bpf_struct_ops.c`, and libbpf's rules of how initial values are carried over by the names
//! of members.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use probity_btf::{Btf, Kind, Type, TypeId, essential_name};
use probity_objfile::StructOps;

use crate::kernel::load::short_name;
use crate::kernel::sys::{MAP_CREATE, MAP_UPDATE_ELEM, MapCreate, MapElem, bpf, owned, patient};

const STRUCT_OPS: u32 = 26;
const ATTACH_STRUCT_OPS: u32 = 44;
const LINK_CREATE: libc::c_long = 28;
const MAP_DELETE_ELEM: libc::c_long = 3;
/// The structure counts from when a link to it is made, and until that is closed.
const F_LINK: u32 = 1 << 13;

/// What is registered.
pub(crate) struct Registered {
    map: OwnedFd,
    /// Kernels before 6.4 have none.
    link: Option<OwnedFd>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.link.is_some() {
            return;
        }
        let key = 0_u32;
        let elem = MapElem {
            map_fd: self.map.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            ..MapElem::default()
        };
        // Where it is in use the kernel lets go of it when that ends.
        let _ = bpf(MAP_DELETE_ELEM, &elem);
    }
}

/// Registers a structure; `types` is the descriptor of the object's types, which the kernel wants to see though the
/// structure is its own, and `program` gives that of a loaded program by its name.
pub(crate) fn register(
    ops: &StructOps,
    (own, types): (&Btf, u32),
    kernel: &Btf,
    program: &dyn Fn(&str) -> Option<RawFd>,
) -> Result<Registered, String> {
    let name = essential_name(&ops.type_name);
    let text = |what: &str, e: io::Error| format!("{what}: {e}");
    let whole = format!("bpf_struct_ops_{name}");
    let id = kernel
        .find(&whole, Kind::Struct)
        .ok_or_else(|| format!("`struct {name}` is not one that this kernel takes programs for"))?;
    let value = value(ops, own, kernel, id, program)?;
    let mut attr = MapCreate {
        map_type: STRUCT_OPS,
        key_size: 4,
        value_size: value.len() as u32,
        max_entries: 1,
        map_flags: F_LINK,
        map_name: short_name(&ops.name),
        btf_fd: types,
        btf_vmlinux_value_type_id: id.0,
        ..MapCreate::default()
    };
    let made = patient(MAP_CREATE, &attr).or_else(|_| {
        attr.map_flags = 0;
        patient(MAP_CREATE, &attr)
    });
    let map = made.map(owned);
    let map = map.map_err(|e| text("its map cannot be made", e))?;
    let key = 0_u32;
    let elem = MapElem {
        map_fd: map.as_raw_fd() as u32,
        key: (&raw const key) as u64,
        value: value.as_ptr() as u64,
        ..MapElem::default()
    };
    bpf(MAP_UPDATE_ELEM, &elem).map_err(|e| match e.raw_os_error() {
        Some(libc::EEXIST) => "another one of its name is registered".to_string(),
        _ => text("the kernel does not take it", e),
    })?;
    let link = match attr.map_flags {
        0 => None,
        _ => Some(linked(&map).map_err(|e| match e.raw_os_error() {
            Some(libc::EEXIST) => "another one of its name is registered".to_string(),
            _ => text("the kernel does not register it", e),
        })?),
    };
    Ok(Registered { map, link })
}

fn linked(map: &OwnedFd) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Create {
        map: u32,
        target: u32,
        attach_type: u32,
        flags: u32,
    }
    let create = Create {
        map: map.as_raw_fd() as u32,
        target: 0,
        attach_type: ATTACH_STRUCT_OPS,
        flags: 0,
    };
    bpf(LINK_CREATE, &create).map(owned)
}

/// The bytes of the map's value: the kernel's structure, with a program's descriptor where a function stands.
fn value(
    ops: &StructOps,
    own: &Btf,
    kernel: &Btf,
    whole: TypeId,
    program: &dyn Fn(&str) -> Option<RawFd>,
) -> Result<Vec<u8>, String> {
    let name = essential_name(&ops.type_name);
    let unknown = || format!("the kernel's types do not say what `struct {name}` is");
    let size = kernel.size_of(whole).ok_or_else(unknown)? as usize;
    let (data, at) = kernel.member(whole, "data").ok_or_else(unknown)?;
    let theirs = kernel.resolve(data.ty);
    let start = at.byte_offset() as usize;
    let mut value = vec![0; size];
    let mut put = |member: &str, bytes: &[u8]| -> Result<(), String> {
        let (_, field) = kernel
            .member(theirs, essential_name(member))
            .ok_or_else(|| format!("the kernel's `struct {name}` has no `{member}`"))?;
        let at = start + field.byte_offset() as usize;
        let room = value
            .get_mut(at..at + bytes.len())
            .filter(|_| field.byte_size() as usize == bytes.len() && !field.bitfield);
        let room = room.ok_or_else(|| {
            format!("`{member}` has another size in the kernel's `struct {name}`")
        })?;
        room.copy_from_slice(bytes);
        Ok(())
    };
    let Some(Type::Struct(s)) = own.ty(own.resolve(ops.type_id)) else {
        return Err(unknown());
    };
    for member in s.members.iter() {
        let is_function = ops.members.iter().any(|(m, _)| m == member.name);
        let Some(field) = own.member_field(&member).filter(|_| !is_function) else {
            continue;
        };
        let from = field.byte_offset() as usize;
        let bytes = ops.bytes.get(from..from + field.byte_size() as usize);
        // What is not set need not exist in this kernel.
        if let Some(bytes) = bytes.filter(|b| b.iter().any(|b| *b != 0)) {
            put(member.name, bytes)?;
        }
    }
    for (member, implemented_by) in &ops.members {
        let fd = program(implemented_by)
            .ok_or_else(|| format!("the program `{implemented_by}` is not loaded"))?;
        put(member, &(fd as u64).to_ne_bytes())?;
    }
    Ok(value)
}
