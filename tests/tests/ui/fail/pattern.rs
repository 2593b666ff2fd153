#[ploomby::handler(pattern = "order.created")]
async fn without_a_wildcard() {}

#[ploomby::handler(pattern = "order.x*")]
async fn part_of_a_word() {}

#[ploomby::handler(pattern = "order.#.*")]
async fn two_in_a_row() {}

#[ploomby::handler(pattern = 7)]
async fn number() {}

fn main() {}
