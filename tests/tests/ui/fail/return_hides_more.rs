use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

type Refused = Result<u32, String>;

#[ploomby::handler]
async fn in_a_lock() -> Mutex<Refused> {
    Mutex::new(Err("no".to_owned()))
}

#[ploomby::handler]
async fn in_a_cell_of_a_list() -> Result<RefCell<Vec<Refused>>, std::fmt::Error> {
    Ok(RefCell::new(Vec::new()))
}

#[ploomby::handler]
async fn in_a_set() -> BTreeSet<Refused> {
    BTreeSet::new()
}

#[ploomby::handler]
async fn in_a_map() -> BTreeMap<u32, Option<()>> {
    BTreeMap::new()
}

#[ploomby::handler]
async fn by_reference(_: &str) -> &'static Refused {
    &Ok(1)
}

#[ploomby::handler]
async fn in_a_reply() -> ploomby::Reply<Refused> {
    ploomby::Reply(Ok(1))
}

fn main() {}
