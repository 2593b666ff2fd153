#[ploomby::handler(queue = 7)]
async fn number() {}

#[ploomby::handler(queue = ["users", "groups"])]
async fn several() {}

#[ploomby::handler(queue = users)]
async fn not_quoted() {}

fn main() {}
