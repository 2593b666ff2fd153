#[ploomby::handler(rate = "100")]
async fn no_unit() {}

#[ploomby::handler(rate = "100/d")]
async fn per_day() {}

#[ploomby::handler(rate = "1.5/s")]
async fn a_fraction() {}

#[ploomby::handler(rate = "0/s")]
async fn none() {}

#[ploomby::handler(rate = "100 / s")]
async fn with_spaces() {}

#[ploomby::handler(rate = "5000000000/h")]
async fn too_many() {}

#[ploomby::handler(rate)]
async fn no_value() {}

fn main() {}
