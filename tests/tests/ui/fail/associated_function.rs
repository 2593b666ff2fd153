struct Users;

impl Users {
    #[ploomby::handler("create_user")]
    async fn create_user(name: String) {
        drop(name);
    }
}

fn main() {
    drop(Users::create_user("Ada".to_owned()));
}
