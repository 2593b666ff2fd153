//! The attributes of a function or an argument that hold for what it expands to as well.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta};

/// What is compiled on a condition is registered on the same one.
pub(crate) fn conditions(attributes: &[Attribute]) -> TokenStream {
    keep(attributes, |name| (name == "cfg").then(|| name.clone()))
}

/// The conditions, and the lints that are allowed: what is expected of the function need not come of the rest, so
/// that it is allowed there.
pub(crate) fn conditions_and_lints(attributes: &[Attribute]) -> TokenStream {
    keep(attributes, |name| {
        if name == "cfg" || name == "allow" {
            Some(name.clone())
        } else if name == "expect" {
            Some(Ident::new("allow", Span::mixed_site()))
        } else {
            None
        }
    })
}

/// The lines of the doc comment, as the elements of a list.
pub(crate) fn docs(attributes: &[Attribute]) -> TokenStream {
    let metas = attributes.iter().map(|attribute| attribute.meta.clone());
    metas
        .flat_map(|meta| docs_of(meta, &TokenStream::new()))
        .collect()
}

/// Those of one attribute, which are there on these conditions.
fn docs_of(meta: Meta, conditions: &TokenStream) -> Vec<TokenStream> {
    match meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => {
            let text = match doc.value {
                // no lint is to find in it what it finds in a text of the program's
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => LitStr::new(&text.value(), Span::mixed_site()).into_token_stream(),
                other => other.into_token_stream(),
            };
            vec![quote!(#conditions #text,)]
        }
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let mut parts = at_commas(list.tokens).into_iter();
            let condition = parts.next().unwrap_or_default();
            let conditions = quote!(#conditions #[cfg(#condition)]);
            let metas = parts.filter_map(|part| syn::parse2(part).ok());
            metas.flat_map(|meta| docs_of(meta, &conditions)).collect()
        }
        _ => Vec::new(),
    }
}

fn keep(attributes: &[Attribute], kept_as: impl Fn(&Ident) -> Option<Ident> + Copy) -> TokenStream {
    let metas = attributes.iter().filter_map(|attribute| {
        let meta = match &attribute.meta {
            Meta::List(list) => list.to_token_stream(),
            _ => return None,
        };
        meta_kept(meta, kept_as)
    });
    metas.map(|meta| quote!(#[#meta])).collect()
}

/// `name(…)`, as it is kept. Of `cfg_attr` it is what it brings.
fn meta_kept(
    meta: TokenStream,
    kept_as: impl Fn(&Ident) -> Option<Ident> + Copy,
) -> Option<TokenStream> {
    let mut tokens = meta.into_iter();
    let TokenTree::Ident(name) = tokens.next()? else {
        return None;
    };
    if name != "cfg_attr" {
        let kept = kept_as(&name)?;
        let rest: TokenStream = tokens.collect();
        return Some(quote!(#kept #rest));
    }
    let Some(TokenTree::Group(brought)) = tokens.next() else {
        return None;
    };
    let mut parts = at_commas(brought.stream()).into_iter();
    let condition = parts.next()?;
    let kept: Vec<_> = parts.filter_map(|part| meta_kept(part, kept_as)).collect();
    (!kept.is_empty()).then(|| quote!(#name(#condition, #(#kept),*)))
}

fn at_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = Vec::new();
    let mut part = TokenStream::new();
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                parts.push(std::mem::take(&mut part));
            }
            _ => part.extend([token]),
        }
    }
    parts.push(part);
    parts
}
