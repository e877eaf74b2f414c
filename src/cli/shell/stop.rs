//! Printing that Ctrl-C ends: a long answer must not keep its reader from the shell.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes written at once: a key is heeded after these.
const PIECE: usize = 8 << 10;

/// Whether Ctrl-C was pressed since it was last forgotten.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on. The signal no longer ends the process.
    ///
    /// # Errors
    /// The system lets nobody listen.
    pub fn listen() -> io::Result<Self> {
        let stop = Self::default();
        let mut pressed = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let heard = stop.clone();
        tokio::spawn(async move {
            while pressed.recv().await.is_some() {
                heard.0.store(true, Ordering::Relaxed);
            }
        });
        Ok(stop)
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn was_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes on until the key is pressed; then every write is an error.
pub struct Stoppable<W> {
    pub out: W,
    pub stop: Stop,
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.was_pressed() {
            return Err(io::Error::other("stopped"));
        }
        self.out.write(bytes.get(..PIECE).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Presses the key when so many pieces are written.
    struct Reader(Stop, usize);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 -= 1;
            self.0.0.store(self.1 == 0, Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_long_write_ends_within_a_piece() {
        let stop = Stop::default();
        let mut out = Stoppable { out: Reader(stop.clone(), 3), stop: stop.clone() };
        assert!(out.write_all(&vec![b'a'; 100 * PIECE]).is_err());
        assert_eq!(out.out.1, 0, "what came after the key was written");
        stop.forget();
        out.out.1 = 9;
        out.write_all(b"and on").unwrap();
    }
}
