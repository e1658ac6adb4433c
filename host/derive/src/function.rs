//! A function → the same function, and a type of its name that says to extensions how it is called.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, ItemFn, Pat, Result, ReturnType, Type};

use crate::doc;

/// Rust's integers that C declarations of host functions know.
const INTEGERS: &[(&str, &str)] = &[
    ("u8", "u8"),
    ("u16", "u16"),
    ("u32", "u32"),
    ("u64", "u64"),
    ("i32", "int"),
    ("i64", "s64"),
    ("bool", "bool"),
];

pub fn function(item: &ItemFn) -> Result<TokenStream> {
    let signature = &item.sig;
    let name = &signature.ident;
    if signature.asyncness.is_some() || signature.unsafety.is_some() || signature.abi.is_some() {
        return Err(Error::new_spanned(
            signature,
            "a host function is a plain, safe function",
        ));
    }
    if signature.generics.type_params().next().is_some() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a host function has one prototype",
        ));
    }
    let mut inputs = signature.inputs.iter();
    if !inputs.next().is_some_and(is_reference) {
        return Err(Error::new_spanned(
            signature,
            "its first parameter is `&mut Call<'_>`",
        ));
    }
    let (mut declared, mut given, mut register) = (Vec::new(), Vec::new(), 1usize);
    for input in inputs {
        let FnArg::Typed(arg) = input else {
            return Err(Error::new_spanned(input, "a host function is no method"));
        };
        let Pat::Ident(pattern) = &*arg.pat else {
            return Err(Error::new_spanned(&arg.pat, "parameters have names"));
        };
        let text = pattern.ident.to_string();
        let text = text.trim_start_matches('_');
        let (here, next) = (
            format_ident!("r{register}"),
            format_ident!("r{}", register + 1),
        );
        match last(&arg.ty).as_deref() {
            Some("Input") => {
                declared.push(format!("const void *{text}, u32 {text}__sz"));
                given.push(quote!(::probity_host::Input::new(#here, #next)));
                register += 2;
            }
            Some("Output") => {
                declared.push(format!("void *{text}, u32 {text}__sz"));
                given.push(quote!(::probity_host::Output::new(#here, #next)));
                register += 2;
            }
            Some("bool") => {
                declared.push(format!("bool {text}"));
                given.push(quote!(#here & 0xff != 0));
                register += 1;
            }
            Some(ty) => {
                let Some(c) = spelled(ty) else {
                    return Err(unknown(&arg.ty));
                };
                let ty = &arg.ty;
                declared.push(format!("{c} {text}"));
                given.push(quote!(#here as #ty));
                register += 1;
            }
            None => return Err(unknown(&arg.ty)),
        }
        if register > 6 {
            return Err(Error::new_spanned(
                input,
                "functions take five arguments; memory counts twice",
            ));
        }
    }
    let (ret, result) = match &signature.output {
        ReturnType::Default => (
            "void",
            quote!({
                let () = result;
                0
            }),
        ),
        ReturnType::Type(_, ty) => match last(ty).as_deref().and_then(spelled) {
            Some(c) => (c, quote!(result as i64 as u64)),
            None => return Err(unknown(ty)),
        },
    };
    let declaration = format!("{ret} ({})", declared.join(", "));
    let (text, doc, visibility) = (name.to_string(), doc(&item.attrs), &item.vis);
    Ok(quote! {
        #item

        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #name {}

        const _: () = {
            #[allow(unused_variables)]
            unsafe extern "C" fn shim(
                call: *mut ::probity_host::RawCall<'_>,
                r1: u64, r2: u64, r3: u64, r4: u64, r5: u64,
            ) -> u64 {
                // SAFETY: an engine gives a valid call, and arguments as the declaration demands, which is
                // made of the same parameters as the wrappers here.
                unsafe {
                    ::probity_host::guarded(call, |call| {
                        let result = #name(call, #(#given),*);
                        #[allow(clippy::unnecessary_cast)]
                        { #result }
                    })
                }
            }

            impl ::probity_host::HostFunction for #name {
                const NAME: &'static str = #text;
                const DECLARATION: &'static str = #declaration;
                const DOC: &'static str = #doc;
                const SHIM: ::probity_host::Shim = shim;
            }
        };
    })
}

fn is_reference(arg: &FnArg) -> bool {
    matches!(arg, FnArg::Typed(a) if matches!(&*a.ty, Type::Reference(r) if r.mutability.is_some()))
}

fn spelled(ty: &str) -> Option<&'static str> {
    INTEGERS
        .iter()
        .find(|(rust, _)| *rust == ty)
        .map(|(_, c)| *c)
}

/// The last word of a path: `Input` of `probity_host::Input<'_>`.
fn last(ty: &Type) -> Option<String> {
    let Type::Path(p) = ty else { return None };
    Some(p.path.segments.last()?.ident.to_string())
}

fn unknown(ty: &Type) -> Error {
    let names: Vec<&str> = INTEGERS.iter().map(|(rust, _)| *rust).collect();
    let what = format!(
        "extensions know {}, `Input<'_>` and `Output<'_>`",
        names.join(", ")
    );
    Error::new_spanned(ty, what)
}
