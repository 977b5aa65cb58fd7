//! Why something was not done: `application/problem+json`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Mistake, Mistakes};
use crate::report::Kind;

/// The media type of problems.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

//= RFC 9457 §3.1: members of a problem are type, status, title, detail and instance; others may be added.
/// A problem, for people and scripts. The type is always `about:blank`, which may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The status of HTTP.
    pub status: u16,
    /// What kind of problem it is; the same for each of its kind.
    pub title: String,
    /// What happened this time, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Of a configuration: everything that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Flaw>,
    /// Mistakes beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One mistake (or warning) of a configuration as it travels: see [`Mistake`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flaw {
    /// The file.
    pub file: String,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// From 1; 0 where the whole file is meant.
    pub column: u32,
    /// The path of keys, as `tunnels.paris.remote`.
    pub path: String,
    /// For programs, as `unknown-key`.
    pub kind: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl From<&Mistake> for Flaw {
    fn from(mistake: &Mistake) -> Self {
        let kind = serde_json::to_value(mistake.kind).unwrap_or_default();
        Self {
            file: mistake.location.file.to_string(),
            line: mistake.location.line,
            column: mistake.location.column,
            path: mistake.path.clone(),
            kind: kind.as_str().unwrap_or_default().to_owned(),
            message: mistake.message.clone(),
            advice: mistake.advice.clone(),
        }
    }
}

impl Flaw {
    /// In the form of a compiler: place, severity, path, message, and the advice below.
    pub fn line(&self, severity: &str) -> String {
        let mut line = self.file.clone();
        if self.line > 0 {
            line = format!("{line}:{}:{}", self.line, self.column);
        }
        line = format!("{line}: {severity}: ");
        if !self.path.is_empty() {
            line = format!("{line}{}: ", self.path);
        }
        line += &self.message;
        match &self.advice {
            Some(advice) => format!("{line}\n    {advice}"),
            None => line,
        }
    }
}

impl Problem {
    /// Any problem.
    pub fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into());
        Self { status, title: title.to_owned(), detail, ..Self::default() }
    }

    /// The configuration is wrong: nothing was changed.
    pub fn bad_configuration(mistakes: &Mistakes) -> Self {
        let count = mistakes.mistakes.len() + mistakes.unlisted;
        let detail = format!(
            "{count} mistake{}; what runs was not changed",
            if count == 1 { "" } else { "s" }
        );
        Self {
            mistakes: mistakes.mistakes.iter().map(Flaw::from).collect(),
            unlisted: mistakes.unlisted,
            ..Self::new(422, "the configuration has mistakes", detail)
        }
    }

    /// The configuration is right, but differs in something that only a start can change: nothing
    /// was changed.
    pub fn needs_restart(what: &[String]) -> Self {
        let detail = format!("only a restart can change {}", what.join(", "));
        Self::new(409, "the change needs a restart", detail)
    }

    /// The configuration is right, and yet too much for what has been set up: nothing was changed.
    pub(crate) fn too_much(error: &dyn std::error::Error) -> Self {
        Self::new(422, "the configuration does not fit", error.to_string())
    }

    /// A worker still reads the tables that would have to change: nothing was changed.
    pub(crate) fn worker_stuck(limit: Duration) -> Self {
        let seconds = limit.as_secs();
        let detail = format!(
            "a worker has not taken the tables that are in force for {seconds} s; nothing was changed"
        );
        Self::new(504, "a worker does not follow", detail)
    }

    /// The change is made, but a worker does not run it.
    pub(crate) fn not_confirmed(generation: u64, limit: Duration) -> Self {
        let seconds = limit.as_secs();
        let detail = format!(
            "generation {generation} is in force, but a worker has not confirmed it within {seconds} s"
        );
        Self::new(504, "not confirmed", detail)
    }

    /// There is nothing of that name.
    pub fn no_such(kind: Kind, name: &str) -> Self {
        Self::new(404, "nothing has this name", format!("{kind}: there is no {name:?}"))
    }

    /// The request itself can't be understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "the request is malformed", detail)
    }

    /// A path of the API that nobody knows.
    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(404, "no such path", format!("{path} is not a path of this API"))
    }

    /// Something that the vocabulary knows and this version does not.
    pub fn unsupported(what: &str) -> Self {
        Self::new(
            501,
            "not supported by this version",
            format!("{what}: not supported by this version"),
        )
    }

    /// The control thread has too much to do.
    pub(crate) fn busy() -> Self {
        Self::new(503, "too busy", "too many requests wait already; try again")
    }

    /// The appliance is on its way down.
    pub(super) fn stopping() -> Self {
        Self::new(503, "stopping", "the appliance is stopping")
    }

    /// The control thread did not answer.
    pub(super) fn late(limit: Duration) -> Self {
        let detail = format!("no answer within {} s; forwarding is not affected", limit.as_secs());
        Self::new(504, "too late", detail)
    }

    /// Whether a command ends with the code for a bad configuration.
    pub fn is_bad_configuration(&self) -> bool {
        self.status == 422
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.mistakes {
            writeln!(f, "{}", mistake.line("error"))?;
        }
        f.write_str(self.detail.as_deref().unwrap_or(&self.title))?;
        if self.unlisted > 0 {
            write!(f, " ({} of them are not listed)", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Location, MistakeKind};

    fn mistakes() -> Mistakes {
        let mistake = Mistake {
            location: Location { file: Arc::from("/etc/adit.yaml"), line: 7, column: 5 },
            path: "tunnels.paris.tll".to_owned(),
            kind: MistakeKind::UnknownKey,
            message: "nobody knows this key".to_owned(),
            advice: Some("did you mean `ttl`?".to_owned()),
        };
        Mistakes { mistakes: vec![mistake], unlisted: 2, warnings: Vec::new() }
    }

    #[test]
    fn every_mistake_travels_with_its_place_and_advice() {
        let json = serde_json::to_value(Problem::bad_configuration(&mistakes())).unwrap();
        let expected = serde_json::json!({
            "status": 422,
            "title": "the configuration has mistakes",
            "detail": "3 mistakes; what runs was not changed",
            "mistakes": [{
                "file": "/etc/adit.yaml", "line": 7, "column": 5, "path": "tunnels.paris.tll",
                "kind": "unknown-key", "message": "nobody knows this key",
                "advice": "did you mean `ttl`?",
            }],
            "unlisted": 2,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_client_prints_mistakes_as_check_does() {
        let json = serde_json::to_value(Problem::bad_configuration(&mistakes())).unwrap();
        let problem: Problem = serde_json::from_value(json).unwrap();
        let checked = mistakes().to_string();
        let expected: Vec<&str> = checked.lines().take(2).collect();
        assert_eq!(problem.to_string().lines().take(2).collect::<Vec<_>>(), expected);
        assert!(problem.is_bad_configuration());
        assert!(!Problem::needs_restart(&["ports.wan.device".to_owned()]).is_bad_configuration());
    }
}
