use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, ReturnType, ext::IdentExt};

use self::argument::{Argument, arguments, make, pass, require, typed, without_names};
use crate::{
    attr::{Attr, Key, Opt, OptValue, Rate},
    error::Errors,
    function::{self, Function},
    passed_on::{conditions_and_lints, docs},
    span::{CratePath, Spans, ours},
    valid,
};

mod argument;

/// The function as it was written, and beside it what registers it. On an error the function is
/// still there, so that its callers do not report that it is missing.
pub(crate) fn handler(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match function::parse(item) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let attr = errors.check(syn::parse2(attribute));
    errors.check(valid::check(&function.sig));
    let registration = match errors.finish() {
        Ok(()) => attr.map(|attr: Attr| register(&attr, &function)),
        Err(errors) => Some(errors.to_compile_error()),
    };
    quote!(#item #registration)
}

/// What differs from one handler to the next. The rest is the same for all, and a macro of ploomby's writes it: it
/// costs the compiler less to copy than to read from here, and neither lints nor coverage take it for the user's.
///
/// Each step is the function of a trait with the span of what it is about, so that an error is
/// reported there and in that trait's words. It is called through a pointer: of a call the compiler
/// would tell more than what is wrong, and twice.
fn register(attr: &Attr, function: &Function) -> TokenStream {
    let krate = CratePath::new(attr.krate.clone());
    let passed_on = conditions_and_lints(&function.attrs);
    let docs = docs(&function.attrs);
    let name = &function.sig.ident;
    let text = name.unraw().to_string();
    let keys = keys(attr, &text, &krate);
    let [about, room, delivery] = ["about", "room", "delivery"].map(local);
    let options = options(attr, &about, &krate);
    let arguments: Vec<_> = arguments(function, &krate).collect();
    let requires = arguments
        .iter()
        .map(|argument| require(argument, &about, &room));
    let makes = make(&arguments, &krate, &delivery);
    let passes = arguments.iter().map(pass);
    let return_type = return_type(function, &arguments, &krate);
    let reply_schema = cfg!(feature = "asyncapi").then(|| {
        quote_spanned! {Span::mixed_site()=>
            #about.reply_schema = (&&&#return_type).__ploomby_reply_schema();
        }
    });
    let at_name = |inner: TokenStream| {
        let mut call = Group::new(Delimiter::Parenthesis, inner);
        call.set_span(name.span());
        call
    };
    let called = at_name(quote!(#(#passes),*));
    // it stands at the function's name, where what is wrong with its future is said
    let run_on_any_thread = Spans::of(name).private(&krate, &["run_on_any_thread"]);
    let call = at_name(quote!(#name #called));
    // an editor looks up what stands at the name: the word that waits stands at the one that makes it necessary
    let asyncness = function.sig.asyncness.map_or(name.span(), |word| word.span);
    let waiting = quote_spanned!(asyncness=> .await);
    let spans = match &function.sig.output {
        ReturnType::Default => Spans::of(name),
        ReturnType::Type(_, ty) => Spans::of(ty),
    };
    let into_answer = spans.private(&krate, &["Return", "into_answer"]);
    quote! {
        #krate::__private::link! {
            [#passed_on] #name #text [#keys] [#docs] { #return_type }
            #about #room #delivery
            { #options #reply_schema #(#requires)* }
            { #makes }
            { #run_on_any_thread #call #waiting }
            { #into_answer }
        }
    }
}

/// What the function returns: as it is written, which costs the compiler less than to find out.
fn return_type(function: &Function, arguments: &[Argument<'_>], krate: &CratePath) -> TokenStream {
    let sig = &function.sig;
    let written = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => without_names(ty.to_token_stream(), &sig.generics),
    };
    // what cannot be written in an expression
    if is_opaque(&written) {
        // no target of an editor's
        let mut name = sig.ident.clone();
        name.set_span(Span::mixed_site());
        let typed = arguments.iter().map(typed);
        return quote_spanned!(Span::mixed_site()=> #krate::__private::ReturnType::of(|| #name(#(#typed),*)));
    }
    quote_spanned!(Span::mixed_site()=> #krate::__private::ReturnType::<#written>::written())
}

/// Whether a type is, or holds, `impl Trait` or `!`.
fn is_opaque(ty: &TokenStream) -> bool {
    ty.clone().into_iter().any(|token| match token {
        TokenTree::Ident(name) => name == "impl",
        TokenTree::Punct(punct) => punct.as_char() == '!',
        TokenTree::Group(group) => is_opaque(&group.stream()),
        TokenTree::Literal(_) => false,
    })
}

fn keys(attr: &Attr, name: &str, krate: &CratePath) -> TokenStream {
    if attr.is_bare() {
        return quote!(#krate::__private::LinkedKey::Key(#name));
    }
    let keys = attr.keys.iter().map(|key| match key {
        Key::Text(key) => quote!(#krate::__private::LinkedKey::Key(#key)),
        Key::Constant(key) => constant(key, "constant", krate),
    });
    let patterns = attr.patterns.iter();
    let patterns = patterns.map(|pattern| constant(pattern, "pattern", krate));
    let default = attr
        .default
        .then(|| quote!(#krate::__private::LinkedKey::Default));
    let keys = keys.chain(patterns).chain(default);
    quote!(#(#keys),*)
}

/// What the function of this name makes of a constant when the program is compiled.
fn constant(value: &Expr, make: &str, krate: &CratePath) -> TokenStream {
    let make = ours(make);
    quote!(#krate::__private::LinkedKey::#make({
        const __PLOOMBY_KEY: &::core::primitive::str = #value;
        __PLOOMBY_KEY
    }))
}

/// The trait of an option is called as those of the arguments are, for the same reason.
fn options(attr: &Attr, about: &Ident, krate: &CratePath) -> Option<TokenStream> {
    let setters = attr.options.iter().map(|Opt { name, known, value }| {
        let set = match value {
            OptValue::Duration(duration) => {
                let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                quote!(::core::time::Duration::from_nanos(#nanos))
            }
            OptValue::Rate(Rate { messages, function }) => {
                let function = ours(function);
                quote!(#krate::__private::Rate::#function(#messages))
            }
            OptValue::Expr(value) => {
                let make = local("make");
                let of_trait = Spans::of(value).private(krate, &[known.of_trait, "value"]);
                quote!({
                    let #make: fn(_) -> _ = #of_trait;
                    #make(#value)
                })
            }
        };
        let name = ours(&name.to_string());
        quote!(.#name(#set))
    });
    (!attr.options.is_empty())
        .then(|| quote!(#about.options = #krate::__private::HandlerOptions::new() #(#setters)*;))
}

/// A variable that nothing of the user's can be mistaken for: hygiene keeps it apart from the user's variables,
/// and its prefix from constants and unit structs, which a pattern would mean.
fn local(name: &str) -> Ident {
    ours(&format!("__ploomby_{name}"))
}
