#[ploomby::handler(defualt)]
async fn unknown() {}

fn main() {
    drop(unknown());
}
