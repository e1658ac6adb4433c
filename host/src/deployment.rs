//! What whoever deploys a host says to it, as arguments of its command → the host with who is trusted, what is granted, and its first extensions.
//!
//! With the feature `command-line` it is a set of arguments for `clap`, the same in all hosts.

use std::path::PathBuf;

use crate::Store;
use crate::builder::HostBuilder;
use crate::control::Control;
use crate::error::Error;
use crate::grants::GrantPolicy;
use crate::host::{Host, Load};
use crate::image::Code;

/// Of one start of a host.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "command-line", derive(clap::Args))]
pub struct Deployment {
    /// Where `probity ext --socket` finds it
    #[cfg_attr(feature = "command-line", arg(long, value_name = "PATH"))]
    pub control: Option<PathBuf>,
    /// Number of a user who may control it, beside its own and root; may be given more than once
    #[cfg_attr(
        feature = "command-line",
        arg(long, value_name = "UID", requires = "control")
    )]
    pub control_user: Vec<u32>,
    /// Who is trusted to sign packages, as `probity key add --trust` has it [default: nobody]
    #[cfg_attr(
        feature = "command-line",
        arg(long, value_name = "DIR", requires = "state")
    )]
    pub trust: Option<PathBuf>,
    /// Where it is written down what was loaded, refused and seen
    #[cfg_attr(
        feature = "command-line",
        arg(long, value_name = "DIR", requires = "trust")
    )]
    pub state: Option<PathBuf>,
    /// Take packages and objects that nobody signed; it is tainted then
    #[cfg_attr(feature = "command-line", arg(long))]
    pub allow_unsigned: bool,
    /// An image to start with, as `probity link --prelink` makes it of packages
    #[cfg_attr(
        feature = "command-line",
        arg(long, value_name = "FILE", requires = "trust")
    )]
    pub image: Option<PathBuf>,
    /// An object to load at the start; may be given more than once
    #[cfg_attr(feature = "command-line", arg(long, value_name = "FILE"))]
    pub load: Vec<PathBuf>,
    /// What is granted to which signer (TOML) [default: all that is offered, to everybody]
    #[cfg_attr(feature = "command-line", arg(long, value_name = "FILE"))]
    pub grants: Option<PathBuf>,
    /// Print the hooks as JSON, for `probity verify --host`, and end
    #[cfg_attr(feature = "command-line", arg(long))]
    pub describe: bool,
    /// Print the hooks as a C header, and end
    #[cfg_attr(feature = "command-line", arg(long, conflicts_with = "describe"))]
    pub header: bool,
}

impl Deployment {
    /// The host, with nothing loaded yet.
    pub fn build(&self, mut builder: HostBuilder) -> Result<Host, Error> {
        if let Some(path) = &self.grants {
            let text = std::fs::read_to_string(path).map_err(cannot("read", path))?;
            let policy = GrantPolicy::from_toml(&text);
            builder = builder.grants(
                policy.map_err(|e| Error::Deployment(format!("in {}: {e}", path.display())))?,
            );
        }
        if let (Some(trust), Some(state)) = (&self.trust, &self.state) {
            builder = builder.trust(Store::new(trust, state));
        }
        if self.allow_unsigned {
            builder = builder.allow_unsigned();
        }
        builder.build()
    }

    /// What is to be printed instead of serving.
    pub fn printed(&self, host: &Host) -> Option<String> {
        let description = host.description();
        match (self.describe, self.header) {
            (true, _) => Some(description.to_json()),
            (_, true) => Some(description.c_header()),
            _ => None,
        }
    }

    /// Loads what the host starts with; gives what a person is to be told of it.
    ///
    /// An object that cannot be loaded is an error; of an image's packages, it is told.
    pub fn start(&self, host: &Host) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        for started in self.image.iter().map(|image| host.start(image)) {
            for s in started? {
                told.push(match s.outcome {
                    Ok(Code::Mapped) => format!("{}: loaded from the image", s.name),
                    Ok(Code::Compiled(why)) => {
                        format!(
                            "{}: loaded from the image, and compiled anew: {why}",
                            s.name
                        )
                    }
                    Err(e) => format!("{}: not loaded: {e}", s.name),
                });
            }
        }
        for path in &self.load {
            let bytes = std::fs::read(path).map_err(cannot("read", path))?;
            let name = path.file_stem().and_then(|s| s.to_str());
            let name =
                name.ok_or_else(|| Error::Deployment(format!("{} has no name", path.display())))?;
            host.load(name, &bytes, &Load::default())
                .map_err(cannot("load", path))?;
        }
        Ok(told)
    }

    /// Serves the control socket, where there is to be one.
    pub fn serve(&self, host: &Host) -> Result<Option<Control>, Error> {
        let serve = |path: &PathBuf| {
            let served = host.serve(path, &self.control_user);
            served.map_err(cannot("serve the control socket", path))
        };
        self.control.as_ref().map(serve).transpose()
    }
}

fn cannot<E: std::fmt::Display>(what: &str, path: &std::path::Path) -> impl Fn(E) -> Error {
    move |e| Error::Deployment(format!("cannot {what} {}: {e}", path.display()))
}
