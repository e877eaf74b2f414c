//! Random order in bounded memory: a window of lines, of which any may come next.

use super::dice::Dice;

const WINDOW: usize = 65_536;

/// The lines that wait. As long as all fit in the window, every order is possible.
pub struct Shuffle {
    dice: Dice,
    waiting: Vec<Vec<u8>>,
    ended: bool,
}

impl Shuffle {
    pub fn new(dice: Dice) -> Self {
        Self { dice, waiting: Vec::new(), ended: false }
    }

    /// Appends one of the waiting lines, after filling the window from `more`.
    pub fn next(&mut self, out: &mut Vec<u8>, mut more: impl FnMut(&mut Vec<u8>) -> bool) -> bool {
        while !self.ended && self.waiting.len() < WINDOW {
            let mut line = Vec::new();
            self.ended = !more(&mut line);
            if !self.ended {
                self.waiting.push(line);
            }
        }
        if self.waiting.is_empty() {
            return false;
        }
        let chosen = self.dice.below(self.waiting.len() as u64) as usize;
        out.extend_from_slice(&self.waiting.swap_remove(chosen));
        true
    }
}
