use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Signature, Visibility,
    parse::{Parse, ParseStream},
};

/// What stands before the body. The body is nobody's business here: it need not be complete, nor in a syntax that
/// this crate knows.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) sig: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let sig = input.parse()?;
        if !input.peek(syn::token::Brace) {
            return Err(input.error(NOT_A_FUNCTION));
        }
        input.parse::<TokenStream>()?;
        Ok(Self { attrs, sig })
    }
}

const NOT_A_FUNCTION: &str = "#[handler] stands on an async function with a body";

/// Reads the signature, or says what stands there instead.
pub(crate) fn parse(item: &TokenStream) -> syn::Result<Function> {
    syn::parse2(item.clone()).map_err(|error| {
        if !has_function(item) {
            return syn::Error::new(error.span(), NOT_A_FUNCTION);
        }
        let text = error.to_string();
        if text == NOT_A_FUNCTION {
            return error;
        }
        let text = format!("#[handler] cannot read this signature: {text}");
        syn::Error::new(error.span(), text)
    })
}

/// Whether it is a function, however it goes on.
fn has_function(item: &TokenStream) -> bool {
    let mut words = item.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word),
        _ => None,
    });
    words.any(|word| word == "fn")
        && !item.clone().into_iter().any(|token| {
            matches!(&token, TokenTree::Ident(word) if ["impl", "trait", "struct", "enum", "mod"]
                .iter()
                .any(|item| word == item))
        })
}
