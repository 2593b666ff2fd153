struct Address;

#[ploomby::handler("create_users")]
async fn create_users(addresses: Vec<Address>) {
    drop(addresses);
}

fn main() {}
