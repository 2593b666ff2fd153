//! What holds whatever goes wrong.

use ploomby::testing::simulate;
use ploomby_shop::Bank;

use crate::{empty, open, order, written};

#[test]
fn each_order_has_one_invoice_and_two_mails() {
    simulate(0..50, async || {
        let ((_folder, db), bank) = (empty().await, Bank::busy(1));
        let app = open(&db, &bank).await;
        for id in 1..=3 {
            app.put("billing", "order_placed", &order(id, 450)).await;
        }
        app.run().await;
        assert_eq!(written(&db).await, (3, 6));
    });
}
