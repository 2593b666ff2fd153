#[ploomby::handler("store")]
async fn store<const N: usize>(name: String) {
    assert!(name.len() < N);
}

fn main() {}
