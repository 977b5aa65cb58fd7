//! An array of cache lines that are given out one by one or in blocks, and used again.

use super::FibError;

/// How many words a line has.
pub(super) const WORD_COUNT: usize = 16;

/// The same, as places of lines are counted.
pub(super) const WORDS: u32 = 16;

const _: () = assert!(WORD_COUNT == WORDS as usize);

/// 64 bytes, as the caches move them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u32; WORD_COUNT]);

/// Read in place of a line that does not exist, which no reference asks for.
static NO_LINE: Line = Line([0; WORD_COUNT]);

#[derive(Clone, Debug)]
pub(super) struct Lines<const BLOCK: usize> {
    all: Vec<Line>,
    free_ones: Vec<u32>,
    free_blocks: Vec<u32>,
    block_count: usize,
    limit: usize,
    is_bounded: bool,
}

impl<const BLOCK: usize> Lines<BLOCK> {
    /// No lines yet, `limit` at most.
    pub(super) fn with_limit(limit: usize) -> Self {
        let (all, free_ones, free_blocks) = Default::default();
        Self { all, free_ones, free_blocks, block_count: 0, limit, is_bounded: true }
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> &Line {
        self.all.get(place as usize).unwrap_or(&NO_LINE)
    }

    /// How many there are, in use or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The line at `place`, and those of its block if it begins one.
    pub(super) fn get_mut(&mut self, place: u32) -> &mut [Line] {
        let first = place as usize;
        let end = self.all.len().min(first + BLOCK);
        &mut self.all[first..end]
    }

    /// Whether what comes next has to keep to the limit.
    pub(super) fn set_bounded(&mut self, is_bounded: bool) {
        self.is_bounded = is_bounded;
    }

    pub(super) fn insert_one(&mut self) -> Result<u32, FibError> {
        self.check_room(1)?;
        if let Some(place) = self.free_ones.pop() {
            return Ok(place);
        }
        // What blocks have freed is the last resort: they are not put together again.
        if self.all.len() >= self.limit
            && let Some(block) = self.free_blocks.pop()
        {
            self.free_ones.extend((block..).take(BLOCK).skip(1));
            return Ok(block);
        }
        self.grow(1)
    }

    pub(super) fn insert_block(&mut self) -> Result<u32, FibError> {
        self.check_room(BLOCK)?;
        let place = match self.free_blocks.pop() {
            Some(place) => place,
            None => self.grow(BLOCK)?,
        };
        self.block_count += 1;
        Ok(place)
    }

    pub(super) fn remove_one(&mut self, place: u32) {
        self.free_ones.push(place);
    }

    pub(super) fn remove_block(&mut self, place: u32) {
        self.block_count -= 1;
        self.free_blocks.push(place);
    }

    /// How many lines and how many blocks are in use.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.used() - self.block_count * BLOCK, self.block_count)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let places = self.free_ones.capacity() + self.free_blocks.capacity();
        self.all.capacity() * size_of::<Line>() + places * size_of::<u32>()
    }

    /// How many lines are in use, those of blocks included.
    fn used(&self) -> usize {
        self.all.len() - self.free_ones.len() - self.free_blocks.len() * BLOCK
    }

    fn full(&self) -> FibError {
        FibError::Full { limit: self.limit }
    }

    /// The limit counts what is in use, not what has been asked for: without it, what was taken
    /// above it once could be used for anything later.
    fn check_room(&self, count: usize) -> Result<(), FibError> {
        let fits = !self.is_bounded || self.used() + count <= self.limit;
        if fits { Ok(()) } else { Err(self.full()) }
    }

    fn grow(&mut self, count: usize) -> Result<u32, FibError> {
        let len = self.all.len() + count;
        if self.is_bounded && len > self.limit {
            return Err(self.full());
        }
        let place = u32::try_from(self.all.len()).map_err(|_| self.full())?;
        self.all.resize(len, Line::default());
        Ok(place)
    }
}
