//! A structure → `impl Context`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, Fields, RangeLimits, Result, Token};

use crate::doc;

#[derive(Default)]
struct Access {
    read: bool,
    write: bool,
    range: Option<(i128, i128)>,
}

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "a context is a structure"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "a context has named fields",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a context has one layout: no parameters",
        ));
    }
    let mut c = false;
    let mut name = snake(&input.ident.to_string());
    for a in &input.attrs {
        if a.path().is_ident("repr") {
            a.parse_nested_meta(|m| {
                c |= m.path.is_ident("C");
                // `align(16)` and its like have arguments.
                if m.input.peek(syn::token::Paren) {
                    let inside;
                    syn::parenthesized!(inside in m.input);
                    inside.parse::<TokenStream>()?;
                }
                Ok(())
            })?;
        } else if a.path().is_ident("context") {
            a.parse_nested_meta(|m| {
                if !m.path.is_ident("name") {
                    return Err(m.error("a structure takes `name = \"…\"`"));
                }
                name = m.value()?.parse::<syn::LitStr>()?.value();
                Ok(())
            })?;
        }
    }
    if !c {
        return Err(Error::new_spanned(
            &input.ident,
            "a context is `#[repr(C)]`: extensions know its layout",
        ));
    }
    let ident = &input.ident;
    let mut rows = Vec::new();
    for field in &fields.named {
        let Some(access) = access(field)? else {
            continue;
        };
        let (field_name, ty) = (&field.ident, &field.ty);
        let text = field_name
            .as_ref()
            .map(|n| n.to_string())
            .unwrap_or_default();
        let (read, write, doc) = (access.read, access.write, doc(&field.attrs));
        let range = match access.range {
            Some((min, max)) => quote!(::core::option::Option::Some((#min, #max))),
            None => quote!(::core::option::Option::None),
        };
        rows.push(quote! {
            ::probity_host::FieldRow {
                name: #text,
                ty: <#ty as ::probity_host::FieldType>::TYPE,
                offset: ::core::mem::offset_of!(#ident, #field_name),
                read: #read,
                write: #write,
                range: #range,
                doc: #doc,
            }
        });
    }
    let doc = doc(&input.attrs);
    Ok(quote! {
        // SAFETY: the rows are those of the fields, whose types say that any bytes are a value of them.
        unsafe impl ::probity_host::Context for #ident {
            const NAME: &'static str = #name;
            const DOC: &'static str = #doc;
            const FIELDS: &'static [::probity_host::FieldRow] = &[#(#rows),*];
        }
    })
}

/// `None` for a field that stays hidden.
fn access(field: &syn::Field) -> Result<Option<Access>> {
    let mut found = None;
    for a in field.attrs.iter().filter(|a| a.path().is_ident("context")) {
        let access: &mut Access = found.get_or_insert_default();
        a.parse_nested_meta(|m| {
            if m.path.is_ident("read") {
                access.read = true;
            } else if m.path.is_ident("write") {
                access.read = true;
                access.write = true;
            } else if m.path.is_ident("range") {
                m.input.parse::<Token![=]>()?;
                access.range = Some(range(&m.input.parse::<Expr>()?)?);
            } else {
                return Err(m.error("a field takes `read`, `write` and `range = A..=B`"));
            }
            Ok(())
        })?;
        if access.range.is_some() && !access.write {
            return Err(Error::new_spanned(
                a,
                "a range is about what is written: `write, range = …`",
            ));
        }
    }
    Ok(found)
}

fn range(text: &Expr) -> Result<(i128, i128)> {
    let wrong = || Error::new_spanned(text, "a range is `A..=B` of whole numbers");
    let Expr::Range(r) = text else {
        return Err(wrong());
    };
    let (Some(start), Some(end), RangeLimits::Closed(_)) = (&r.start, &r.end, &r.limits) else {
        return Err(wrong());
    };
    let (min, max) = (
        number(start).ok_or_else(wrong)?,
        number(end).ok_or_else(wrong)?,
    );
    match min <= max {
        true => Ok((min, max)),
        false => Err(Error::new_spanned(text, "the range is empty")),
    }
}

fn number(text: &Expr) -> Option<i128> {
    match text {
        Expr::Lit(l) => match &l.lit {
            syn::Lit::Int(n) => n.base10_parse().ok(),
            _ => None,
        },
        Expr::Unary(u) if matches!(u.op, syn::UnOp::Neg(_)) => number(&u.expr)?.checked_neg(),
        Expr::Paren(p) => number(&p.expr),
        _ => None,
    }
}

/// `HttpRequest` as C names structures: `http_request`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (n, c) in name.chars().enumerate() {
        if c.is_uppercase() && n > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
