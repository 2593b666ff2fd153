use ploomby::extract::Header;

struct Tenant;

#[ploomby::handler("create_user")]
async fn create_user(Header(tenant): Header<Tenant>) {
    drop(tenant);
}

fn main() {}
