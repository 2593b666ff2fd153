use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, GenericParam, ItemFn, Safety, Signature, Type, TypeReference};

use crate::error::Errors;

/// Checks what traits cannot say, and reports all that is wrong at once.
pub(crate) fn check(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let mut errors = Errors::default();
    check_qualifiers(signature, &mut errors);
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            errors.push(syn::Error::new_spanned(
                parameter,
                "a handler cannot be generic: messages do not choose types; name the type, or \
                 register the function by hand once for each type",
            ));
        }
    }
    for argument in &signature.inputs {
        errors.check(check_argument(argument));
    }
    errors.finish()
}

fn check_qualifiers(signature: &Signature, errors: &mut Errors) {
    if signature.asyncness.is_none() {
        errors.push(syn::Error::new_spanned(
            signature.fn_token,
            "a handler is an async function: write `async fn`",
        ));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        errors.push(syn::Error::new_spanned(
            unsafety,
            "a handler cannot be unsafe: messages come from outside of the program",
        ));
    }
    if let Some(variadic) = &signature.variadic {
        errors.push(syn::Error::new_spanned(
            variadic,
            "a handler has a fixed number of arguments",
        ));
    }
}

fn check_argument(argument: &FnArg) -> syn::Result<()> {
    let argument = match argument {
        FnArg::Receiver(receiver) => {
            return Err(syn::Error::new_spanned(
                receiver,
                "a handler is a free function, not a method: take what it needs as arguments",
            ));
        }
        FnArg::Typed(argument) => argument,
    };
    if contains_impl(argument.ty.to_token_stream()) {
        return Err(syn::Error::new_spanned(
            &argument.ty,
            "a handler cannot be generic: name the type instead of `impl Trait`",
        ));
    }
    match bare(&argument.ty) {
        Type::Reference(ty) => check_reference(ty),
        _ => Ok(()),
    }
}

/// The type without what is around it and says nothing: parentheses, and those that nobody sees around the
/// variable of a `macro_rules`.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

fn check_reference(ty: &TypeReference) -> syn::Result<()> {
    if ty.mutability.is_some() {
        return Err(syn::Error::new_spanned(
            ty,
            "a handler cannot change the message: take the argument by value or by `&`",
        ));
    }
    if let Some(lifetime) = &ty.lifetime {
        if lifetime.ident == "static" {
            return Err(syn::Error::new_spanned(
                ty,
                "a handler cannot borrow for ever: the message is gone when the handler has \
                 returned; leave out `'static`, or take the argument by value",
            ));
        }
    }
    if matches!(bare(&ty.elem), Type::TraitObject(_)) {
        return Err(syn::Error::new_spanned(
            ty,
            "a message does not choose types: name the type instead of `dyn Trait`",
        ));
    }
    Ok(())
}

/// `impl` is a keyword: in a type it can be nothing but `impl Trait`.
fn contains_impl(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => contains_impl(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
