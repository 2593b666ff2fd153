//! Tokens against forged forms.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use subtle::ConstantTimeEq;

use super::Visitor;

/// A token for each visitor, which stands in each form that they get: another page cannot read it. All go with the process.
#[derive(Default)]
pub(super) struct Tokens(Mutex<VecDeque<(Visitor, Arc<str>)>>);

/// As many visitors are remembered. The one who came first is forgotten, and has to open their form again.
const MOST: usize = 512;

impl Tokens {
    /// That of a visitor.
    pub(super) fn of(&self, visitor: &Visitor) -> Arc<str> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = tokens.iter().find(|(known, _)| known == visitor) {
            return token.clone();
        }
        if tokens.len() == MOST {
            tokens.pop_front();
        }
        let token: Arc<str> = random().into();
        tokens.push_back((visitor.clone(), token.clone()));
        token
    }

    pub(super) fn is(&self, visitor: &Visitor, token: &str) -> bool {
        self.of(visitor).as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// 128 bits that nobody guesses.
fn random() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Role;

    #[test]
    fn each_visitor_has_a_token_of_their_own() {
        let tokens = Tokens::default();
        let (ada, bob) = (
            Visitor::new("ada", Role::Admin),
            Visitor::new("bob", Role::Reader),
        );
        let token = tokens.of(&ada);
        assert!(tokens.is(&ada, &token));
        assert!(!tokens.is(&bob, &token));
        assert!(!tokens.is(&ada, ""));
        // who has another role now is another visitor
        assert!(!tokens.is(&Visitor::new("ada", Role::Reader), &token));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let tokens = Tokens::default();
        let ada = Visitor::new("ada", Role::Admin);
        let token = tokens.of(&ada);
        for number in 0..MOST {
            tokens.of(&Visitor::new(number.to_string(), Role::Reader));
        }
        assert!(!tokens.is(&ada, &token));
        assert_eq!(tokens.0.lock().unwrap().len(), MOST);
    }
}
