//! A host in a few lines → its [`HostDescription`], the functions behind it, and the [`Host`].

use std::ops::RangeInclusive;
use std::sync::Arc;

use probity_bundle::Unsigned;
use probity_platform::Policy;
use probity_runtime::{Env, Options, kfuncs};
use probity_store::Store;

use crate::description::{
    ChainRule, ContextDescription, Fallback, FieldDescription, FunctionDescription,
    HookDescription, HostDescription,
};
use crate::error::Error;
use crate::function::{self, HostFunction};
use crate::grants::{GrantPolicy, Grants};
use crate::host::{Host, Rights};
use crate::rows::stub;
use crate::{BASE_HELPERS, Context};

/// Declares a host.
pub struct HostBuilder {
    description: Result<HostDescription, String>,
    functions: Vec<kfuncs::Entry>,
    policy: Policy,
    rights: Rights,
    options: Options,
}

/// Declares a hook.
pub struct HookBuilder {
    description: Result<HookDescription, String>,
    functions: Vec<(kfuncs::Entry, FunctionDescription)>,
}

impl HostBuilder {
    pub(crate) fn new(name: &str) -> HostBuilder {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        HostBuilder {
            description: Ok(HostDescription {
                name: name.into(),
                ..Default::default()
            }),
            functions: Vec::new(),
            policy: Policy::default(),
            rights: Rights::default(),
            options: Options {
                cpus: cpus.min(probity_runtime::MAX_CPUS),
                ..Options::default()
            },
        }
    }

    pub(crate) fn of(description: HostDescription) -> HostBuilder {
        let functions = description.functions.iter().map(stub).collect();
        HostBuilder {
            functions,
            ..HostBuilder {
                description: Ok(description),
                ..HostBuilder::new("")
            }
        }
    }

