use ploomby::extract::State;

struct Pool;

#[ploomby::handler("create_user")]
async fn create_user(State(pool): State<Pool>) {
    drop(pool);
}

fn main() {}
