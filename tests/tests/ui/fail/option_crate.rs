#[ploomby::handler(crate)]
async fn create_user() {}

#[ploomby::handler(crate = "ploomby")]
async fn create_group() {}

#[ploomby::handler(crate = ploomby, crate = ploomby)]
async fn create_role() {}

fn main() {}
