//! What an extension may do: what it asks for, what the deployer grants to its signer, and the host's ceiling, all three.
//!
//! What a program *uses* is taken from its proof: calls that can be reached, maps that exist, the longest run. Each of the three that
//! does not allow it is named.
//!
//! **Invariant:** a grant only narrows; a signer that the deployer's file does not name is granted nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use probity_isa::{CallTarget, Insn};
use probity_objfile::Target;
use probity_verifier::Verified;
use serde::{Deserialize, Serialize};

/// A list of what is allowed; what is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<String>>,
    /// Helpers, without `bpf_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helpers: Option<Vec<String>>,
    /// Functions of the host, and of the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<String>>,
    /// `hash`, `array`, …; global variables are arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_kinds: Option<Vec<String>>,
    /// Bytes of keys and values of all maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_bytes: Option<u64>,
    /// Instructions that one run of any of its programs executes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case_insns: Option<u64>,
}

/// The deployer's file: what is granted to whom.
///
/// ```
/// use probity_host::GrantPolicy;
/// let policy = GrantPolicy::from_toml("
/// [unsigned]
/// hooks = ['request']
/// functions = []
/// map_bytes = 65536
///
/// [signer.'acme-2026']
/// hooks = ['request', 'body']
/// ")?;
/// assert!(policy.of(Some("acme-2026")).is_some() && policy.of(Some("mallory")).is_none());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantPolicy {
    /// To extensions without a signature; left out: nothing.
    pub unsigned: Option<Grants>,
    /// By the name of the key.
    #[serde(default)]
    pub signer: BTreeMap<String, Grants>,
}

/// Who says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The extension itself: it does not ask for what it uses.
    Manifest,
    /// The deployer, to this signer; `None`: to what is not signed.
    Policy(Option<String>),
    /// The application.
    Host,
}

/// Something that an extension uses, and one that does not allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub who: Who,
    pub what: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match &self.who {
            Who::Manifest => write!(f, "the manifest does not ask for {what}"),
            Who::Policy(Some(signer)) => {
                write!(f, "the policy does not grant to signer `{signer}` {what}")
            }
            Who::Policy(None) => {
                write!(f, "the policy does not grant to unsigned extensions {what}")
            }
            Who::Host => write!(f, "the host's ceiling does not allow {what}"),
        }
    }
}

impl GrantPolicy {
    pub fn from_toml(text: &str) -> Result<GrantPolicy, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    /// What is granted to a signer, or to what nobody signed.
    pub fn of(&self, signer: Option<&str>) -> Option<&Grants> {
        match signer {
            Some(name) => self.signer.get(name),
            None => self.unsigned.as_ref(),
        }
    }
}

/// What an extension uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub hooks: BTreeSet<String>,
    pub helpers: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    pub map_kinds: BTreeSet<String>,
    pub map_bytes: u64,
    /// `None`: nobody knows.
    pub worst_case_insns: Option<u64>,
}

impl Uses {
    /// Of what was proved.
    pub fn of(verified: &Verified) -> Uses {
        let platform = verified.platform();
        let object = &verified.relocated().object;
        let mut uses = Uses {
            worst_case_insns: Some(0),
            ..Uses::default()
        };
        for p in verified.programs() {
            match object.programs.get(p.index()).map(|o| &o.hook) {
                Some(probity_objfile::Hook {
                    target: Target::Host { name, .. },
                    ..
                }) => {
                    uses.hooks.insert(name.clone());
                }
                // In Linux it is what the section says.
                Some(hook) => {
                    uses.hooks.insert(hook.section.clone());
                }
                None => {}
            }
            let worst = p.worst_case_insns();
            uses.worst_case_insns = uses.worst_case_insns.zip(worst).map(|(a, b)| a.max(b));
            for (insn, fact) in p.insns().iter().zip(p.facts()) {
                match insn {
                    _ if !fact.reached => {}
                    Insn::Call(CallTarget::Helper(id)) => {
                        let name = platform.helper(*id).map_or("?", |h| h.name);
                        uses.helpers.insert(name.to_string());
                    }
                    Insn::Call(CallTarget::Kfunc { id, .. }) => {
                        let types = platform.types.as_deref();
                        let name = types.map_or("?", |t| t.name(probity_btf::TypeId(*id)));
                        uses.functions.insert(name.to_string());
                    }
                    _ => {}
                }
            }
        }
        for m in &object.maps {
            let kind = platform.map_kind(m.kind).map_or("?", |k| k.name);
            uses.map_kinds.insert(kind.to_string());
            let element = u64::from(m.key_size) + u64::from(m.value_size);
            let bytes = element.saturating_mul(u64::from(m.max_entries));
            uses.map_bytes = uses.map_bytes.saturating_add(bytes);
        }
        uses
    }

    /// Everything that these do not allow.
    pub(crate) fn denied(&self, who: &Who, grants: &Grants) -> Vec<Denied> {
        let mut all = Vec::new();
        let mut deny = |what: String| {
            all.push(Denied {
                who: who.clone(),
                what,
            });
        };
        let lists = [
            ("hook", &self.hooks, &grants.hooks),
            ("helper", &self.helpers, &grants.helpers),
            ("function", &self.functions, &grants.functions),
            ("maps of kind", &self.map_kinds, &grants.map_kinds),
        ];
        for (what, used, granted) in lists {
            let Some(granted) = granted else { continue };
            for name in used.iter().filter(|n| !granted.contains(n)) {
                deny(format!("{what} `{name}`"));
            }
        }
        if let Some(most) = grants.map_bytes
            && self.map_bytes > most
        {
            deny(format!("{} bytes of maps, only {most}", self.map_bytes));
        }
        if let Some(most) = grants.worst_case_insns
            && self.worst_case_insns.is_none_or(|n| n > most)
        {
            match self.worst_case_insns {
                Some(n) => deny(format!("{n} instructions in one run, only {most}")),
                None => deny(format!(
                    "any number of instructions in one run, only {most}"
                )),
            }
        }
        all
    }
}

/// All that the three do not allow; `policy` is left out where the host has none.
pub fn check(
    uses: &Uses,
    manifest: Option<&Grants>,
    signer: Option<&str>,
    policy: Option<&GrantPolicy>,
    ceiling: &Grants,
) -> Vec<Denied> {
    let mut all = Vec::new();
    if let Some(manifest) = manifest {
        all.extend(uses.denied(&Who::Manifest, manifest));
    }
    if let Some(policy) = policy {
        let who = Who::Policy(signer.map(str::to_string));
        match policy.of(signer) {
            Some(grants) => all.extend(uses.denied(&who, grants)),
            None => all.push(Denied {
                who,
                what: "anything".into(),
            }),
        }
    }
    all.extend(uses.denied(&Who::Host, ceiling));
    all
}
