use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, FnArg, Generics, ItemFn, LitStr, ReturnType, Type, ext::IdentExt, spanned::Spanned,
};

use crate::{
    attr::{Attr, Opt, OptValue},
    error::Errors,
    span::Spans,
    valid::{self, bare},
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
    let name = function.sig.ident.unraw().to_string();
    let function_name = &function.sig.ident;
    let keys = keys(attr, &name, function_name.span());
    let describe = describe(attr, function);
    let call = call(function);
    // that the function or one of its types is deprecated is said where it is written
    quote! {
        #conditions
        #[allow(deprecated)]
        const _: () = {
            ::ploomby::__private::inventory::submit! {
                ::ploomby::__private::LinkedHandler {
                    keys: &[#(::ploomby::__private::LinkedKey::#keys),*],
                    name: ::core::concat!(::core::module_path!(), "::", #name),
                    file: ::core::file!(),
                    line: ::core::line!(),
                    describe: __ploomby_describe,
                    call: __ploomby_call,
                }
            }

            #[allow(unused_imports)]
            use ::ploomby::__private::by_type::*;

            #describe

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

/// What the program learns when it starts: the name of the function's type, what the attribute says
/// beside the keys, and what the arguments need. The lifetimes of the signature are those of its types.
fn describe(attr: &Attr, function: &ItemFn) -> TokenStream {
    let [about, room] = ["about", "room"].map(|name| local(name, Span::call_site()));
    let (lifetimes, _, conditions_on_them) = function.sig.generics.split_for_impl();
    let name = &function.sig.ident;
    let options = options(attr, &about);
    let requires = arguments(function).map(|argument| require(&argument, &about, &room));
    quote! {
        fn __ploomby_describe #lifetimes (
            #about: &mut ::ploomby::__private::Description,
        ) #conditions_on_them {
            #about.type_name = ::core::any::type_name_of_val(&#name);
            #options
            let #room = ::ploomby::__private::Free;
            #(#requires)*
            let _ = #room;
        }
    }
}

/// The trait of an option is called as those of the arguments are, for the same reason.
fn options(attr: &Attr, about: &Ident) -> Option<TokenStream> {
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
    (!attr.options.is_empty())
        .then(|| quote!(#about.options = ::ploomby::__private::HandlerOptions::new() #(#setters)*;))
}

/// That it is an argument, what it needs, and that it is the only payload.
fn require(argument: &Argument<'_>, about: &Ident, room: &Ident) -> TokenStream {
    let Argument { conditions, ty, .. } = argument;
    let of_argument = argument.of_trait();
    let spans = argument.spans();
    let [kind, require, fill] = ["kind", "require", "fill"].map(|name| local(name, spans.start));
    let require_argument = spans.private(of_argument, "require");
    let fill_slot = spans.private("Slot", "fill");
    let sort = sort(argument);
    quote_spanned! {spans.end=>
        #sort
        #conditions
        let #kind = ::ploomby::__private::PhantomData;
        #conditions
        let #require: fn(_, _, _) = #require_argument;
        #conditions
        #require(
            ::ploomby::__private::PhantomData::<*const #ty>,
            #kind,
            &mut #about.requirements,
        );
        #conditions
        let #fill: fn(_, _) -> _ = #fill_slot;
        #conditions
        let #room = #fill(#room, #kind);
    }
}

/// The function in the registry: makes the arguments and calls the handler. It names no type: the
/// handler's signature says what each argument is, and traits say how it is made.
///
/// Each step is the function of a trait with the span of what it is about, so that an error is
/// reported there and in that trait's words. It is called through a pointer: of a call the compiler
/// would tell more than what is wrong, and twice.
fn call(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let [delivery, returned] = ["delivery", "returned"].map(|name| local(name, Span::call_site()));
    let [kind, into_failure, into_answer] =
        ["kind", "into_failure", "into_answer"].map(|name| local(name, Span::call_site()));
    let mut makes = Vec::new();
    let mut passes = Vec::new();
    for (index, argument) in arguments(function).enumerate() {
        let place = local(&format!("argument{index}"), Span::call_site());
        makes.push(make(&argument, &place));
        passes.push(pass(&argument, &place));
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
        fn __ploomby_call(
            #delivery: ::ploomby::__private::Delivery,
        ) -> ::ploomby::__private::HandlerFuture {
            ::ploomby::__private::start(#delivery, |#delivery| async move {
                #(#makes)*
                let #returned = ::ploomby::__private::Returned(#handling);
                let #into_failure: fn(_) -> _ = #into_failure_of_error;
                let #returned = #returned.__ploomby_split().map_err(#into_failure)?;
                let #kind = (&&#returned).__ploomby_kind();
                let #into_answer: fn(_, _, _) -> _ = #into_answer_of_returned;
                #into_answer(#returned, #kind, &#delivery)
            })
        }
    }
}

/// An argument of the function.
struct Argument<'f> {
    /// On which it is compiled.
    conditions: TokenStream,
    written: &'f Type,
    is_lent: bool,
    /// The type that it is given or lent as.
    ty: &'f Type,
    /// The same without the names of the lifetimes that belong to the signature alone.
    unnamed: TokenStream,
}

impl Argument<'_> {
    fn spans(&self) -> Spans {
        Spans::of(self.written)
    }

    fn of_trait(&self) -> &'static str {
        if self.is_lent {
            "LentArgument"
        } else {
            "Argument"
        }
    }
}

