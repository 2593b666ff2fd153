struct Users;

#[ploomby::handler("create_user")]
impl Users {
    async fn create_user(name: String) {
        drop(name);
    }
}

fn main() {}
