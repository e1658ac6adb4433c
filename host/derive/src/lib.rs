//! `#[derive(Context)]` and `#[function]` of `probity-host`: Rust items → what a host says of them to extensions.
//!
//! **Invariant:** what cannot be told to C is a compile error with the place in it.

mod context;
mod function;

use proc_macro::TokenStream;

/// Says which fields of a structure an extension may read, write, and within which range.
///
/// The structure is `#[repr(C)]` and `Copy`. A field with `#[context(read)]` or `#[context(write)]` (which reads too) is
/// an integer, an array of bytes, or `Packet`; other fields stay hidden. `#[context(write, range = 100..=599)]` makes it an
/// obligation of every extension to store numbers of that range only. Comments (`///`) go into the C header.
#[proc_macro_derive(Context, attributes(context))]
pub fn derive_context(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    context::derive(&input)
        .unwrap_or_else(|e| e.to_compile_error())
        .into()
}

/// Makes a Rust function one that extensions may call.
///
/// Its first parameter is `&mut Call<'_>`; then follow integers, `Input<'_>` and `Output<'_>`, which count twice, at most
/// five in all. It gives an integer or nothing.
#[proc_macro_attribute]
pub fn function(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::ItemFn);
    function::function(&item)
        .unwrap_or_else(|e| e.to_compile_error())
        .into()
}

/// What stands in `///` before an item.
fn doc(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|a| match &a.meta {
        syn::Meta::NameValue(m) if m.path.is_ident("doc") => match &m.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => Some(text.value().trim().to_string()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
