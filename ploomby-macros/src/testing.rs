//! `#[ploomby::test]`: a test with an app and a runtime of its own.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{
    FnArg, ItemFn, Path, Token,
    parse::{Parse, ParseStream},
};

use crate::{error::Errors, span::CratePath};

/// What stands in the parentheses: nothing, or where ploomby is.
struct Attr {
    krate: Option<Path>,
}

impl Parse for Attr {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self { krate: None });
        }
        if !input.peek(Token![crate]) {
            return Err(input.error("#[ploomby::test] takes nothing but `crate = path`"));
        }
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        Ok(Self {
            krate: Some(input.parse()?),
        })
    }
}

/// The function of a test, in which the one that was written stands. On an error that one is still there.
pub(crate) fn test(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let attr = errors.check(syn::parse2::<Attr>(attribute));
    errors.check(check(&function));
    if let Err(errors) = errors.finish() {
        let errors = errors.to_compile_error();
        return quote!(#item #errors);
    }
    let krate = CratePath::new(attr.and_then(|attr| attr.krate));
    let ItemFn {
        attrs, vis, sig, ..
    } = &function;
    let (name, output) = (&sig.ident, &sig.output);
    let body: Vec<TokenTree> = strip(item);
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            #(#body)*
            #krate::__private::run_test(#name)
        }
    }
}

/// Without the attributes, which go to the function around it, and without the visibility.
fn strip(item: &TokenStream) -> Vec<TokenTree> {
    let is_async = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "async");
    let tokens = item.clone().into_iter();
    tokens.skip_while(|token| !is_async(token)).collect()
}

fn check(function: &ItemFn) -> syn::Result<()> {
    let sig = &function.sig;
    let mut errors = Errors::default();
    if sig.asyncness.is_none() {
        let text = "a test of #[ploomby::test] is async: write `async fn`";
        errors.push(syn::Error::new_spanned(sig.fn_token, text));
    }
    if !sig.generics.params.is_empty() {
        let text = "a test cannot be generic";
        errors.push(syn::Error::new_spanned(&sig.generics, text));
    }
    let mut inputs = sig.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(_)), None) => {}
        _ => {
            let text =
                "a test of #[ploomby::test] takes a `ploomby::testing::TestApp`, and nothing else";
            errors.push(syn::Error::new_spanned(&sig.ident, text));
        }
    }
    errors.finish()
}
