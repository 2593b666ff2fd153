struct Database;

#[ploomby::handler("create_user")]
async fn create_user(name: String, database: Database) {
    drop((name, database));
}

fn main() {}
