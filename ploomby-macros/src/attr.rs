use std::time::Duration;

use proc_macro2::TokenTree;
use syn::{
    Expr, ExprMacro, ExprPath, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

pub(crate) use self::rate::Rate;
use crate::error::Errors;

mod duration;
mod rate;

/// What a handler answers to, and how it is run: `("key", "other key", default, retry = 5)`.
#[derive(Default)]
pub(crate) struct Attr {
    pub(crate) keys: Vec<Key>,
    pub(crate) patterns: Vec<Expr>,
    pub(crate) default: bool,
    pub(crate) options: Vec<Opt>,
    /// Where ploomby is found, in place of `::ploomby`.
    pub(crate) krate: Option<Path>,
}

pub(crate) enum Key {
    Text(LitStr),
    /// A constant's path, or a macro such as `concat!`.
    Constant(Expr),
}

/// `name = value`, a setter of `HandlerOptions`.
pub(crate) struct Opt {
    pub(crate) name: Ident,
    pub(crate) known: &'static KnownOption,
    pub(crate) value: OptValue,
}

pub(crate) struct KnownOption {
    name: &'static str,
    /// The trait that says which values there are.
    pub(crate) of_trait: &'static str,
    example: &'static str,
}

pub(crate) enum OptValue {
    Expr(Expr),
    Duration(Duration),
    Rate(Rate),
}

impl Attr {
    /// An attribute that names no key.
    pub(crate) fn is_bare(&self) -> bool {
        self.keys.is_empty() && self.patterns.is_empty() && !self.default
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

const ALLOWED: &str = "expected keys as string literals or constants, `pattern`, `default`, or options: \
                       #[handler], #[handler(\"key\")], #[handler(\"key\", OTHER_KEY)], \
                       #[handler(pattern = \"order.*\")], #[handler(default)], #[handler(\"key\", retry = 5, timeout = \"10s\")]; \
                       the options are `queue`, `retry`, `timeout`, `concurrency`, `rate`, `ordered_by`, \
                       `batch_size`, `batch_wait`, `unavailable_if`, `brake`, `needs`, `layer` and `crate`";

static OPTIONS: [KnownOption; 12] = [
    KnownOption {
        name: "queue",
        of_trait: "QueueValue",
        example: "queue = \"users\"",
    },
    KnownOption {
        name: "retry",
        of_trait: "RetryValue",
        example: "retry = 5, or retry = Retry::fixed(3, Duration::from_secs(10))",
    },
    KnownOption {
        name: "timeout",
        of_trait: "TimeoutValue",
        example: "timeout = \"10s\", or timeout = Duration::from_secs(10)",
    },
    KnownOption {
        name: "concurrency",
        of_trait: "ConcurrencyValue",
        example: "concurrency = 4",
    },
    KnownOption {
        name: "rate",
        of_trait: "RateValue",
        example: "rate = \"100/s\", or rate = Rate::per_second(100).burst(10)",
    },
    KnownOption {
        name: "ordered_by",
        of_trait: "OrderedByValue",
        example: "ordered_by = OrderBy::header(\"customer\"), or ordered_by = OrderBy::field(\"customer.id\")",
    },
    KnownOption {
        name: "batch_size",
        of_trait: "BatchSizeValue",
        example: "batch_size = 100",
    },
    KnownOption {
        name: "batch_wait",
        of_trait: "BatchWaitValue",
        example: "batch_wait = \"50ms\", or batch_wait = Duration::from_millis(50)",
    },
    KnownOption {
        name: "unavailable_if",
        of_trait: "UnavailableIfValue",
        example: "unavailable_if = Unavailable::is_io",
    },
    KnownOption {
        name: "brake",
        of_trait: "BrakeValue",
        example: "brake = 50, or brake = Brake::none()",
    },
    KnownOption {
        name: "needs",
        of_trait: "NeedsValue",
        example: "needs = \"payment api\"",
    },
    KnownOption {
        name: "layer",
        of_trait: "LayerValue",
        example: "layer = ConcurrencyLimitLayer::new(4)",
    },
];

impl Attr {
    fn add(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            self.add_key(input.parse()?)
        } else if input.peek(Lit) {
            Err(syn::Error::new_spanned(
                input.parse::<Lit>()?,
                "a key is a string literal, in double quotes, or a constant of type `&str`",
            ))
        } else if is_constant(input) {
            self.add_constant(input)
        } else if input.peek(Ident::peek_any) {
            self.add_word(input.call(Ident::parse_any)?, input)
        } else {
            Err(input.error(ALLOWED))
        }
    }

    fn add_constant(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let ahead = input.fork();
        let is_macro = ahead.call(Path::parse_mod_style).is_ok() && ahead.peek(Token![!]);
        let key = if is_macro {
            Expr::Macro(input.parse::<ExprMacro>()?)
        } else {
            Expr::Path(input.parse::<ExprPath>()?)
        };
        self.keys.push(Key::Constant(key));
        Ok(())
    }

    fn add_key(&mut self, key: LitStr) -> syn::Result<()> {
        let text = key.value();
        if text.is_empty() {
            return Err(syn::Error::new_spanned(
                key,
                "a key cannot be empty: #[handler] alone takes the function's name",
            ));
        }
        if text.contains(['*', '#']) {
            let error = format!(
                "`*` and `#` stand for words in a pattern alone: write `pattern = {text:?}`, or register a key that holds \
                 them by hand"
            );
            return Err(syn::Error::new_spanned(key, error));
        }
        let is_it = |known: &Key| matches!(known, Key::Text(known) if known.value() == text);
        if self.keys.iter().any(is_it) {
            return Err(syn::Error::new_spanned(key, "this key is named twice"));
        }
        self.keys.push(Key::Text(key));
        Ok(())
    }

    fn add_word(&mut self, word: Ident, rest: ParseStream<'_>) -> syn::Result<()> {
        if word == "default" {
            return self.add_default(&word, rest);
        }
        if word == "pattern" {
            return self.add_pattern(&word, rest);
        }
        if word == "crate" {
            return self.add_crate(&word, rest);
        }
        if let Some(known) = OPTIONS.iter().find(|option| word == option.name) {
            return self.add_option(word, known, rest);
        }
        Err(syn::Error::new_spanned(
            &word,
            format!("unknown option `{word}`: {ALLOWED}"),
        ))
    }

    fn add_default(&mut self, word: &Ident, rest: ParseStream<'_>) -> syn::Result<()> {
        if !rest.is_empty() && !rest.peek(Token![,]) {
            return Err(rest.error("`default` stands alone: it takes no value"));
        }
        if self.default {
            return Err(syn::Error::new_spanned(word, "`default` is named twice"));
        }
        self.default = true;
        Ok(())
    }

    fn add_pattern(&mut self, word: &Ident, rest: ParseStream<'_>) -> syn::Result<()> {
        let has_value = rest.parse::<Option<Token![=]>>()?.is_some();
        if !has_value || rest.is_empty() || rest.peek(Token![,]) {
            let error = "`pattern` takes a value: pattern = \"order.*.created\"";
            return Err(syn::Error::new_spanned(word, error));
        }
        self.patterns.push(rest.parse()?);
        Ok(())
    }

    fn add_crate(&mut self, word: &Ident, rest: ParseStream<'_>) -> syn::Result<()> {
        let error = "`crate` takes the path to ploomby: crate = my_facade::ploomby";
        let path = rest
            .parse::<Token![=]>()
            .and_then(|_| rest.call(Path::parse_mod_style))
            .map_err(|_| syn::Error::new_spanned(word, error))?;
        if self.krate.replace(path).is_some() {
            return Err(syn::Error::new_spanned(word, "`crate` is named twice"));
        }
        Ok(())
    }

    fn add_option(
        &mut self,
        name: Ident,
        known: &'static KnownOption,
        input: ParseStream<'_>,
    ) -> syn::Result<()> {
        let has_value = input.parse::<Option<Token![=]>>()?.is_some();
        if !has_value || input.is_empty() || input.peek(Token![,]) {
            let error = format!("`{name}` takes a value: {}", known.example);
            return Err(syn::Error::new_spanned(&name, error));
        }
        let is_time = name == "timeout" || name == "batch_wait";
        let value = if is_time && input.peek(LitStr) {
            OptValue::Duration(time(&name, &input.parse()?)?)
        } else if name == "rate" && input.peek(LitStr) {
            OptValue::Rate(rate_of(&input.parse()?)?)
        } else {
            OptValue::Expr(input.parse()?)
        };
        if self.options.iter().any(|option| option.name == name) {
            let error = format!("`{name}` is named twice");
            return Err(syn::Error::new_spanned(&name, error));
        }
        self.options.push(Opt { name, known, value });
        Ok(())
    }
}

/// A path of several segments, a name as constants have it, or a macro. A word in lower case is an option, or
/// is meant to be one.
fn is_constant(input: ParseStream<'_>) -> bool {
    if input.peek(Token![::]) || input.peek(Token![<]) {
        return true;
    }
    let ahead = input.fork();
    let Ok(word) = ahead.call(Ident::parse_any) else {
        return false;
    };
    let ends = ahead.is_empty() || ahead.peek(Token![,]);
    let is_upper = word.unraw().to_string().starts_with(char::is_uppercase);
    ahead.peek(Token![::]) || ahead.peek(Token![!]) || (ends && is_upper)
}

fn time(name: &Ident, text: &LitStr) -> syn::Result<Duration> {
    let kind = if name == "timeout" { "timeout" } else { "wait" };
    duration::parse(&text.value())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            let error = format!(
                "a {kind} is a number above 0 with a unit, ms, s, m, h or d, such as \"10s\", or any \
                 expression of type `Duration`"
            );
            syn::Error::new_spanned(text, error)
        })
}

fn rate_of(text: &LitStr) -> syn::Result<Rate> {
    rate::parse(&text.value()).ok_or_else(|| {
        let error = "a rate is a number above 0 per s, m or h, such as \"100/s\", or any expression of type `Rate`";
        syn::Error::new_spanned(text, error)
    })
}

/// What follows a mistake belongs to it.
fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<TokenTree>();
    }
}
