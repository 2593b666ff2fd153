//! Where a handler can stand.

#[path = "../deliver.rs"]
mod deliver;

use deliver::{Settled::Acked, deliver};
use ploomby::handler as on_message;

mod outer {
    pub(crate) mod inner {
        #[derive(serde::Deserialize)]
        pub(crate) struct Private {
            pub(super) name: String,
        }

        #[ploomby::handler("inner")]
        pub(crate) async fn handle(private: Private) {
            assert_eq!(private.name, "Ada");
        }

        #[ploomby::handler("super")]
        pub(in crate::outer) async fn handle_too(private: &super::inner::Private) {
            assert_eq!(private.name, "Ada");
        }
    }

    // the name of another handler
    #[ploomby::handler("outer")]
    async fn handle(private: inner::Private) {
        assert_eq!(private.name, "Ada");
    }
}

mod reexport {
    pub use ploomby::handler;
}

#[reexport::handler("reexported")]
async fn reexported() {}

#[on_message("renamed")]
pub async fn renamed() {}

macro_rules! handlers {
    ($($name:ident $key:literal $ty:ty),*) => {$(
        #[ploomby::handler($key)]
        async fn $name(value: $ty) {
            let _ = value;
        }
    )*};
}

handlers!(
    from_a_macro "from a macro" (String, u8),
    from_a_macro_too "from a macro too" Vec<u8>,
    lent_from_a_macro "lent from a macro" &str
);

fn registers() {
    #[derive(serde::Deserialize)]
    struct Local {
        name: String,
    }

    #[ploomby::handler("function")]
    async fn local(local: Local) {
        assert_eq!(local.name, "Ada");
    }
}

// names that the generated code might use
#[ploomby::handler]
async fn delivery() {}

#[ploomby::handler]
async fn room(argument0: String) {
    assert_eq!(argument0, "Ada");
}

#[ploomby::handler]
async fn argument0(delivery: &str) {
    assert_eq!(delivery, "Ada");
}

#[ploomby::handler]
async fn extract() {}

#[ploomby::handler]
async fn into_outcome() {}

#[ploomby::handler]
async fn drop() {}

#[ploomby::handler]
async fn call() {}

#[ploomby::handler]
async fn run() {}

const LARGE: usize = 900 * 1024;

/// It holds so much across its wait that a few copies of it would not fit on a thread's usual stack.
#[ploomby::handler]
async fn deep(name: &str) {
    let buffer = [1_u8; LARGE];
    std::future::ready(()).await;
    assert_eq!(buffer.len(), LARGE, "{name}");
}

fn main() {
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let deep = thread.spawn(|| deliver("deep", r#""Ada""#)).expect("a thread");
    assert_eq!(deep.join().expect("no panic"), Acked);
    registers();
    let user = r#"{"name": "Ada"}"#;
    for (key, body) in [
        ("inner", user),
        ("super", user),
        ("outer", user),
        ("function", user),
        ("reexported", ""),
        ("renamed", ""),
        ("from a macro", r#"["Ada", 1]"#),
        ("from a macro too", "[1]"),
        // with an escape it cannot be borrowed from the message, but it can be lent
        ("lent from a macro", r#""A\"da""#),
        ("delivery", ""),
        ("room", r#""Ada""#),
        ("argument0", r#""Ada""#),
        ("extract", ""),
        ("into_outcome", ""),
        ("drop", ""),
        ("call", ""),
        ("run", ""),
    ] {
        assert_eq!(deliver(key, body), Acked, "{key}");
    }
    let _ = outer::inner::handle;
}
