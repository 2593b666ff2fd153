use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{FnArg, ItemFn, LitStr, Type, ext::IdentExt, spanned::Spanned};

use crate::{attr::Attr, valid};

/// The function as it was written, and beside it what registers it. On an error the function is
/// still there, so that its callers do not report that it is missing.
pub(crate) fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(
                error.span(),
                "#[handler] stands on an async function with a body",
            )
            .to_compile_error();
            return quote!(#error #item);
        }
    };
    let registration = syn::parse2(attribute)
        .and_then(|attr| valid::check(&function).map(|()| register(&attr, &function)))
        .unwrap_or_else(|error| error.to_compile_error());
    quote!(#item #registration)
}

fn register(attr: &Attr, function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let name_text = name.unraw().to_string();
    let keys = keys(attr, &name_text, name.span());
    let call = call(function);
    quote! {
        const _: () = {
            ::ploomby::__private::inventory::submit! {
                ::ploomby::__private::LinkedHandler {
                    keys: &[#(::ploomby::__private::LinkedKey::#keys),*],
                    name: ::core::concat!(::core::module_path!(), "::", #name_text),
                    file: ::core::file!(),
                    line: ::core::line!(),
                    call: __ploomby_call,
                }
            }

            #call
        };
    }
}

fn keys(attr: &Attr, name: &str, span: Span) -> Vec<TokenStream> {
    if attr.is_bare() {
        let name = LitStr::new(name, span);
        return vec![quote!(Key(#name))];
    }
    let default = attr.default.then(|| quote!(Default));
    attr.keys
        .iter()
        .map(|key| quote!(Key(#key)))
        .chain(default)
        .collect()
}

/// The function that decodes the arguments and calls the handler. It names no type: the handler's
/// signature says what each argument is, and traits say how it is made.
fn call(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let mut arguments = Vec::new();
    let mut passed = Vec::new();
    for (index, argument) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(argument) = argument else {
            continue;
        };
        let value = format_ident!("__argument{index}");
        let span = argument.ty.span();
        arguments.push(quote_spanned! {span=>
            let (#value, __room) = ::ploomby::__private::argument(__room, &__delivery);
            let #value = #value.await?;
        });
        passed.push(match &*argument.ty {
            Type::Reference(_) => quote_spanned!(span=> &#value),
            _ => quote_spanned!(span=> #value),
        });
    }
    let returned = match &function.sig.output {
        syn::ReturnType::Default => name.span(),
        syn::ReturnType::Type(_, ty) => ty.span(),
    };
    let outcome = quote_spanned!(returned=> ::ploomby::__private::outcome);
    quote! {
        fn __ploomby_call(
            __delivery: ::ploomby::Delivery,
        ) -> ::ploomby::__private::HandlerFuture {
            ::ploomby::__private::Box::pin(async move {
                let __result = ::ploomby::__private::guard(async {
                    let __room = ::ploomby::__private::Room::<::ploomby::__private::Free>::new();
                    #(#arguments)*
                    let _ = __room;
                    #outcome(#name(#(#passed),*).await)
                })
                .await;
                ::ploomby::__private::Completed::new(__delivery, __result)
            })
        }
    }
}
