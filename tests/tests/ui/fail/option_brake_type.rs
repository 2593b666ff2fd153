#[ploomby::handler(brake = "50")]
async fn text() {}

#[ploomby::handler(unavailable_if = "refused")]
async fn no_function() {}

#[ploomby::handler(unavailable_if = |_: &str| true)]
async fn of_something_else() {}

#[ploomby::handler(needs = 5)]
async fn a_number() {}

#[ploomby::handler(brake, needs = "database")]
async fn no_value() {}

fn main() {}
