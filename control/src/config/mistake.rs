//! What is wrong with a configuration, said to a person: where, what, and what to write instead.
//! Everything that reads a configuration collects these; nothing stops at the first.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file as it was named, or the name given to a text that has no file.
    pub file: Arc<str>,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// In characters, from 1; 0 where the whole file is meant.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 { write!(f, ":{}:{}", self.line, self.column) } else { Ok(()) }
    }
}

/// Where an entry of the configuration was written.
///
/// All origins are equal: an entry that only moved within its file has not changed, and comparing two
/// configurations must say so.
#[derive(Debug, Clone)]
pub struct Origin(pub Location);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl std::ops::Deref for Origin {
    type Target = Location;

    fn deref(&self) -> &Location {
        &self.0
    }
}

/// What kind of mistake it is, for programs; the message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MistakeKind {
    /// A file can't be read, or is larger, deeper or longer than the limits.
    Unreadable,
    /// The text is not YAML.
    Syntax,
    /// A key that nobody knows.
    UnknownKey,
    /// A key twice in one mapping, or a name defined twice.
    Duplicate,
    /// A key or value of the vocabulary that this version does not support yet.
    Unsupported,
    /// A key that has to be there.
    Missing,
    /// A list where a number belongs, and the like.
    WrongType,
    /// The right type, but not a value it may have.
    BadValue,
    /// A number outside its range.
    OutOfRange,
    /// A key that means nothing for this mode, or together with another key.
    DoesNotApply,
    /// An address family that does not fit the mode.
    WrongFamily,
    /// A name that nothing has.
    UnknownName,
    /// An address that nobody owns, that is owned twice, or that can't be owned.
    Address,
    /// Two tunnels that can't be told apart on decapsulation.
    Ambiguous,
    /// A route that can't work.
    Route,
    /// A tunnel whose outer packets would go through the tunnel itself.
    Loop,
}

/// One mistake, or one warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Where.
    #[serde(flatten)]
    pub location: Location,
    /// The path of keys, as `tunnels.paris.remote`; empty for a whole file.
    pub path: String,
    /// For programs.
    pub kind: MistakeKind,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to write instead, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Mistake {
    fn write(&self, f: &mut fmt::Formatter<'_>, severity: &str) -> fmt::Result {
        write!(f, "{}: {severity}: ", self.location)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(advice) = &self.advice {
            write!(f, "\n    {advice}")?;
        }
        Ok(())
    }
}

/// A warning as a line (or two) of text.
pub struct Warning<'a>(pub &'a Mistake);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "warning")
    }
}

/// Everything that is wrong with a configuration, in the order of the files. Never without a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistakes {
    /// What has to change before the configuration can be used.
    pub mistakes: Vec<Mistake>,
    /// Mistakes beyond the limit, which are only counted.
    pub unlisted: usize,
    /// What can stay, but is probably not meant.
    pub warnings: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.mistakes {
            mistake.write(f, "error")?;
            f.write_str("\n")?;
        }
        for warning in &self.warnings {
            writeln!(f, "{}", Warning(warning))?;
        }
        let count = self.mistakes.len() + self.unlisted;
        write!(f, "{count} mistake{}", if count == 1 { "" } else { "s" })?;
        if self.unlisted > 0 {
            write!(f, ", of which {} are not listed", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
