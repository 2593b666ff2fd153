//! Tests of the example beside.

use ploomby::testing::{Run, TestApp, simulate};

use super::*;

const ITEMS: [&str; 3] = ["tea", "milk", "sugar"];

async fn order(app: TestApp) -> Run {
    let app = app.start().await;
    let order = Order {
        number: 7,
        items: ITEMS.map(str::to_owned).to_vec(),
    };
    app.send("orders", "order", &order).await
}

#[ploomby::test]
async fn each_item_of_an_order_is_packed_and_told(app: TestApp) {
    let run = order(app).await;
    run.handled("order").once();
    run.handled("parcel").times(3);
    run.handled("letter").times(3);
    assert_eq!(run.sent::<String>("letters").payloads(), ITEMS);
}

#[test]
fn no_item_is_forgotten_whatever_goes_wrong() {
    simulate(0..50, async || {
        let run = order(TestApp::new()).await;
        // some may be told twice
        for item in ITEMS {
            let _ = run.sent::<String>("letters").with(&item.to_owned());
        }
    });
}