    pub fn hook(mut self, hook: HookBuilder) -> HostBuilder {
        let mut own = match (self.description, hook.description) {
            (Ok(mut own), Ok(hook)) => {
                own.hooks.push(hook);
                Ok(own)
            }
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        for (entry, f) in hook.functions {
            let known = self.functions.iter().find(|e| e.name == entry.name);
            match known.map(|e| e.declaration == entry.declaration) {
                Some(true) => {}
                Some(false) => {
                    own = Err(format!("two functions are called `{}`", entry.name));
                }
                None => {
                    self.functions.push(entry);
                    if let Ok(own) = &mut own {
                        own.functions.push(f);
                    }
                }
            }
        }
        self.description = own;
        self
    }

    /// What the host allows of what it offers: bytes of maps, kinds of maps, licences …
    pub fn policy(mut self, policy: Policy) -> HostBuilder {
        self.policy = policy;
        self
    }

    /// What no extension may go beyond, whoever signed it.
    pub fn ceiling(mut self, ceiling: Grants) -> HostBuilder {
        self.rights.ceiling = ceiling;
        self
    }

    /// What the deployer grants to whom; without it, all that the ceiling allows, to everybody.
    pub fn grants(mut self, policy: GrantPolicy) -> HostBuilder {
        self.rights.policy = Some(policy);
        self
    }

    /// Who is trusted to sign packages, and where it is written down what was decided. Without it, no signature counts.
    pub fn trust(mut self, store: Store) -> HostBuilder {
        self.rights.store = Some(store);
        self
    }

    /// Takes from whoever controls the host what nobody signed; it is tainted then. For development.
    pub fn allow_unsigned(mut self) -> HostBuilder {
        self.rights.unsigned = Unsigned::Taint;
        if let Some(store) = &mut self.rights.store {
            store.allow_unsigned = true;
        }
        self
    }

    /// Elements of each per-CPU map element. Callers beyond that number share one.
    pub fn cpus(mut self, cpus: usize) -> HostBuilder {
        self.options.cpus = cpus;
        self
    }

    /// Upper bound of the memory of all maps of one extension, in bytes.
    pub fn max_map_bytes(mut self, bytes: u64) -> HostBuilder {
        self.options.max_map_bytes = bytes;
        self
    }

    /// Mixed into hashes: a secret one, where keys come from strangers.
    pub fn seed(mut self, seed: u64) -> HostBuilder {
        self.options.seed = seed;
        self
    }

    /// Clocks and random numbers of extensions.
    pub fn env(mut self, env: Arc<dyn Env>) -> HostBuilder {
        self.options.env = env;
        self
    }

    pub fn build(self) -> Result<Host, Error> {
        let description = self.description.map_err(Error::Description)?;
        description.check().map_err(Error::Description)?;
        if self.options.cpus == 0 || self.options.cpus > probity_runtime::MAX_CPUS {
            return Err(Error::Description(format!("{} CPUs", self.options.cpus)));
        }
        let options = Options {
            functions: self.functions.into(),
            ..self.options
        };
        Ok(Host::new(description, self.policy, self.rights, options))
    }
}

impl HookBuilder {
    /// A hook that is called with a `T`: version 1, results of 32 bits, open with 0 where there is no extension.
    pub fn new<T: Context>(name: &str) -> HookBuilder {
        let description = context::<T>().map(|context| HookDescription {
            name: name.into(),
            abi: 1,
            doc: String::new(),
            returns: (i32::MIN.into(), i32::MAX.into()),
            budget: None,
            rule: ChainRule::FirstOther(0),
            absent: Fallback::Open(0),
            refused: Fallback::Open(0),
            packet_write: false,
            helpers: BASE_HELPERS.iter().map(|h| h.to_string()).collect(),
            functions: Vec::new(),
            context,
        });
        HookBuilder {
            description,
            functions: Vec::new(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut HookDescription)) -> HookBuilder {
        if let Ok(d) = &mut self.description {
            change(d);
        }
        self
    }

    /// Another number for every change that is not a field at the end.
    pub fn abi(self, version: u32) -> HookBuilder {
        self.with(|d| d.abi = version)
    }

    /// For the C header.
    pub fn doc(self, text: &str) -> HookBuilder {
        self.with(|d| d.doc = text.into())
    }

    /// Numbers that an extension may return.
    pub fn returns(self, range: RangeInclusive<i64>) -> HookBuilder {
        self.with(|d| d.returns = (*range.start(), *range.end()))
    }

    /// Instructions that one run of an extension may execute at most.
    pub fn budget(self, instructions: u64) -> HookBuilder {
        self.with(|d| d.budget = Some(instructions))
    }

    /// What several extensions give together.
    pub fn rule(self, rule: ChainRule) -> HookBuilder {
        self.with(|d| d.rule = rule)
    }

    /// What a call gives without an extension.
    pub fn absent(self, fallback: Fallback) -> HookBuilder {
        self.with(|d| d.absent = fallback)
    }

    /// What a call gives when the extension was refused, and there is no other.
    pub fn refused(self, fallback: Fallback) -> HookBuilder {
        self.with(|d| d.refused = fallback)
    }

    /// Extensions may write the packet.
    pub fn packet_write(self) -> HookBuilder {
        self.with(|d| d.packet_write = true)
    }

    /// In the place of [`BASE_HELPERS`].
    pub fn helpers(self, names: &[&str]) -> HookBuilder {
        self.with(|d| d.helpers = names.iter().map(|h| h.to_string()).collect())
    }

    /// A function of the host that extensions may call.
    pub fn function<F: HostFunction>(mut self) -> HookBuilder {
        let description = FunctionDescription {
            name: F::NAME.into(),
            declaration: F::DECLARATION.into(),
            doc: F::DOC.into(),
        };
        self.functions.push((function::entry::<F>(), description));
        self.with(|d| d.functions.push(F::NAME.into()))
    }
}

/// A structure's description.
fn context<T: Context>() -> Result<ContextDescription, String> {
    let name = T::NAME;
    let number = |n: usize| u32::try_from(n).map_err(|_| format!("`struct {name}` is too long"));
    // The memory of a call is aligned to 16 bytes.
    if align_of::<T>() > 16 {
        return Err(format!("`struct {name}` is aligned to more than 16 bytes"));
    }
    let mut fields = Vec::new();
    for f in T::FIELDS {
        let range = match f.range {
            None => None,
            Some((min, max)) => match (i64::try_from(min), u64::try_from(max)) {
                (Ok(min), Ok(max)) => Some((min, max)),
                _ => return Err(format!("field `{}`: the range {min} to {max}", f.name)),
            },
        };
        fields.push(FieldDescription {
            name: f.name.into(),
            ty: f.ty.to_string(),
            offset: number(f.offset)?,
            write: f.write,
            range,
            doc: f.doc.into(),
        });
    }
    Ok(ContextDescription {
        name: name.into(),
        size: number(size_of::<T>())?,
        doc: T::DOC.into(),
        fields,
    })
}
