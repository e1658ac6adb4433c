//! [`HostDescription`] → a C header: all that an author of extensions needs.

use std::fmt::Write;

use crate::context::Type;
use crate::description::{
    ChainRule, ContextDescription, Fallback, FunctionDescription, HookDescription, HostDescription,
};

impl HostDescription {
    /// The header, to be included after `probity/bpf.h` or anything else that names `u8` to `u64` and `SEC`.
    pub fn c_header(&self) -> String {
        let guard = format!("HOST_{}_H", macro_name(&self.name));
        let mut out = format!(
            "/* Extensions of `{}`. Made from its description; do not edit. */\n",
            line(&self.name)
        );
        let _ = writeln!(out, "#ifndef {guard}\n#define {guard}\n");
        out += "#ifndef __ksym\n#define __ksym __attribute__((section(\".ksyms\")))\n#endif\n";
        let mut told: Vec<&ContextDescription> = Vec::new();
        for h in &self.hooks {
            if !told.iter().any(|c| c.name == h.context.name) {
                told.push(&h.context);
                structure(&mut out, &h.context);
            }
            hook(&mut out, h);
        }
        for f in &self.functions {
            function(&mut out, self, f);
        }
        let _ = write!(out, "\n#endif\n");
        out
    }
}

fn structure(out: &mut String, c: &ContextDescription) {
    out.push('\n');
    comment(out, "", &c.doc);
    let _ = writeln!(out, "struct {} {{", c.name);
    let (mut at, mut gaps) = (0, 0);
    let mut pad = |out: &mut String, from: u32, to: u32| {
        if to > from {
            let _ = writeln!(out, "\tu8 __pad{gaps}[{}];", to - from);
            gaps += 1;
        }
    };
    for f in &c.fields {
        let Ok(ty) = f.kind() else { continue };
        pad(out, at, f.offset);
        at = f.end();
        let mut doc = f.doc.clone();
        let access = match (f.write, f.range) {
            (false, _) => "Read only.".to_string(),
            (true, None) => "May be written.".to_string(),
            (true, Some((min, max))) => format!("May be written: {min} to {max}."),
        };
        if ty != Type::Packet {
            doc = format!("{doc} {access}");
        }
        comment(out, "\t", doc.trim());
        let name = &f.name;
        let _ = match ty {
            Type::Bytes(n) => writeln!(out, "\tu8 {name}[{n}];"),
            Type::Packet => writeln!(out, "\tu32 {name};\n\tu32 {name}_end;"),
            ty => writeln!(out, "\t{ty} {name};"),
        };
    }
    pad(out, at, c.size);
    out.push_str("};\n");
}

fn hook(out: &mut String, h: &HookDescription) {
    let (min, max) = h.returns;
    let mut doc = h.doc.clone();
    let _ = write!(
        doc,
        "\nReturns {min} to {max}; {}. Without an extension: {}; with one that was refused: {}.",
        rule(h.rule),
        fallback(h.absent),
        fallback(h.refused)
    );
    if let Some(budget) = h.budget {
        let _ = write!(doc, "\nExecutes {budget} instructions at most.");
    }
    if h.packet_write {
        doc += "\nThe packet may be written.";
    }
    let _ = write!(doc, "\nHelpers: {}.", h.helpers.join(", "));
    if !h.functions.is_empty() {
        let _ = write!(doc, "\nFunctions: {}.", h.functions.join(", "));
    }
    out.push('\n');
    comment(out, "", doc.trim());
    let name = macro_name(&h.name);
    let _ = writeln!(
        out,
        "#define HOOK_{name} SEC(\"hook/{}@{}\")",
        h.name, h.abi
    );
    let _ = writeln!(out, "/* int f(struct {} *ctx) */", h.context.name);
}

fn function(out: &mut String, host: &HostDescription, f: &FunctionDescription) {
    let offered = host.hooks.iter().filter(|h| h.functions.contains(&f.name));
    let hooks: Vec<&str> = offered.map(|h| h.name.as_str()).collect();
    let doc = format!("{}\nOf hooks: {}.", f.doc, hooks.join(", "));
    out.push('\n');
    comment(out, "", doc.trim());
    if let Some((ret, params)) = f.declaration.split_once('(') {
        let params = match params.trim() {
            ")" => "void)",
            other => other,
        };
        let _ = writeln!(out, "extern {} {}({params} __ksym;", ret.trim(), f.name);
    }
}

pub(crate) fn rule(rule: ChainRule) -> String {
    match rule {
        ChainRule::FirstOther(n) => format!("the first other than {n} counts"),
        ChainRule::All(n) => format!("all are asked, the first other than {n} counts"),
        ChainRule::Last => "all are asked, the last counts".into(),
        ChainRule::StopAt(n) => format!("{n} ends it"),
        ChainRule::Greatest => "all are asked, the greatest counts".into(),
    }
}

pub(crate) fn fallback(f: Fallback) -> String {
    match f {
        Fallback::Open(n) => format!("open, {n}"),
        Fallback::Closed(n) => format!("closed, {n}"),
        Fallback::Error => "an error".into(),
    }
}

fn comment(out: &mut String, indent: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let lines: Vec<String> = text.lines().map(line).collect();
    let _ = match &lines[..] {
        [one] => writeln!(out, "{indent}/* {one} */"),
        many => writeln!(
            out,
            "{indent}/* {} */",
            many.join(&format!("\n{indent} * "))
        ),
    };
}

/// Text that cannot end a comment.
fn line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.replace("*/", "* /").chars().map(clean).collect()
}

fn macro_name(name: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    name.chars().map(letter).collect()
}
