//! Tests of the latency report.

use super::*;

/// 1000 to 10000 in steps of 1000, a hundred times each, but that the last one took long.
fn measured() -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    for value in 1..=9 {
        histogram.record_n(value * 1000, 100).unwrap();
    }
    histogram.record_n(10_000, 99).unwrap();
    histogram.record(1_000_000).unwrap();
    histogram
}

fn report() -> Latency {
    let mut report = Latency::new(1);
    report.add_worker("adit-w0", LatencyPath::Encap, &measured());
    report.add_tunnel("paris", None, &measured());
    report.add_worker("adit-w0", LatencyPath::Decap, &Histogram::new(3).unwrap());
    report
}

/// Within the three digits that a histogram keeps.
fn close(value: u64, expected: u64) -> bool {
    value.abs_diff(expected) * 1000 <= expected
}

#[test]
fn the_json_names_every_percentile() {
    let json = serde_json::to_value(report().without_buckets()).unwrap();
    assert_eq!(json["unit"], "ns");
    let row = &json["latency"][0];
    assert_eq!((&row["path"], &row["worker"]), (&"encap".into(), &"adit-w0".into()));
    assert_eq!(row["count"], 1000);
    let expected = [
        ("min", 1000),
        ("p50", 5000),
        ("p90", 9000),
        ("p99", 10_000),
        ("p99.9", 10_000),
        ("p99.99", 1_000_000),
        ("max", 1_000_000),
    ];
    for (key, value) in expected {
        assert!(close(row[key].as_u64().unwrap(), value), "{key} {}", row[key]);
    }
    assert!(row.get("buckets").is_none() && row.get("tunnel").is_none());
    assert_eq!(json["latency"][1]["tunnel"], "paris");
}

#[test]
fn a_histogram_survives_the_way_to_the_client() {
    let json = serde_json::to_value(report()).unwrap();
    let received: Latency = serde_json::from_value(json).unwrap();
    assert_eq!(received.latency[0].histogram().unwrap(), measured());
    assert_eq!(received.without_buckets().latency[0].histogram(), None);
}

#[test]
fn the_table_has_units_and_says_nothing_where_nothing_was_measured() {
    let text = report().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("encap  adit-w0") && lines[1].contains("5.00 µs"), "{text}");
    assert!(lines[1].ends_with("1.00 ms"), "{text}");
    assert!(lines[3].contains("decap") && lines[3].ends_with('-'), "{text}");
}

#[test]
fn hgrm_is_what_plotters_read() {
    let text = report().hgrm();
    let first = text.split("\n#[tunnel").next().unwrap();
    let mut lines = first.lines();
    assert_eq!(lines.next(), Some("#[encap adit-w0, in ns]"));
    assert_eq!(lines.next(), Some("       Value     Percentile TotalCount 1/(1-Percentile)"));
    assert_eq!(lines.next(), Some(""));
    let mut last = (0.0, 0.0, 0);
    for line in lines.clone().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let fields: Vec<f64> =
            line.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let count: u64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert!(fields[0] >= last.0 && fields[1] >= last.1 && count >= last.2, "{line}");
        assert_eq!(fields.len(), if fields[1] < 1.0 { 4 } else { 3 }, "{line}");
        last = (fields[0], fields[1], count);
    }
    assert_eq!((last.1.to_string(), last.2), ("1".to_owned(), 1000));
    assert!(first.contains("#[Max     =  1000447.000, Total count    =         1000]"), "{first}");
    assert!(!text.contains("decap"), "what was not measured has no section: {text}");
}
