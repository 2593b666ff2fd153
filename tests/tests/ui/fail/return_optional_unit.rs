#[ploomby::handler]
async fn find(name: String) -> Option<()> {
    (name == "Ada").then_some(())
}

fn main() {}
