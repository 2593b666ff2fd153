#[ploomby::handler("count")]
async fn count(name: String) -> Option<()> {
    (!name.is_empty()).then_some(())
}

fn main() {}
