//! The golden replays: whole stories whose captures and counters `golden/make.py` wrote with scapy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::capture;
use crate::decode;
use crate::run::{self, TOTALS};

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut stories: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    stories.sort();
    stories
}

fn tell(story: &Path) {
    let name = story.display();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let mut command = run::adit();
    command.arg("replay").arg("-c").arg(story.join("adit.yaml")).arg("--out").arg(&out);
    for port in ["wan", "lan"] {
        let input = story.join(format!("in-{port}.pcap"));
        command.arg("--in").arg(format!("{port}={}", input.display()));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name}: {}", run::said(&output));
    for port in ["wan", "lan"] {
        let wanted = capture::read(&story.join(format!("out-{port}.pcap"))).records;
        let actual = capture::read(&out.join(format!("{port}.pcap"))).records;
        for (at, (wanted, actual)) in wanted.iter().zip(&actual).enumerate() {
            let diff = decode::compare(&wanted.frame, &actual.frame);
            assert!(wanted == actual, "{name}: frame {at} on {port} differs:\n{diff}");
        }
        assert_eq!(wanted.len(), actual.len(), "{name}: frames on {port}");
    }
    let counters = |path: &Path| -> BTreeMap<String, u64> {
        let moved = run::read_counters(path).into_iter().filter(|(_, count)| *count > 0);
        moved.filter(|(name, _)| !TOTALS.iter().any(|open| name.starts_with(open))).collect()
    };
    let wanted = counters(&story.join("counters.json"));
    assert_eq!(counters(&out.join("counters.json")), wanted, "{name}");
}

#[test]
fn every_golden_story_is_told_again_frame_by_frame() {
    let stories = stories();
    assert!(stories.len() >= 3, "the stories are there: {stories:?}");
    for story in stories {
        tell(&story);
    }
}
