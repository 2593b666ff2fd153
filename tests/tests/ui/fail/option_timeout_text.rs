#[ploomby::handler(timeout = "10")]
async fn no_unit() {}

#[ploomby::handler(timeout = "1.5s")]
async fn a_fraction() {}

#[ploomby::handler(timeout = "ten seconds")]
async fn words() {}

#[ploomby::handler(timeout = "0s")]
async fn no_time() {}

#[ploomby::handler(timeout = "99999999999999999999d")]
async fn too_long() {}

fn main() {}
