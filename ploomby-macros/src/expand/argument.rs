use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{FnArg, Generics, Type};

use super::local;
use crate::{
    function::Function,
    passed_on::conditions,
    span::{CratePath, Spans, ours},
    valid::bare,
};

/// An argument of the function.
pub(super) struct Argument<'f> {
    krate: &'f CratePath,
    /// On which it is compiled.
    conditions: TokenStream,
    written: &'f Type,
    is_lent: bool,
    /// The type that it is given or lent as, without the names of the lifetimes that belong to the signature alone.
    ty: TokenStream,
    /// Its variables.
    place: Ident,
    kind: Ident,
    rules: Ident,
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

pub(super) fn arguments<'f>(
    function: &'f Function,
    krate: &'f CratePath,
) -> impl Iterator<Item = Argument<'f>> {
    let inputs = function.sig.inputs.iter().enumerate();
    inputs.filter_map(|(index, argument)| match argument {
        FnArg::Typed(argument) => {
            let written = bare(&argument.ty);
            let (is_lent, ty) = match written {
                Type::Reference(reference) => (true, &*reference.elem),
                ty => (false, ty),
            };
            Some(Argument {
                krate,
                conditions: conditions(&argument.attrs),
                written,
                is_lent,
                ty: without_names(ty.to_token_stream(), &function.sig.generics),
                place: local(&format!("argument{index}")),
                kind: local(&format!("kind{index}")),
                rules: local(&format!("rules{index}")),
            })
        }
        FnArg::Receiver(_) => None,
    })
}

/// That it is an argument and not a payload and an extractor as well, what it needs, and that it is the only payload.
pub(super) fn require(argument: &Argument<'_>, about: &Ident, room: &Ident) -> TokenStream {
    let Argument {
        krate,
        conditions,
        ty,
        kind,
        ..
    } = argument;
    let spans = argument.spans();
    let [sorted, require, fill] = ["sorted", "require", "fill"].map(local);
    let is_sorted = spans.private(krate, &["IsSorted", "sorted"]);
    let require_argument = spans.private(krate, &[argument.of_trait(), "require"]);
    let fill_slot = spans.private(krate, &["Slot", "fill"]);
    let rules = rules(argument);
    let schema = schema(argument, about);
    quote_spanned! {Span::mixed_site()=>
        #conditions
        let #sorted: fn(_) = #is_sorted;
        #conditions
        #sorted((&&#krate::__private::Sort::<#ty>::of()).__ploomby_sort());
        #conditions
        let #kind = #krate::__private::Sort::<#ty>::of().__ploomby_kind();
        #conditions
        let #require: fn(_, _, _) = #require_argument;
        #conditions
        #require(
            #krate::__private::PhantomData::<*const #ty>,
            #kind,
            &mut #about.requirements,
        );
        #conditions
        let #fill: fn(_, _) -> _ = #fill_slot;
        #conditions
        let #room = #fill(#room, #kind);
        #schema
        #rules
    }
}

