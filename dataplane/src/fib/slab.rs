//! A growing array whose places are used again, up to a limit.

use super::FibError;

#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
    limit: usize,
}

impl<T> Slab<T> {
    /// An empty one for `limit` items at most.
    pub(super) fn with_limit(limit: usize) -> Self {
        Self { items: Vec::new(), free: Vec::new(), limit }
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.items.get(place as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.items.get_mut(place as usize)
    }

    pub(super) fn insert(&mut self, item: T) -> Result<u32, FibError> {
        if let Some(place) = self.free.pop() {
            self.items[place as usize] = item;
            return Ok(place);
        }
        let full = FibError::Full { limit: self.limit };
        if self.items.len() >= self.limit {
            return Err(full);
        }
        let place = u32::try_from(self.items.len()).map_err(|_| full)?;
        self.items.push(item);
        Ok(place)
    }

    /// Gives a place back. What it held stays readable until the place is used again.
    pub(super) fn remove(&mut self, place: u32) {
        debug_assert!((place as usize) < self.items.len());
        self.free.push(place);
    }

    /// How many places are in use.
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
