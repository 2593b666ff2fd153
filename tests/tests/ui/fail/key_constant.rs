const NUMBER: u32 = 1;

#[ploomby::handler(NUMBER)]
async fn create_user() {}

#[ploomby::handler(create_role)]
async fn create_role() {}

fn main() {}
