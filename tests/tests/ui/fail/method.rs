struct Users;

impl Users {
    #[ploomby::handler("create_user")]
    async fn create_user(&self, name: String) {
        drop(name);
    }
}

fn main() {
    drop(Users.create_user("Ada".to_owned()));
}
