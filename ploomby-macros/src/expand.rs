use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, FnArg, ItemFn, LitStr, PatType, ReturnType, Type, ext::IdentExt, spanned::Spanned,
};

use crate::{
    attr::{Attr, Opt, OptValue},
    error::Errors,
    span::Spans,
    valid,
};

/// The function as it was written, and beside it what registers it. On an error the function is
/// still there, so that its callers do not report that it is missing.
pub(crate) fn handler(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(error.span(), NOT_A_FUNCTION).to_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let attr = errors.check(syn::parse2(attribute));
    errors.check(valid::check(&function));
    let registration = match errors.finish() {
        Ok(()) => attr.map(|attr: Attr| register(&attr, &function)),
        Err(errors) => Some(errors.to_compile_error()),
    };
    quote!(#item #registration)
}

const NOT_A_FUNCTION: &str = "#[handler] stands on an async function with a body";

fn register(attr: &Attr, function: &ItemFn) -> TokenStream {
    let conditions = conditions(&function.attrs);
    let deprecated = function
        .attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("deprecated"))
        .then(|| quote!(#[allow(deprecated)]));
    let name = function.sig.ident.unraw().to_string();
    let function_name = &function.sig.ident;
    let keys = keys(attr, &name, function_name.span());
    let call = call();
    let options = options(attr);
    let require = require(function);
    let run = run(function);
    quote! {
        #(#conditions)*
        #deprecated
        const _: () = {
            ::ploomby::__private::inventory::submit! {
                ::ploomby::__private::LinkedHandler {
                    keys: &[#(::ploomby::__private::LinkedKey::#keys),*],
                    name: ::core::concat!(::core::module_path!(), "::", #name),
                    type_name: || ::core::any::type_name_of_val(&#function_name),
                    file: ::core::file!(),
                    line: ::core::line!(),
                    options: __ploomby_options,
                    require: __ploomby_require,
                    call: __ploomby_call,
                }
            }

            #options

            #require

            #call

            #run
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

/// What the attribute says beside the keys. The trait of an option is called as those of the
/// arguments are, for the same reason.
fn options(attr: &Attr) -> TokenStream {
    let setters = attr.options.iter().map(|Opt { name, known, value }| {
        let set = match value {
            OptValue::Duration(duration) => {
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                quote!(::core::time::Duration::from_nanos(#nanos))
            }
            OptValue::Expr(value) => {
                let make = local("make", Span::call_site());
                let of_trait = Spans::of(value).private(known.of_trait, "value");
                quote!({
                    let #make: fn(_) -> _ = #of_trait;
                    #make(#value)
                })
            }
        };
        quote!(.#name(#set))
    });
    quote! {
        fn __ploomby_options() -> ::ploomby::__private::HandlerOptions {
            ::ploomby::__private::HandlerOptions::new() #(#setters)*
        }
    }
}

/// What the arguments need from the program. The lifetimes of the signature are those of its types.
fn require(function: &ItemFn) -> TokenStream {
    let requirements = local("requirements", Span::call_site());
    let (lifetimes, _, conditions_on_them) = function.sig.generics.split_for_impl();
    let requires = function
        .sig
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(require_one(argument, &requirements)),
            FnArg::Receiver(_) => None,
        });
    quote! {
        fn __ploomby_require #lifetimes (
            #requirements: &mut ::ploomby::__private::Requirements,
        ) #conditions_on_them {
            let _ = &#requirements;
            #(#requires)*
        }
    }
}

fn require_one(argument: &PatType, requirements: &Ident) -> TokenStream {
    let conditions = conditions(&argument.attrs);
    let conditions = quote!(#(#conditions)*);
    let (of_argument, ty) = match &*argument.ty {
        Type::Reference(reference) => ("LentArgument", &*reference.elem),
        ty => ("Argument", ty),
    };
    let spans = Spans::of(&argument.ty);
    let require = local("require", spans.start);
    let require_argument = spans.private(of_argument, "require");
    quote_spanned! {spans.end=>
        #conditions
        let #require: fn(_, _) = #require_argument;
        #conditions
        #require(::ploomby::__private::PhantomData::<*const #ty>, #requirements);
    }
}

/// The function in the registry.
fn call() -> TokenStream {
    let [delivery, spare] = ["delivery", "spare"].map(|name| local(name, Span::call_site()));
    quote! {
        fn __ploomby_call(
            #delivery: ::ploomby::__private::Delivery,
            #spare: ::ploomby::__private::Option<::ploomby::__private::HandlerFuture>,
        ) -> ::ploomby::__private::HandlerFuture {
            ::ploomby::__private::start(#spare, async move {
                ::ploomby::__private::guard(__ploomby_run(&#delivery)).await
            })
        }
    }
}

/// Makes the arguments and calls the handler. It names no type: the handler's signature says what
/// each argument is, and traits say how it is made.
///
/// Each step is the function of a trait with the span of what it is about, so that an error is
/// reported there and in that trait's words. It is called through a pointer: of a call the compiler
/// would tell more than what is wrong, and twice.
fn run(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let delivery = local("delivery", Span::call_site());
    let room = local("room", Span::call_site());
    let returned = local("returned", Span::call_site());
    let [kind, into_failure, into_answer] =
        ["kind", "into_failure", "into_answer"].map(|name| local(name, Span::call_site()));
    let mut makes = Vec::new();
    let mut passes = Vec::new();
    for (index, argument) in function.sig.inputs.iter().enumerate() {
        if let FnArg::Typed(argument) = argument {
            let value = local(&format!("argument{index}"), Span::call_site());
            makes.push(make(argument, &value));
            passes.push(pass(argument, &value));
        }
    }
    let handling = quote_spanned! {name.span()=>
        ::ploomby::__private::run_on_any_thread(#name(#(#passes),*)).await
    };
    let spans = match &function.sig.output {
        ReturnType::Default => Spans::of(name),
        ReturnType::Type(_, ty) => Spans::of(ty),
    };
    let into_failure_of_error = spans.private("ReturnedError", "into_failure");
    let into_answer_of_returned = spans.private("Return", "into_answer");
    quote! {
        async fn __ploomby_run(
            #delivery: &::ploomby::__private::Delivery,
        ) -> ::ploomby::__private::Result<
            ::ploomby::__private::Answer,
            ::ploomby::__private::Failure,
        > {
            let #room = ::ploomby::__private::Free;
            #(#makes)*
            let _ = #room;
            let #returned = ::ploomby::__private::Returned(#handling);
            #[allow(unused_imports)]
            use ::ploomby::__private::{DecidesKind as _, RepliesKind as _, Whole as _};
            let #into_failure: fn(_) -> _ = #into_failure_of_error;
            let #returned = #returned.__ploomby_split().map_err(#into_failure)?;
            let #kind = (&&#returned).__ploomby_kind();
            let #into_answer: fn(_, _, _) -> _ = #into_answer_of_returned;
            #into_answer(#returned, #kind, #delivery)
        }
    }
}

fn make(argument: &PatType, value: &Ident) -> TokenStream {
    let conditions = conditions(&argument.attrs);
    let conditions = quote!(#(#conditions)*);
    let spans = Spans::of(&argument.ty);
    let of_argument = match &*argument.ty {
        Type::Reference(_) => "LentArgument",
        _ => "Argument",
    };
    let extract_argument = spans.private(of_argument, "extract");
    let fill_slot = spans.private("Slot", "fill");
    let [delivery, room, extract, fill] =
        ["delivery", "room", "extract", "fill"].map(|name| local(name, spans.start));
    quote_spanned! {spans.end=>
        #conditions
        let #extract: fn(_) -> _ = #extract_argument;
        #conditions
        let #value = #extract(#delivery);
        #conditions
        let #fill: fn(_, _) -> _ = #fill_slot;
        #conditions
        let #room = #fill(#room, #value.kind());
        #conditions
        let #value = #value.await?;
    }
}

fn pass(argument: &PatType, value: &Ident) -> TokenStream {
    let conditions = conditions(&argument.attrs);
    let span = argument.ty.span();
    match &*argument.ty {
        Type::Reference(_) => quote_spanned!(span=> #(#conditions)* #value.lend()),
        _ => quote_spanned!(span=> #(#conditions)* #value),
    }
}

/// A variable that nothing of the user's can be mistaken for.
fn local(name: &str, span: Span) -> Ident {
    Ident::new(name, span.resolved_at(Span::mixed_site()))
}

/// What is compiled on a condition is registered on the same one.
fn conditions(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
}
