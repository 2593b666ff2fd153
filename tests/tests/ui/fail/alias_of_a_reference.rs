type Message<'m> = &'m ploomby::Delivery;

#[ploomby::handler]
async fn find(message: Message<'_>) {
    drop(message.clone());
}

fn main() {}
