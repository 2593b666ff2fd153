use proc_macro2::{Ident, Punct, Spacing, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

/// Where a piece of the user's code begins and ends: stable Rust cannot join the two to one span,
/// but the compiler does, for code that begins with the one and ends with the other.
#[derive(Clone, Copy)]
pub(crate) struct Spans {
    start: Span,
    end: Span,
}

impl Spans {
    pub(crate) fn of(tokens: &impl ToTokens) -> Self {
        let mut tokens = tokens.to_token_stream().into_iter();
        let start = tokens
            .next()
            .map_or_else(Span::call_site, |token| token.span());
        let end = tokens.last().map_or(start, |token| token.span());
        Self { start, end }
    }

    /// The path to a function, such as a trait's, which the compiler shows as the user's code.
    ///
    /// Only its first and its last sign stand there, and no name: an editor that looks for what the user's name
    /// means would find the others beside it.
    pub(crate) fn private(self, krate: &CratePath, names: &[&str]) -> TokenStream {
        let names = names.iter().map(|name| ours(name));
        let root = krate.at(self.start);
        let mut end = Punct::new('>', Spacing::Alone);
        end.set_span(self.end);
        quote_spanned! {Span::mixed_site()=> #root::__private #(:: #names)* ::< #end}
    }
}

/// A name that stands nowhere in the user's code.
pub(crate) fn ours(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The path to ploomby.
pub(crate) struct CratePath(Option<syn::Path>);

impl CratePath {
    pub(crate) fn new(named: Option<syn::Path>) -> Self {
        Self(named)
    }

    /// The path, its first sign where the user's code begins.
    fn at(&self, start: Span) -> TokenStream {
        match &self.0 {
            None => {
                let root = quote_spanned!(start=> ::);
                let ploomby = ours("ploomby");
                quote!(#root #ploomby)
            }
            Some(path) => {
                let mut tokens = path.to_token_stream().into_iter();
                let first = tokens.next().map(|mut token| {
                    token.set_span(start.resolved_at(token.span()));
                    token
                });
                first.into_iter().chain(tokens).collect()
            }
        }
    }
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match &self.0 {
            None => self.at(Span::mixed_site()).to_tokens(tokens),
            Some(path) => path.to_tokens(tokens),
        }
    }
}
