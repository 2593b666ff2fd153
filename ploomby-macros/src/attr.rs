use proc_macro2::Span;
use syn::{
    Ident, LitStr, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

/// What a handler answers to: `("key", "other key", default)`.
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
        let mut attr = Self {
            keys: Vec::new(),
            default: false,
        };
        while !input.is_empty() {
            if input.peek(LitStr) {
                attr.add_key(input.parse()?)?;
            } else if input.peek(Ident::peek_any) {
                attr.add_word(&input.call(Ident::parse_any)?)?;
            } else {
                return Err(input.error(ALLOWED));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attr)
    }
}

const ALLOWED: &str = "expected keys as string literals, or `default`: \
                       #[handler], #[handler(\"key\")], #[handler(\"key\", \"other key\")], \
                       #[handler(default)]";

impl Attr {
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

    fn add_word(&mut self, word: &Ident) -> syn::Result<()> {
        if word != "default" {
            return Err(unknown(word.span(), &word.to_string()));
        }
        if self.default {
            return Err(syn::Error::new_spanned(word, "`default` is named twice"));
        }
        self.default = true;
        Ok(())
    }
}

fn unknown(span: Span, word: &str) -> syn::Error {
    syn::Error::new(span, format!("unknown option `{word}`: {ALLOWED}"))
}
