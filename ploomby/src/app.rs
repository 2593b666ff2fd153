//! x
/// x
#[derive(Debug)]
pub struct App;
/// x
#[derive(Debug)]
pub struct Queue;
/// x
pub async fn run() {}
