use syn::{FnArg, GenericParam, ItemFn, Safety, Type, spanned::Spanned};

/// Checks what traits cannot say, and reports all that is wrong at once.
pub(crate) fn check(function: &ItemFn) -> syn::Result<()> {
    let mut errors: Option<syn::Error> = None;
    let mut report = |error: syn::Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        report(syn::Error::new_spanned(
            signature.fn_token,
            "a handler is an async function: write `async fn`",
        ));
    }
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(_) | GenericParam::Const(_) => report(syn::Error::new_spanned(
                parameter,
                "a handler cannot be generic: messages do not choose types; name the type, or \
                 register the function by hand once for each type",
            )),
        }
    }
    if let Some(variadic) = &signature.variadic {
        report(syn::Error::new_spanned(
            variadic,
            "a handler has a fixed number of arguments",
        ));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        report(syn::Error::new_spanned(
            unsafety,
            "a handler cannot be unsafe: messages come from outside of the program",
        ));
    }
    for argument in &signature.inputs {
        if let Err(error) = check_argument(argument) {
            report(error);
        }
    }
    errors.map_or(Ok(()), Err)
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
    match &*argument.ty {
        Type::ImplTrait(ty) => Err(syn::Error::new(
            ty.span(),
            "a handler cannot be generic: name the type instead of `impl Trait`",
        )),
        Type::Reference(ty) if ty.mutability.is_some() => Err(syn::Error::new(
            ty.span(),
            "a handler cannot change the message: take the payload by value or by `&`",
        )),
        _ => Ok(()),
    }
}
