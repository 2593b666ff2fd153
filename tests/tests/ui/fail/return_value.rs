#[ploomby::handler("count")]
async fn count(name: String) -> usize {
    name.len()
}

fn main() {}
