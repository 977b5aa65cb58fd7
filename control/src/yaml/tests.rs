//! Positions, doubles, aliases, limits; and that no text is too odd.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn scalar<'t>(node: &'t Node<'_>) -> &'t str {
    if let Value::Scalar(text) = &node.value { text } else { "not a scalar" }
}

fn at(line: u32, column: u32) -> Mark {
    Mark { line, column }
}

#[test]
fn keys_and_values_know_their_line_and_column() {
    let tree = parse("a:\n  b: [x, \"y\"]\n  é: &n 5\n");
    assert_eq!(tree.problems, []);
    let a = tree.root.entry("a").unwrap();
    assert_eq!((a.mark, a.value.mark), (at(1, 1), at(2, 3)));
    let b = a.value.entry("b").unwrap();
    assert_eq!((b.mark, b.value.mark), (at(2, 3), at(2, 6)));
    let Value::List(items) = &b.value.value else { panic!("{b:?}") };
    assert_eq!(items.iter().map(|item| item.mark).collect::<Vec<_>>(), [at(2, 7), at(2, 10)]);
    assert_eq!(items.iter().map(scalar).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(a.value.entry("é").unwrap().mark, at(3, 3));
}

#[test]
fn scalars_stay_text_and_only_nothing_is_null() {
    let tree = parse("[no, 010, 1:20, 02:00:00:00:00:01, ~, null, \"~\", '', !!str null]");
    let Value::List(items) = &tree.root.value else { panic!("{tree:?}") };
    let texts: Vec<_> = items
        .iter()
        .map(|item| if item.value == Value::Null { "NULL" } else { scalar(item) })
        .collect();
    let expected = ["no", "010", "1:20", "02:00:00:00:00:01", "NULL", "NULL", "~", "", "null"];
    assert_eq!(texts, expected);
}

#[test]
fn double_keys_are_both_there() {
    let tree = parse("a: 1\nb: 2\na: 3\n");
    let keys: Vec<_> = tree.root.entries().iter().map(|e| (&*e.key, e.mark.line)).collect();
    assert_eq!(keys, [("a", 1), ("b", 2), ("a", 3)]);
}

#[test]
fn an_alias_is_a_copy_of_what_it_names() {
    let tree = parse("a: &x { k: [1, 2] }\nb: *x\n");
    assert_eq!(tree.problems, []);
    assert_eq!(tree.root.entry("a").unwrap().value, tree.root.entry("b").unwrap().value);
}

#[test]
fn a_bomb_of_aliases_is_a_limit_and_no_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        let list = vec![below; 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{list}]").unwrap();
    }
    let tree = parse(&text);
    assert!(tree.problems.iter().any(|problem| problem.is_limit), "{:?}", tree.problems);
}

#[test]
fn an_alias_inside_its_own_anchor_is_a_problem() {
    let tree = parse("a: &x [*x]\n");
    assert_eq!(tree.problems.len(), 1);
    assert_eq!(tree.problems[0].mark, at(1, 8));
}

#[test]
fn after_a_syntax_error_the_complete_entries_are_there() {
    let tree = parse("s:\n  one: { k: 1 }\n  two: { k: [1, }\nt: 1\n");
    assert_eq!(tree.problems.len(), 1);
    let section = &tree.root.entry("s").unwrap().value;
    let names: Vec<_> = section.entries().iter().map(|entry| &*entry.key).collect();
    assert_eq!(names, ["one"]);
}

const SECTIONS: &[Section] =
    &[Section { name: "s", shape: Shape::Map }, Section { name: "l", shape: Shape::List }];

/// The pieces of a text as `section index key`, and its tree.
fn in_pieces(text: &str) -> (Vec<String>, Tree<'_>) {
    let mut pieces = Vec::new();
    let tree = parse_in_pieces(text, SECTIONS, |piece| {
        pieces.push(format!("{} {} {}", piece.section, piece.index, piece.entry.key));
    });
    (pieces, tree)
}

#[test]
fn entries_of_long_sections_are_handed_over_and_leave_nothing_behind() {
    let (pieces, tree) = in_pieces("s: { a: 1, b: { c: [2] } }\nl: [x, [y]]\nt: { s: { d: 3 } }\n");
    assert_eq!(pieces, ["s 0 a", "s 1 b", "l 0 ", "l 1 "]);
    assert_eq!(tree.root.entry("s").unwrap().value.value, Value::Map(Vec::new()));
    assert_eq!(tree.root.entry("l").unwrap().value.value, Value::List(Vec::new()));
    assert_eq!(tree.root.entry("t").unwrap().value.entries().len(), 1);
}

#[test]
fn what_is_there_twice_or_has_an_anchor_or_another_shape_stays_in_the_tree() {
    let (pieces, tree) = in_pieces("s: { a: 1 }\ns: { b: 2 }\nl: { c: 3 }\n");
    assert_eq!(pieces, ["s 0 a"]);
    let lens: Vec<_> = tree.root.entries().iter().map(|e| e.value.entries().len()).collect();
    assert_eq!(lens, [0, 1, 1]);
    let (pieces, tree) = in_pieces("s: &s { a: 1 }\nt: *s\nl: &l [x]\n");
    assert_eq!(pieces, Vec::<String>::new());
    assert_eq!(tree.root.entry("t").unwrap().value.entries().len(), 1);
}

#[test]
fn pieces_before_a_syntax_error_are_complete_ones() {
    let (pieces, tree) = in_pieces("s:\n  one: { k: 1 }\n  two: { k: [1, }\n");
    assert_eq!((pieces, tree.problems.len()), (vec!["s 0 one".to_owned()], 1));
}

#[test]
fn an_empty_text_is_null() {
    for text in ["", "# comment\n", "---\n", "\n\n"] {
        let tree = parse(text);
        assert_eq!(tree.root.value, Value::Null, "{text:?}");
        assert_eq!(tree.problems, []);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        parse(&text);
    }

    #[test]
    fn no_text_of_yaml_characters_makes_it_panic(
        text in "[\\[\\]{}:,&*!|>'\"%@`#?~ab1\\-\\. \\n\\t]{0,200}",
    ) {
        parse(&text);
    }
}
