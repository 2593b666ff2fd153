use ploomby::HandlerRegistry;

struct Database;

async fn create_user(name: String, database: Database) {
    drop((name, database));
}

fn main() {
    drop(HandlerRegistry::new().register("create_user", create_user));
}
