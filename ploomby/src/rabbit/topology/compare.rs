use super::{Asker, MOST_ARGUMENTS, TopologyError, Tried, exists_by, try_to_declare};
use crate::message::Value;

/// A queue beside what a program would declare.
#[derive(Debug)]
pub(crate) enum Compared {
    Missing,
    Same,
    /// One argument after the other, in words, and whether all of them lose no message.
    Different {
        differences: Vec<String>,
        is_harmless: bool,
        /// All that it has, as far as the broker shows it.
        arguments: Vec<(String, Value)>,
    },
    /// The user may not declare it, and so nothing shows.
    NoRight,
}

/// Compares a queue that is there with what would be declared. One that is missing is not made, unless it vanishes
/// between two questions.
pub(in crate::rabbit) async fn compare(
    asker: &mut Asker<'_>,
    queue: &str,
    arguments: &[(String, Value)],
) -> Result<Compared, TopologyError> {
    if !exists_by(asker, queue).await? {
        return Ok(Compared::Missing);
    }
    let mut arguments = arguments.to_vec();
    let (mut differences, mut is_harmless) = (Vec::new(), true);
    while differences.len() < MOST_ARGUMENTS {
        let difference = match try_to_declare(asker, queue, &arguments).await? {
            Tried::Declared => break,
            Tried::NoRight(_) => return Ok(Compared::NoRight),
            Tried::Different(difference, _) => difference,
        };
        is_harmless &= difference.is_harmless();
        differences.push(difference.to_string());
        // what can only be shown cannot be taken over: the next answer would be the same
        if !difference.accept(&mut arguments) {
            break;
        }
    }
    Ok(match differences.is_empty() {
        true => Compared::Same,
        false => Compared::Different {
            differences,
            is_harmless,
            arguments,
        },
    })
}
