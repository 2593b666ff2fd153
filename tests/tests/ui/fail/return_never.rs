#[ploomby::handler]
async fn serve(port: u16) -> ! {
    drop(port);
    std::future::pending().await
}

fn main() {}
