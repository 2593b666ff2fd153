use std::future::Future;

#[ploomby::handler("count")]
fn count(name: String) -> impl Future<Output = ()> {
    async move { drop(name) }
}

fn main() {}
