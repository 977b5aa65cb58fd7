//! Several captures as one sequence of bursts, as ports would have received them.

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;

use super::{Capture, frame_at};

/// A frame, and which input it is from.
#[derive(Clone, Copy)]
struct Arrival {
    time: Nanos,
    start: usize,
    len: u32,
    input: u32,
}

struct Input {
    port: PortId,
    bytes: Vec<u8>,
}

/// All frames of all inputs in the order of their times; frames of equal times in the order of the
/// inputs, then of the file.
pub struct Timeline {
    inputs: Vec<Input>,
    arrivals: Vec<Arrival>,
}

impl Timeline {
    /// Merges captures, each received on its port. A port may have several.
    pub fn merge(captures: Vec<(PortId, Capture)>) -> Self {
        let count = captures.iter().map(|(_, capture)| capture.places.len()).sum();
        let mut timeline = Self {
            inputs: Vec::with_capacity(captures.len()),
            arrivals: Vec::with_capacity(count),
        };
        for (input, (port, capture)) in (0_u32..).zip(captures) {
            let arrival = |place: super::Place| Arrival {
                time: place.time,
                start: place.start,
                len: place.len,
                input,
            };
            timeline.arrivals.extend(capture.places.into_iter().map(arrival));
            timeline.inputs.push(Input { port, bytes: capture.bytes });
        }
        // Stable, and quick on what consists of a few sorted runs.
        timeline.arrivals.sort_by_key(|arrival| arrival.time);
        timeline
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// When the first frame arrives.
    pub fn first_time(&self) -> Option<Nanos> {
        self.arrivals.first().map(|arrival| arrival.time)
    }

    /// Hands over every burst in order: consecutive frames of one port with equal times, at most
    /// `limit` of them (at least 1). Stops at the first error of `receive`.
    pub fn try_for_each_burst<E>(
        &self,
        limit: usize,
        mut receive: impl FnMut(PortId, Nanos, &[&[u8]]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut frames: Vec<&[u8]> = Vec::with_capacity(limit.max(1));
        let mut current = None;
        for &arrival in &self.arrivals {
            let Some(input) = self.inputs.get(arrival.input as usize) else { continue };
            let key = (input.port, arrival.time);
            if let Some((port, time)) = current.filter(|_| !frames.is_empty())
                && (key != (port, time) || frames.len() >= limit)
            {
                receive(port, time, &frames)?;
                frames.clear();
            }
            current = Some(key);
            frames.push(frame_at(&input.bytes, arrival.start, arrival.len));
        }
        match current {
            Some((port, time)) => receive(port, time, &frames),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn capture(frames: &[(u32, &str)]) -> Capture {
        let mut bytes =
            b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0".to_vec();
        for (nanos, data) in frames {
            let len = u32::try_from(data.len()).unwrap();
            bytes.extend([0, *nanos, len, len].into_iter().flat_map(u32::to_le_bytes));
            bytes.extend(data.as_bytes());
        }
        Capture::parse(bytes).unwrap()
    }

    fn bursts(limit: usize, inputs: &[(u8, &[(u32, &str)])]) -> Vec<(u8, u64, String)> {
        let captures =
            inputs.iter().map(|(port, frames)| (PortId(*port), capture(frames))).collect();
        let mut seen = Vec::new();
        let result: Result<(), Infallible> =
            Timeline::merge(captures).try_for_each_burst(limit, |port, time, frames| {
                assert!(!frames.is_empty() && frames.len() <= limit.max(1));
                let names: Vec<&str> =
                    frames.iter().map(|frame| std::str::from_utf8(frame).unwrap()).collect();
                seen.push((port.0, time.0, names.join(" ")));
                Ok(())
            });
        result.unwrap();
        seen
    }

    fn burst(port: u8, time: u64, frames: &str) -> (u8, u64, String) {
        (port, time, frames.to_owned())
    }

    #[test]
    fn inputs_are_merged_by_time_and_ties_by_their_order() {
        let inputs: &[(u8, &[(u32, &str)])] =
            &[(1, &[(5, "a"), (9, "b")]), (0, &[(1, "c"), (5, "d"), (12, "e")])];
        let expected = [
            burst(0, 1, "c"),
            burst(1, 5, "a"),
            burst(0, 5, "d"),
            burst(1, 9, "b"),
            burst(0, 12, "e"),
        ];
        assert_eq!(bursts(32, inputs), expected);
    }

    #[test]
    fn equal_times_of_one_port_are_a_burst_across_inputs_and_up_to_the_limit() {
        let inputs: &[(u8, &[(u32, &str)])] =
            &[(0, &[(1, "a"), (1, "b"), (1, "c")]), (0, &[(1, "d"), (2, "e")]), (1, &[(1, "f")])];
        assert_eq!(
            bursts(2, inputs),
            [burst(0, 1, "a b"), burst(0, 1, "c d"), burst(1, 1, "f"), burst(0, 2, "e")]
        );
        assert_eq!(bursts(0, inputs).len(), 6);
    }

    #[test]
    fn a_file_out_of_order_is_put_in_order() {
        assert_eq!(
            bursts(32, &[(0, &[(9, "late"), (3, "x"), (3, "y")])]),
            [burst(0, 3, "x y"), burst(0, 9, "late")]
        );
    }

    #[test]
    fn no_frames_are_no_bursts() {
        assert_eq!(bursts(32, &[(0, &[])]), []);
        assert_eq!(bursts(32, &[]), []);
    }

    #[test]
    fn the_first_error_ends_it() {
        let timeline = Timeline::merge(vec![(PortId(0), capture(&[(1, "a"), (2, "b")]))]);
        let mut count = 0;
        let result = timeline.try_for_each_burst(32, |_, _, _| {
            count += 1;
            Err("enough")
        });
        assert_eq!((result, count), (Err("enough"), 1));
    }
}
