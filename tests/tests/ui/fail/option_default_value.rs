#[ploomby::handler(default = true)]
async fn unknown() {}

fn main() {}
