#[ploomby::handler(keys::CREATE_USER)]
async fn create_user() {}

#[ploomby::handler(CREATE_GROUP)]
async fn create_group() {}

fn main() {}
