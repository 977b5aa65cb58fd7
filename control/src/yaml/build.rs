//! From parser events to the tree. The nesting is kept on a stack of our own, so that no text makes this
//! recurse.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{self, Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{
    ALIAS_NODE_LIMIT, DEPTH_LIMIT, Entry, Mark, NODE_LIMIT, Node, PROBLEM_LIMIT, Piece, Problem,
    Section, Shape, Tree, Value,
};

/// Reads a text. Never fails: what is wrong is in the tree's problems.
pub fn parse(text: &str) -> Tree<'_> {
    parse_in_pieces(text, &[], |_| ())
}

/// Reads a text, of which the entries of `sections` go to `take` as soon as they are complete and leave an
/// empty section behind. What is there twice, or has an anchor, stays whole.
pub fn parse_in_pieces<'t>(
    text: &'t str,
    sections: &'static [Section],
    mut take: impl FnMut(Piece<'t>),
) -> Tree<'t> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        // The scanner runs ahead; our own limit is the one that speaks.
        flow_nesting_limit: 4 * DEPTH_LIMIT,
        block_nesting_limit: 4 * DEPTH_LIMIT,
    };
    let mut builder = Builder::new(sections, &mut take);
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                builder.problem(syntax(text, &error));
                break;
            }
        };
        if step.is_none() {
            break;
        }
    }
    builder.finish()
}

/// Where a collection stands that is not closed yet.
struct Open<'t> {
    mark: Mark,
    anchor: usize,
    content: Content<'t>,
    /// The name of the section, if its entries are handed over, and how many were.
    handed_over: Option<(&'static str, usize)>,
}

enum Content<'t> {
    List(Vec<Node<'t>>),
    Map { entries: Vec<Entry<'t>>, key: Option<(Mark, Cow<'t, str>)> },
}

struct Builder<'t, 'b> {
    sections: &'static [Section],
    take: &'b mut dyn FnMut(Piece<'t>),
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    documents: usize,
    node_count: usize,
    alias_node_count: usize,
    anchors: HashMap<usize, Node<'t>>,
    problems: Vec<Problem>,
}

/// `None` ends the reading.
type Step = Option<()>;

impl<'t, 'b> Builder<'t, 'b> {
    fn new(sections: &'static [Section], take: &'b mut dyn FnMut(Piece<'t>)) -> Self {
        Self {
            sections,
            take,
            open: Vec::new(),
            root: None,
            documents: 0,
            node_count: 0,
            alias_node_count: 0,
            anchors: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'t>, span: &Span) -> Step {
        let mark = mark_of(&span.start);
        match event {
            Event::DocumentStart(..) => self.start_document(mark),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.check_tag(tag.as_deref(), mark);
                let value = scalar(text, style, is_text);
                self.count(mark)?;
                self.place(Node { mark, value }, anchor);
                Some(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), mark);
                self.enter(mark, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), mark);
                let content = Content::Map { entries: Vec::new(), key: None };
                self.enter(mark, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.leave();
                Some(())
            }
            Event::Alias(id) => self.alias(id, mark),
            Event::UnresolvedAlias(name) => {
                self.complain(mark, format!("there is no anchor &{name} before this alias"), None);
                self.count(mark)?;
                self.place(Node { mark, value: Value::Null }, 0);
                Some(())
            }
            _ => Some(()),
        }
    }

