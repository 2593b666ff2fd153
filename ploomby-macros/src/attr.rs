use proc_macro2::TokenTree;
use syn::{
    Ident, Lit, LitStr, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::error::Errors;

/// What a handler answers to: `("key", "other key", default)`.
#[derive(Default)]
pub(crate) struct Attr {
    pub(crate) keys: Vec<LitStr>,
    pub(crate) default: bool,
}

impl Attr {
    /// An attribute without parentheses, or with nothing in them.
    pub(crate) fn is_bare(&self) -> bool {
        self.keys.is_empty() && !self.default
    }
}

impl Parse for Attr {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut attr = Self::default();
        let mut errors = Errors::default();
        while !input.is_empty() {
            if errors.check(attr.add(input)).is_none() {
                skip_to_comma(input);
            }
            if !input.is_empty() && errors.check(input.parse::<Token![,]>()).is_none() {
                break;
            }
        }
        errors.finish().map(|()| attr)
    }
}

const ALLOWED: &str = "expected keys as string literals, or `default`: \
                       #[handler], #[handler(\"key\")], #[handler(\"key\", \"other key\")], \
                       #[handler(default)]";

impl Attr {
    fn add(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            self.add_key(input.parse()?)
        } else if input.peek(Lit) {
            Err(syn::Error::new_spanned(
                input.parse::<Lit>()?,
                "a key is a string literal, in double quotes",
            ))
        } else if input.peek(Ident::peek_any) {
            self.add_word(&input.call(Ident::parse_any)?, input)
        } else {
            Err(input.error(ALLOWED))
        }
    }

    fn add_key(&mut self, key: LitStr) -> syn::Result<()> {
        let text = key.value();
        if text.is_empty() {
            return Err(syn::Error::new_spanned(
                key,
                "a key cannot be empty: #[handler] alone takes the function's name",
            ));
        }
        if self.keys.iter().any(|known| known.value() == text) {
            return Err(syn::Error::new_spanned(key, "this key is named twice"));
        }
        self.keys.push(key);
        Ok(())
    }

    fn add_word(&mut self, word: &Ident, rest: ParseStream<'_>) -> syn::Result<()> {
        if word != "default" {
            return Err(syn::Error::new_spanned(
                word,
                format!("unknown option `{word}`: {ALLOWED}"),
            ));
        }
        if !rest.is_empty() && !rest.peek(Token![,]) {
            return Err(rest.error("`default` stands alone: it takes no value"));
        }
        if self.default {
            return Err(syn::Error::new_spanned(word, "`default` is named twice"));
        }
        self.default = true;
        Ok(())
    }
}

/// What follows a mistake belongs to it.
fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<TokenTree>();
    }
}
