trait Users {
    #[ploomby::handler("create_user")]
    async fn create_user(name: String);
}

fn main() {}
