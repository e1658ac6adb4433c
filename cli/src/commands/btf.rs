//! `probity btf`: types as a C header, as a list, of the kernel or of a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use probity_btf::{Btf, HeaderOptions, Type};

use crate::{input, kernel, output};

/// Types: of the running kernel, or of a file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity btf header > vmlinux.h                 every type of the running kernel, for #include
  probity btf header --type 'struct task_struct' only that and what it needs
  probity btf dump programs/exec-snoop/exec-snoop.o
  probity btf show 'struct sock'                 its members with their offsets")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print types as a C header
    Header {
        /// Raw BTF or an ELF file [default: the running kernel]
        file: Option<PathBuf>,
        /// Only this type and what it needs; may be given more than once
        #[arg(short, long = "type", value_name = "NAME")]
        types: Vec<String>,
        /// With --type: also what is only pointed to
        #[arg(long)]
        pointees: bool,
        /// Prototypes of kernel functions that programs may call
        #[arg(long)]
        kfuncs: bool,
    },
    /// List types, one a line with their members
    Dump {
        /// Raw BTF or an ELF file [default: the running kernel]
        file: Option<PathBuf>,
    },
    /// Show one structure with its members' offsets and sizes
    Show {
        /// `struct task_struct`, or `task_struct`
        name: String,
        /// Raw BTF or an ELF file [default: the running kernel]
        #[arg(long, value_name = "FILE")]
        btf: Option<PathBuf>,
    },
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Header {
            file,
            types,
            pointees,
            kfuncs,
        } => {
            let btf = load(file.as_deref())?;
            let header = btf.c_header(&HeaderOptions {
                types,
                pointees,
                kfuncs,
                bare: false,
            })?;
            std::io::Write::write_all(&mut output::stdout(), header.as_bytes())?;
        }
        Command::Dump { file } => {
            let btf = load(file.as_deref())?;
            for (id, _) in btf.types() {
                output::line(btf.listing(id))?;
            }
        }
        Command::Show { name, btf } => show(&load(btf.as_deref())?, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: Option<&Path>) -> Result<Btf> {
    let path = match file {
        Some(path) => path,
        None => Path::new("/sys/kernel/btf/vmlinux"),
    };
    let bytes = input::read(path)?;
    kernel::parse_types(&bytes).with_context(|| format!("in the types of {}", path.display()))
}

fn show(btf: &Btf, name: &str) -> Result<()> {
    let Some(id) = btf
        .find_type(name)
        .or_else(|| btf.find_struct(name))
        .or_else(|| btf.find_union(name))
    else {
        let names: Vec<String> = btf
            .types()
            .map(|(id, _)| btf.name(id).to_string())
            .collect();
        let wanted = name.rsplit(' ').next().unwrap_or(name);
        match probity_script::nearest(wanted, names.iter().map(String::as_str)) {
            Some(near) => bail!("no type `{name}`; did you mean `{near}`?"),
            None => bail!("no type `{name}`"),
        }
    };
    let size = btf
        .size_of(id)
        .map_or("unknown size".to_string(), |s| format!("{s} bytes"));
    output::line(format_args!("{}  {size}", btf.type_name(id)))?;
    if let Some(Type::Struct(_) | Type::Union(_)) = btf.resolved(id) {
        for member in btf.members(btf.resolve(id)).iter() {
            let Some(field) = btf.member_field(&member) else {
                continue;
            };
            let place = if field.bitfield {
                format!("{}:{}", field.bit_offset / 8, field.bit_offset % 8)
            } else {
                field.byte_offset().to_string()
            };
            let size = if field.bitfield {
                format!("{} bits", field.bit_size)
            } else {
                field.byte_size().to_string()
            };
            output::line(format_args!(
                "{place:>8} {size:>8}  {}",
                btf.declare(member.ty, member.name)
            ))?;
        }
    }
    Ok(())
}
