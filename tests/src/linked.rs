/// A handler of a crate that is not the program's, to be found when the program is linked.
#[ploomby::handler("from another crate")]
pub async fn from_another_crate() {}
