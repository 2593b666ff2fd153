struct Database;

#[ploomby::handler("create_user")]
async fn create_user(name: String, database: Option<Database>) {
    drop((name, database));
}

#[ploomby::handler("rename_user")]
async fn rename_user(name: String, database: Result<Database, std::io::Error>) {
    drop((name, database));
}

fn main() {}
