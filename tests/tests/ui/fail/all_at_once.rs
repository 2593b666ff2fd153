#[ploomby::handler("", defualt, 42, "create_user", "create_user")]
fn create_user<T>(name: impl ToString, role: &mut T) {
    drop((name, role));
}

fn main() {}
