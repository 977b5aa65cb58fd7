//! From a path to the trees of a file and of those it includes. Included files are parsed side by side: a
//! million tunnels are usually spread over several.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use super::mistake::MistakeKind;
use super::read;
use super::report::{Field, Place, Report};
use crate::yaml::{self, Mark, Node, Tree, Value};

/// The largest file that is read.
pub const FILE_SIZE_LIMIT: u64 = 256 << 20;
/// Included files.
pub const FILE_COUNT_LIMIT: usize = 1024;
/// Threads that parse.
const THREAD_LIMIT: usize = 8;

/// A file's name and content.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) name: Arc<str>,
    pub(super) content: String,
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Source<'t> {
    pub(super) name: &'t Arc<str>,
    pub(super) root: Node<'t>,
}

const WHOLE_FILE: Mark = Mark { line: 0, column: 0 };

/// Reads one file; what prevents it is reported, at `from` if another file named it.
pub(super) fn read(report: &mut Report, path: &Path, from: Option<Field<'_, '_>>) -> Option<Text> {
    let name: Arc<str> = path.display().to_string().into();
    let root = Place::root(&name);
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("{name} can't be read: {error}");
            match from {
                Some(field) => report.field(field, MistakeKind::Unreadable, message),
                None => report.error(&root, WHOLE_FILE, MistakeKind::Unreadable, message),
            };
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(content) => Some(Text { content: without_byte_order_mark(content), name }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let mark = end_of(&String::from_utf8_lossy(good));
            report
                .error(&root, mark, MistakeKind::Syntax, "this byte is not UTF-8 text")
                .advise("save the file as UTF-8");
            None
        }
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_SIZE_LIMIT {
        let limit = FILE_SIZE_LIMIT >> 20;
        return Err(io::Error::other(format!(
            "it is larger than {limit} MiB; spread it over files and `include` them"
        )));
    }
    Ok(bytes)
}

fn without_byte_order_mark(content: String) -> String {
    match content.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => content,
    }
}

/// The position behind the last character.
fn end_of(text: &str) -> Mark {
    let last = text.rsplit('\n').next().unwrap_or("");
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Mark { line: number(text.matches('\n').count() + 1), column: number(last.chars().count() + 1) }
}

/// Parses a text and reports what is wrong with it as YAML.
pub(super) fn parse<'t>(report: &mut Report, text: &'t Text) -> Source<'t> {
    accept(report, text, yaml::parse(&text.content))
}

fn accept<'t>(report: &mut Report, text: &'t Text, tree: Tree<'t>) -> Source<'t> {
    let place = Place::root(&text.name);
    for problem in tree.problems {
        let kind = if problem.is_limit { MistakeKind::Unreadable } else { MistakeKind::Syntax };
        let note = report.error(&place, problem.mark, kind, problem.message);
        if let Some(advice) = problem.advice {
            note.advise(advice);
        }
    }
    Source { name: &text.name, root: tree.root }
}

/// The files that `main` includes, in the order of the list and of their names. A file is read once.
pub(super) fn read_includes(report: &mut Report, main: &Source<'_>, base: &Path) -> Vec<Text> {
    let root = Place::root(main.name);
    let place = root.key("include");
    let Some(entry) = main.root.entry("include") else { return Vec::new() };
    let mut texts = Vec::new();
    let mut known: Vec<PathBuf> = Path::new(&**main.name).canonicalize().into_iter().collect();
    let field = Field { place: &place, node: &entry.value };
    let Some(patterns) = read::items(report, field) else { return Vec::new() };
    for (index, node) in patterns.iter().enumerate() {
        let place = place.index(index);
        let field = Field { place: &place, node };
        for path in matching(report, field, base) {
            let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
            if known.contains(&canonical) {
                continue;
            }
            if texts.len() >= FILE_COUNT_LIMIT {
                let message = format!("more than {FILE_COUNT_LIMIT} files are included");
                report.field(field, MistakeKind::Unreadable, message);
                return texts;
            }
            known.push(canonical);
            texts.extend(read(report, &path, Some(field)));
        }
    }
    texts
}

/// The files of one pattern, sorted. A pattern may match nothing; a name without wildcards is a promise.
fn matching(report: &mut Report, field: Field<'_, '_>, base: &Path) -> Vec<PathBuf> {
    let Some(pattern) = read::text(report, field) else { return Vec::new() };
    if !pattern.contains(['*', '?', '[']) {
        return vec![base.join(pattern)];
    }
    // The directory of the file is not a pattern, whatever characters it has.
    let directory = glob::Pattern::escape(&base.display().to_string());
    let whole = Path::new(&directory).join(pattern);
    match glob::glob(&whole.display().to_string()) {
        Ok(paths) => paths.filter_map(Result::ok).filter(|path| path.is_file()).collect(),
        Err(error) => {
            let message = format!("{} is not a file pattern: {}", read::quoted(pattern), error.msg);
            report.field(field, MistakeKind::BadValue, message);
            Vec::new()
        }
    }
}

/// Parses included files on as many threads as are worth it, and reports in the order of the files.
pub(super) fn parse_all<'t>(report: &mut Report, texts: &'t [Text]) -> Vec<Source<'t>> {
    let trees: Vec<OnceLock<Tree<'t>>> = texts.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(texts.len()).min(THREAD_LIMIT) {
            scope.spawn(|| {
                while let Some((text, tree)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    texts.get(index).zip(trees.get(index))
                } {
                    tree.get_or_init(|| yaml::parse(&text.content));
                }
            });
        }
    });
    let parsed = texts.iter().zip(trees);
    parsed.filter_map(|(text, tree)| Some(accept(report, text, tree.into_inner()?))).collect()
}

/// An included file that includes others, which would make the order of definitions hard to follow.
pub(super) fn refuse_nested_includes(report: &mut Report, included: &[Source<'_>]) {
    for source in included {
        let Some(entry) = source.root.entry("include") else { continue };
        if matches!(entry.value.value, Value::Null) {
            continue;
        }
        let root = Place::root(source.name);
        report
            .error(
                &root.key("include"),
                entry.mark,
                MistakeKind::DoesNotApply,
                "an included file can't include others",
            )
            .advise("name the file in the `include` of the main file");
    }
}
