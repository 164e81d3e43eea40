//! Answers kept by question.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use weftrace_lang::world::Answer;

/// Remembers answers. Bounded by what a script asks.
pub(super) struct Memo<K, T>(RefCell<HashMap<K, Answer<T>>>);

impl<K, T> Default for Memo<K, T> {
    fn default() -> Self {
        Self(RefCell::new(HashMap::new()))
    }
}

impl<K, T> fmt::Debug for Memo<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.0.borrow().len())
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Memo<K, T> {
    /// The answer to a question, found once.
    pub(super) fn get(&self, key: &K, find: impl FnOnce() -> Answer<T>) -> Answer<T> {
        if let Some(known) = self.0.borrow().get(key) {
            return known.clone();
        }
        // Not borrowed here: finding may ask other questions.
        let answer = find();
        self.0.borrow_mut().insert(key.clone(), answer.clone());
        answer
    }

    /// Whether one of these questions was not answered for want of a permission.
    pub(super) fn is_refused(&self, of: impl Fn(&K) -> bool) -> bool {
        self.0.borrow().iter().any(|(key, answer)| matches!(answer, Answer::NotPermitted(_)) && of(key))
    }

    /// Whether one was not answered at all.
    pub(super) fn is_unanswered(&self) -> bool {
        self.0.borrow().values().any(|answer| matches!(answer, Answer::NotPermitted(_) | Answer::CouldNotTell(_)))
    }

    /// Something found in what was answered before.
    pub(super) fn find<R>(&self, look: impl Fn(&T) -> Option<R>) -> Option<R> {
        let known = self.0.borrow();
        known.values().find_map(|answer| if let Answer::Found(t) = answer { look(t) } else { None })
    }
}
