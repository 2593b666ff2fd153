#[ploomby::handler]
async fn find(name: String) {
    let length = name.
}

fn main() {}
