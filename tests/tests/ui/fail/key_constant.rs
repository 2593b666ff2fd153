const CREATE_USER: &str = "create_user";

#[ploomby::handler(CREATE_USER)]
async fn create_user() {}

#[ploomby::handler(keys::CREATE_USER)]
async fn create_group() {}

#[ploomby::handler(concat!("create", "_user"))]
async fn create_role() {}

fn main() {
    drop(CREATE_USER);
}
