//! What articles cost. Whoever needs to know calls.

use ploomby::{ErrorReply, handler};

const PRICES: [(&str, u32); 3] = [("tea", 450), ("kettle", 3_900), ("samovar", 240_000)];

/// Says what an article costs, in cents.
#[handler("price", queue = "stock")]
pub(crate) async fn price(article: String) -> Result<u32, ErrorReply> {
    let found = PRICES.iter().find(|(name, _)| *name == article);
    found.map(|(_, cents)| *cents).ok_or_else(|| {
        ErrorReply::new("unknown-article", "we do not sell it")
            .field("article", format!("`{article}` is not on the list"))
    })
}
