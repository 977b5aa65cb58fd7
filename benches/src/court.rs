//! How far two cores are apart: the clocks that a cache line takes from one to the other and back.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use adit_dataplane::clock::cycles;
use crossbeam::utils::CachePadded;

/// Games, of which the best counts, and how often the ball comes back in each.
const GAMES: usize = 50;
const RETURNS: u64 = 50;

/// Where the threads of two cores play, whenever somebody wants to know. The ball is a number in a cache line: odd, and
/// it is the second player's turn.
#[derive(Default)]
pub struct Court {
    is_open: CachePadded<AtomicBool>,
    ball: CachePadded<AtomicU64>,
    best: AtomicU64,
}

impl Court {
    /// For any other thread: has the two play, and waits.
    pub fn clocks(&self) -> u64 {
        self.is_open.store(true, Ordering::Release);
        while self.is_open.load(Ordering::Acquire) {
            thread::sleep(Duration::from_micros(200));
        }
        self.best.load(Ordering::Relaxed)
    }

    /// For the threads on the two cores, 0 and 1, now and then: plays if somebody wants to know.
    #[inline]
    pub fn play(&self, player: usize) {
        if self.is_open.load(Ordering::Relaxed) {
            if player == 0 { self.serve() } else { self.reply() }
        }
    }

    fn serve(&self) {
        let best = (0..GAMES).map(|_| {
            let start = cycles();
            for _ in 0..RETURNS {
                let ball = self.ball.load(Ordering::Acquire);
                self.ball.store(ball + 1, Ordering::Release);
                while self.ball.load(Ordering::Acquire) % 2 == 1 {}
            }
            (cycles() - start) / RETURNS
        });
        self.best.store(best.min().unwrap_or(0), Ordering::Relaxed);
        self.is_open.store(false, Ordering::Release);
    }

    fn reply(&self) {
        while self.is_open.load(Ordering::Acquire) {
            let ball = self.ball.load(Ordering::Acquire);
            if ball % 2 == 1 {
                self.ball.store(ball + 1, Ordering::Release);
            }
        }
    }
}
