use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

/// Where a piece of the user's code begins and ends: stable Rust cannot join the two to one span,
/// but the compiler does, for code that begins with the one and ends with the other.
#[derive(Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) start: Span,
    pub(crate) end: Span,
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

    /// The path to a trait's function, which the compiler shows as the user's code.
    pub(crate) fn private(self, of_trait: &str, function: &str) -> TokenStream {
        let of_trait = Ident::new(of_trait, self.start);
        let function = Ident::new(function, self.end);
        let start = quote_spanned!(self.start=> ::ploomby::__private::#of_trait);
        quote_spanned!(self.end=> #start::#function)
    }
}