/// How a payload is described, if its type can tell.
fn schema(argument: &Argument<'_>, about: &Ident) -> Option<TokenStream> {
    let Argument {
        krate,
        conditions,
        ty,
        kind,
        ..
    } = argument;
    cfg!(feature = "asyncapi").then(|| {
        quote_spanned! {Span::mixed_site()=>
            #conditions
            (&&#krate::__private::Schemas::<#ty, _>::of(#kind)).__ploomby_schema(&mut #about.requirements);
        }
    })
}

/// Whether a payload has rules, its type tells.
fn rules(argument: &Argument<'_>) -> Option<TokenStream> {
    let Argument {
        krate,
        conditions,
        ty,
        rules,
        ..
    } = argument;
    cfg!(feature = "garde").then(|| {
        quote_spanned! {Span::mixed_site()=>
            #conditions
            let #rules = (&&#krate::__private::Rules::<#ty>::of()).__ploomby_rules();
        }
    })
}

/// All arguments are made before there is waiting for one: for each the compiler would write a state of its own.
/// Once all is known of a message that there is to know, a trial of it ends: with the arguments, which costs the
/// compiler less than a step of its own, or after their rules.
pub(super) fn make(arguments: &[Argument<'_>], krate: &CratePath, delivery: &Ident) -> TokenStream {
    let end_trial =
        quote_spanned! {Span::mixed_site()=> #krate::__private::end_trial(&#delivery)?; };
    if arguments.is_empty() {
        return end_trial;
    }
    let failure = local("failure");
    let places = arguments.iter().map(|argument| {
        let Argument {
            conditions, place, ..
        } = argument;
        let of_place = ours(if argument.is_lent {
            "LentPlace"
        } else {
            "Place"
        });
        quote_spanned! {Span::mixed_site()=>
            #conditions
            let mut #place = #krate::__private::#of_place::empty();
        }
    });
    let extracts = arguments.iter().map(|argument| {
        let Argument {
            conditions,
            place,
            kind,
            ..
        } = argument;
        let extract_argument = argument
            .spans()
            .private(krate, &[argument.of_trait(), "make"]);
        let extract = local("extract");
        quote_spanned! {Span::mixed_site()=>
            #conditions
            {
                let #extract: fn(_, _, _) -> _ = #extract_argument;
                #extract(&#delivery, &mut #place, #kind)
            }
        }
    });
    let checks = arguments.iter().map(|argument| check(argument, &failure));
    // variables are passed, and no calls: of one that gives `()` clippy would complain at the user's function
    let taken = arguments.iter().filter(|argument| !argument.is_lent);
    let takes = taken.map(|argument| {
        let Argument {
            conditions, place, ..
        } = argument;
        quote_spanned! {Span::mixed_site()=>
            #conditions
            let #place = #place.take();
        }
    });
    let extracts = quote_spanned!(Span::mixed_site()=> [#(#extracts),*]);
    let (extracted, end_trial) = match cfg!(feature = "garde") {
        true => (quote!(of(#extracts)), Some(end_trial)),
        false => (quote!(or_tried(#extracts, &#delivery)), None),
    };
    quote_spanned! {Span::mixed_site()=>
        #(#places)*
        if let ::core::result::Result::Err(#failure) =
            #krate::__private::AllExtracted::#extracted.await
        {
            return ::core::result::Result::Err(#failure);
        }
        #(#checks)*
        #(#takes)*
        #end_trial
    }
}

/// That a payload keeps the rules of its type.
fn check(argument: &Argument<'_>, failure: &Ident) -> Option<TokenStream> {
    if !cfg!(feature = "garde") {
        return None;
    }
    let Argument {
        krate,
        conditions,
        place,
        rules,
        ..
    } = argument;
    let check = local("check");
    let check_argument = argument.spans().private(krate, &["Check", "check"]);
    Some(quote_spanned! {Span::mixed_site()=>
        #conditions
        let #check: fn(_, _) -> _ = #check_argument;
        #conditions
        if let ::core::result::Result::Err(#failure) = #check(#place.made(), #rules) {
            return ::core::result::Result::Err(#failure);
        }
    })
}

pub(super) fn pass(argument: &Argument<'_>) -> TokenStream {
    let Argument {
        conditions, place, ..
    } = argument;
    match argument.is_lent {
        true => quote_spanned!(Span::mixed_site()=> #conditions #place.lend()),
        false => quote_spanned!(Span::mixed_site()=> #conditions #place),
    }
}

/// What has the argument's type, where the function is never called.
pub(super) fn typed(argument: &Argument<'_>) -> TokenStream {
    let Argument {
        krate, conditions, ..
    } = argument;
    quote_spanned!(Span::mixed_site()=> #conditions #krate::__private::never())
}

/// The type with `'_` in place of each lifetime of the signature's own; others, as in `for<'a> Fn(&'a str)`, are
/// the type's.
pub(super) fn without_names(ty: TokenStream, generics: &Generics) -> TokenStream {
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
