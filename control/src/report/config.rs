//! The configuration that runs, and whether the file that boots says the same.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReport {
    /// The file that `run` was given: what the next start will use.
    pub boot_file: String,
    /// The file that was applied last.
    pub applied_file: String,
    /// The generation of tables that was made from it.
    pub generation: u64,
    /// Changes of single tunnels and routes that were made since; `difference` says what they come to.
    pub changes_since: u64,
    /// Whether the file that boots still says what runs.
    pub is_boot_file_current: bool,
    /// In what it differs, or why it can't be read.
    pub difference: Option<String>,
    /// The text of the files when they were applied, include files after the one that names them.
    pub files: Vec<SourceFile>,
}

/// A file as it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceFile {
    /// Its path.
    pub path: String,
    /// All of it; nothing when it was too long to be kept.
    pub text: Option<String>,
    /// Its length.
    pub bytes: usize,
}

impl fmt::Display for ConfigReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# generation {}, applied from {}", self.generation, self.applied_file)?;
        if self.changes_since > 0 {
            writeln!(f, "# {} changes of tunnels and routes since", self.changes_since)?;
        }
        match (self.is_boot_file_current, &self.difference) {
            (true, _) => writeln!(f, "# {} says the same", self.boot_file)?,
            (false, None) => writeln!(f, "# {} DIFFERS from what runs", self.boot_file)?,
            (false, Some(difference)) => {
                writeln!(f, "# {} DIFFERS from what runs:", self.boot_file)?;
                for line in difference.lines() {
                    writeln!(f, "#   {line}")?;
                }
            }
        }
        for file in &self.files {
            if self.files.len() > 1 {
                writeln!(f, "\n# {}", file.path)?;
            }
            match &file.text {
                None => writeln!(f, "# {} bytes, not kept in memory", file.bytes)?,
                Some(text) if text.is_empty() || text.ends_with('\n') => f.write_str(text)?,
                Some(text) => writeln!(f, "{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_named_and_what_was_not_kept_is_said_to_be_missing() {
        let file = |path: &str, text: Option<&str>| SourceFile {
            path: path.to_owned(),
            text: text.map(str::to_owned),
            bytes: 9,
        };
        let report = ConfigReport {
            is_boot_file_current: true,
            files: vec![file("a.yaml", Some("version: 1\n")), file("b.yaml", None)],
            ..ConfigReport::default()
        };
        let text = report.to_string();
        let files = "\n# a.yaml\nversion: 1\n\n# b.yaml\n# 9 bytes, not kept in memory\n";
        assert!(text.ends_with(files), "{text}");
    }

    #[test]
    fn a_file_that_says_something_else_is_pointed_out() {
        let same = ConfigReport {
            boot_file: "/etc/adit.yaml".to_owned(),
            applied_file: "/etc/adit.yaml".to_owned(),
            generation: 3,
            changes_since: 0,
            is_boot_file_current: true,
            difference: None,
            files: vec![SourceFile {
                path: "/etc/adit.yaml".to_owned(),
                text: Some("version: 1".to_owned()),
                bytes: 10,
            }],
        };
        let expected = "# generation 3, applied from /etc/adit.yaml\n\
                        # /etc/adit.yaml says the same\nversion: 1\n";
        assert_eq!(same.to_string(), expected);
        let difference = Some("tunnel paris: remote\nroute 10.0.0.0/8".to_owned());
        let other =
            ConfigReport { is_boot_file_current: false, difference, changes_since: 2, ..same };
        assert!(other.to_string().contains("\n# 2 changes of tunnels and routes since\n"));
        assert!(
            other.to_string().contains("DIFFERS from what runs:\n#   tunnel paris: remote\n#   r")
        );
    }
}
