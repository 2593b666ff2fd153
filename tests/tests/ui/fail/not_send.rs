use std::rc::Rc;

#[ploomby::handler("create_user")]
async fn create_user(name: String) {
    let name = Rc::new(name);
    std::future::ready(()).await;
    drop(name);
}

fn main() {}
