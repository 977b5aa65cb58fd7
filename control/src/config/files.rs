//! From a path to what a file and those it includes say. Included files are read side by side: a million
//! tunnels are usually spread over several.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{io, thread};

use super::LoadedFile;
use super::mistake::MistakeKind;
use super::pieces::{self, Pieces};
use super::read;
use super::report::{Field, Place, Report};
use crate::yaml::{self, Mark, Node, Value};

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
    content: String,
    whole: OnceLock<Node<'static>>,
}

impl Text {
    pub(super) fn new(name: Arc<str>, content: String) -> Self {
        Self { name, content, whole: OnceLock::new() }
    }

    /// Its name and, if no longer than `room`, what it says.
    pub(super) fn into_file(self, room: usize) -> LoadedFile {
        let bytes = self.content.len();
        let text = (bytes <= room).then_some(self.content);
        LoadedFile { name: self.name, text, bytes }
    }

    /// The whole tree, pieces included: parsed again when a mistake first needs to know where in this
    /// file something is, because nobody else needs it.
    pub(super) fn whole(&self) -> &Node<'static> {
        self.whole.get_or_init(|| yaml::parse(&self.content).root.into_owned())
    }
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Source<'t> {
    pub(super) name: &'t Arc<str>,
    /// The tree, but for the entries that [`Pieces`] has.
    pub(super) root: Node<'t>,
}

/// A file, read.
pub(super) struct ReadFile<'t> {
    pub(super) source: Source<'t>,
    pub(super) pieces: Pieces<'t>,
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
        Ok(content) => Some(Text::new(name, without_byte_order_mark(content))),
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

/// Parses a text, and reads the entries of its long sections on the way.
pub(super) fn parse(text: &Text) -> ReadFile<'_> {
    let mut pieces = Pieces::new(text);
    let mut tree =
        yaml::parse_in_pieces(&text.content, pieces::SECTIONS, |piece| pieces.take(&piece));
    let place = Place::root(&text.name);
    for problem in tree.problems {
        let kind = if problem.is_limit { MistakeKind::Unreadable } else { MistakeKind::Syntax };
        let note = pieces.report.error(&place, problem.mark, kind, problem.message);
        if let Some(advice) = problem.advice {
            note.advise(advice);
        }
    }
    pieces.take_rest(&mut tree.root);
    ReadFile { source: Source { name: &text.name, root: tree.root }, pieces }
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

/// Parses included files on as many threads as are worth it; the result is in the order of the files.
pub(super) fn parse_all(texts: &[Text]) -> Vec<ReadFile<'_>> {
    let files: Vec<Mutex<Option<ReadFile<'_>>>> = texts.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((text, file)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            texts.get(index).zip(files.get(index))
        } {
            let read = parse(text);
            *file.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(texts.len()).min(THREAD_LIMIT) {
            scope.spawn(work);
        }
    });
    let files = files.into_iter();
    files.filter_map(|file| file.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// An included file that includes others, which would make the order of definitions hard to follow.
pub(super) fn refuse_nested_includes(report: &mut Report, included: &[ReadFile<'_>]) {
    for ReadFile { source, .. } in included {
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
