use std::fmt;

#[derive(Debug)]
struct Unknown<'m>(&'m str);

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unknown<'_> {}

#[ploomby::handler]
async fn find(name: &str) -> Result<(), Unknown<'_>> {
    Err(Unknown(name))
}

fn main() {}