fn arguments(function: &ItemFn) -> impl Iterator<Item = Argument<'_>> {
    let inputs = function.sig.inputs.iter();
    inputs.filter_map(|argument| match argument {
        FnArg::Typed(argument) => {
            let written = bare(&argument.ty);
            let (is_lent, ty) = match written {
                Type::Reference(reference) => (true, &*reference.elem),
                ty => (false, ty),
            };
            Some(Argument {
                conditions: conditions(&argument.attrs),
                written,
                is_lent,
                ty,
                unnamed: without_names(ty.to_token_stream(), &function.sig.generics),
            })
        }
        FnArg::Receiver(_) => None,
    })
}

fn make(argument: &Argument<'_>, place: &Ident) -> TokenStream {
    let Argument { conditions, .. } = argument;
    let spans = argument.spans();
    let of_place = match argument.is_lent {
        true => quote!(LentPlace),
        false => quote!(Place),
    };
    let extract_argument = spans.private(argument.of_trait(), "extract");
    let [extract, delivery] = ["extract", "delivery"].map(|name| local(name, spans.start));
    let sort = sort(argument);
    let check = check(argument, place);
    quote_spanned! {spans.end=>
        #sort
        #conditions
        let #extract: fn(_, _) -> _ = #extract_argument;
        #conditions
        let mut #place = ::ploomby::__private::#of_place::empty();
        #conditions
        #extract(&#delivery, &mut #place).await?;
        #check
    }
}

/// That it is not a payload and an extractor as well.
fn sort(argument: &Argument<'_>) -> TokenStream {
    let Argument {
        conditions,
        unnamed,
        ..
    } = argument;
    let spans = argument.spans();
    let sorted = local("sorted", spans.start);
    let is_sorted = spans.private("IsSorted", "sorted");
    quote_spanned! {spans.end=>
        #conditions
        let #sorted: fn(_) = #is_sorted;
        #conditions
        #sorted((&&::ploomby::__private::Sort::<#unnamed>::of()).__ploomby_sort());
    }
}

/// That a payload keeps the rules of its type. Whether it has some, the type tells that stands in the
/// signature.
fn check(argument: &Argument<'_>, place: &Ident) -> Option<TokenStream> {
    if !cfg!(feature = "garde") {
        return None;
    }
    let Argument {
        conditions,
        unnamed,
        ..
    } = argument;
    let spans = argument.spans();
    let check_argument = spans.private("Check", "check");
    let [rules, check] = ["rules", "check"].map(|name| local(name, spans.start));
    Some(quote_spanned! {spans.end=>
        #conditions
        let #rules = (&&::ploomby::__private::Rules::<#unnamed>::of()).__ploomby_rules();
        #conditions
        let #check: fn(_, _) -> _ = #check_argument;
        #conditions
        #check(#place.made(), #rules)?;
    })
}

fn pass(argument: &Argument<'_>, place: &Ident) -> TokenStream {
    let Argument { conditions, .. } = argument;
    let span = argument.written.span();
    match argument.is_lent {
        true => quote_spanned!(span=> #conditions #place.lend()),
        false => quote_spanned!(span=> #conditions #place.take()),
    }
}

/// The type with `'_` in place of each lifetime of the signature's own; others, as in `for<'a> Fn(&'a str)`, are
/// the type's.
fn without_names(ty: TokenStream, generics: &Generics) -> TokenStream {
    let mut in_lifetime = false;
    let tokens = ty.into_iter().map(|token| {
        let name_follows = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        let is_own = |name: &Ident| {
            let mut own = generics.lifetimes();
            own.any(|parameter| parameter.lifetime.ident == *name)
        };
        let token = match token {
            TokenTree::Ident(name) if in_lifetime && is_own(&name) => {
                Ident::new("_", name.span()).into()
            }
            TokenTree::Group(group) => {
                let stream = without_names(group.stream(), generics);
                let mut erased = Group::new(group.delimiter(), stream);
                erased.set_span(group.span());
                erased.into()
            }
            token => token,
        };
        in_lifetime = name_follows;
        token
    });
    tokens.collect()
}

/// A variable that nothing of the user's can be mistaken for: hygiene keeps it apart from the user's variables,
/// and its prefix from constants and unit structs, which a pattern would mean.
fn local(name: &str, span: Span) -> Ident {
    let span = span.resolved_at(Span::mixed_site());
    Ident::new(&format!("__ploomby_{name}"), span)
}

/// What is compiled on a condition is registered on the same one.
fn conditions(attributes: &[Attribute]) -> TokenStream {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .map(ToTokens::to_token_stream)
        .collect()
}