    fn start_document(&mut self, mark: Mark) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Some(());
        }
        let advice = "put it into a file of its own and name that in `include`";
        self.complain(
            mark,
            "a second document begins here; a file holds one".to_owned(),
            Some(advice),
        );
        None
    }

    fn enter(&mut self, mark: Mark, anchor: usize, content: Content<'t>) -> Step {
        self.count(mark)?;
        if self.open.len() >= DEPTH_LIMIT {
            self.limit(mark, format!("lists and mappings are nested deeper than {DEPTH_LIMIT}"));
            return None;
        }
        let section = if anchor == 0 { self.section(&content) } else { None };
        let handed_over = section.map(|section| (section.name, 0));
        self.open.push(Open { mark, anchor, content, handed_over });
        Some(())
    }

    /// The section that begins with this collection, if its entries are to be handed over.
    fn section(&self, content: &Content<'t>) -> Option<&'static Section> {
        let [Open { anchor: 0, content: Content::Map { entries, key }, .. }] = self.open.as_slice()
        else {
            return None;
        };
        let (_, key) = key.as_ref()?;
        let shape = match content {
            Content::List(_) => Shape::List,
            Content::Map { .. } => Shape::Map,
        };
        let is_first = || entries.iter().all(|entry| entry.key != *key);
        let is_wanted = |section: &&Section| section.name == key && section.shape == shape;
        self.sections.iter().find(is_wanted).filter(|_| is_first())
    }

    fn leave(&mut self) {
        let Some(Open { mark, anchor, content, .. }) = self.open.pop() else { return };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        self.place(Node { mark, value }, anchor);
    }

    /// Puts a complete node where it belongs: into the innermost open collection.
    fn place(&mut self, node: Node<'t>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let mut hand_over = |entry| {
            let Some((section, count)) = &mut open.handed_over else { return Some(entry) };
            (self.take)(Piece { section, index: *count, entry });
            *count += 1;
            None
        };
        match &mut open.content {
            Content::List(items) => {
                let entry = Entry { mark: node.mark, key: Cow::Borrowed(""), value: node };
                items.extend(hand_over(entry).map(|entry| entry.value));
            }
            Content::Map { entries, key } => match key.take() {
                Some((mark, key)) => entries.extend(hand_over(Entry { mark, key, value: node })),
                None => match node.value {
                    Value::Scalar(text) => *key = Some((node.mark, text)),
                    Value::Null => *key = Some((node.mark, Cow::Borrowed(""))),
                    Value::List(_) | Value::Map(_) => {
                        let message = format!("a key is a single word, not {}", node.kind());
                        *key = Some((node.mark, Cow::Borrowed("?")));
                        self.complain(node.mark, message, None);
                    }
                },
            },
        }
    }

    fn alias(&mut self, id: usize, mark: Mark) -> Step {
        let Some(anchored) = self.anchors.get(&id) else {
            self.complain(mark, "this alias is inside the value it stands for".to_owned(), None);
            self.place(Node { mark, value: Value::Null }, 0);
            return Some(());
        };
        let added = size(anchored);
        if self.alias_node_count + added > ALIAS_NODE_LIMIT {
            self.limit(mark, format!("aliases stand for more than {ALIAS_NODE_LIMIT} values"));
            return None;
        }
        if self.open.len() + depth(anchored) > DEPTH_LIMIT {
            self.limit(mark, format!("lists and mappings are nested deeper than {DEPTH_LIMIT}"));
            return None;
        }
        let node = anchored.clone();
        self.alias_node_count += added;
        self.place(node, 0);
        Some(())
    }

    fn count(&mut self, mark: Mark) -> Step {
        self.node_count += 1;
        if self.node_count <= NODE_LIMIT {
            return Some(());
        }
        self.limit(mark, format!("there are more than {NODE_LIMIT} values in this file"));
        None
    }

    /// Whether the tag says that the scalar is text whatever it looks like. Other tags have no meaning here.
    fn check_tag(&mut self, tag: Option<&Tag>, mark: Mark) -> bool {
        let Some(tag) = tag else { return false };
        if tag.is_yaml_core_schema_tag("str") {
            return true;
        }
        let message = format!("the tag {} means nothing here", tag.original());
        self.complain(mark, message, Some("leave the tag out"));
        false
    }

    fn complain(&mut self, mark: Mark, message: String, advice: Option<&str>) {
        let advice = advice.map(str::to_owned);
        self.problem(Problem { mark, message, advice, is_limit: false });
    }

    fn limit(&mut self, mark: Mark, message: String) {
        self.problem(Problem { mark, message, advice: None, is_limit: true });
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEM_LIMIT {
            self.problems.push(problem);
        }
    }

    /// Closes what is still open after a problem: an entry of a section (the third level) that is not
    /// complete is left out, because what it lacks would be reported as well.
    fn finish(mut self) -> Tree<'t> {
        const COMPLETE_LEVELS: usize = 2;
        self.open.truncate(COMPLETE_LEVELS);
        while !self.open.is_empty() {
            self.leave();
        }
        let empty = Node { mark: Mark { line: 1, column: 1 }, value: Value::Null };
        Tree { root: self.root.unwrap_or(empty), problems: self.problems }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, is_text: bool) -> Value<'_> {
    let is_null = style == ScalarStyle::Plain
        && !is_text
        && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
    if is_null { Value::Null } else { Value::Scalar(text) }
}

fn size(node: &Node<'_>) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}

fn depth(node: &Node<'_>) -> usize {
    match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0)
        }
    }
}

fn mark_of(marker: &Marker) -> Mark {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Mark { line: number(marker.line()), column: number(marker.col() + 1) }
}

fn syntax(text: &str, error: &ScanError) -> Problem {
    let mark = mark_of(error.marker());
    Problem { mark, message: error.info(), advice: advice(text, mark), is_limit: false }
}

/// Says what a person probably wrote that YAML reads otherwise.
fn advice(text: &str, mark: Mark) -> Option<String> {
    let at = usize::try_from(mark.line).ok()?.saturating_sub(1);
    let around = || text.lines().skip(at.saturating_sub(1)).take(2);
    let advice = if around().any(|line| line.trim_start_matches(' ').starts_with('\t')) {
        "indent with spaces: YAML takes no tabs"
    } else if around().any(|line| line.contains("::")) {
        "put IPv6 addresses in quotes: \"2001:db8::1\""
    } else {
        return None;
    };
    Some(advice.to_owned())
}
