#[ploomby::handler("create_user")]
async unsafe fn create_user(name: String) {
    drop(name);
}

fn main() {}
