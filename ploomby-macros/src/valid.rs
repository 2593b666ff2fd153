use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    FnArg, GenericArgument, GenericParam, PathArguments, ReturnType, Safety, Signature, Type,
    TypePath, TypeReference,
};

use crate::error::Errors;

/// Checks what traits cannot say, and reports all that is wrong at once.
pub(crate) fn check(signature: &Signature) -> syn::Result<()> {
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
    errors.check(check_output(&signature.output));
    errors.finish()
}

/// Errors that the compiler would word worse.
fn check_output(output: &ReturnType) -> syn::Result<()> {
    let ReturnType::Type(_, ty) = output else {
        return Ok(());
    };
    let error = match bare(ty) {
        Type::Never(_) => Some(
            "a handler has to return, so that its message is settled: spawn what runs for ever where the program \
             starts",
        ),
        Type::Path(ty) if borrows(error_of(ty)) => Some(
            "a handler's error cannot borrow from the message, which is gone when the error is logged and kept: \
             take what it says as `String`",
        ),
        _ => None,
    };
    error.map_or(Ok(()), |error| Err(syn::Error::new_spanned(ty, error)))
}

/// The `E` of a `Result<T, E>`.
fn error_of(ty: &TypePath) -> Option<&Type> {
    let result = ty
        .path
        .segments
        .last()
        .filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &result.arguments else {
        return None;
    };
    match arguments.args.iter().nth(1)? {
        GenericArgument::Type(error) => Some(error),
        _ => None,
    }
}

/// Whether it names a lifetime or a reference that may be the message's.
fn borrows(error: Option<&Type>) -> bool {
    let tokens = error.map(ToTokens::to_token_stream).unwrap_or_default();
    let text = tokens.to_string();
    let lifetimes = text.split('\'').skip(1);
    let is_static = |rest: &str| rest.trim_start().starts_with("static");
    let mut others = lifetimes.filter(|rest| !is_static(rest));
    others.next().is_some() || (text.contains('&') && !text.contains("'static"))
}

fn check_qualifiers(signature: &Signature, errors: &mut Errors) {
    if signature.asyncness.is_none() {
        let mut error = "a handler is an async function: write `async fn`".to_owned();
        // as an attribute such as `#[async_recursion]` leaves it
        let output = signature.output.to_token_stream().to_string();
        if output.contains("Future") {
            error.push_str(
                "; where an attribute above made it return a future, put that attribute below #[handler]",
            );
        }
        errors.push(syn::Error::new_spanned(signature.fn_token, error));
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
