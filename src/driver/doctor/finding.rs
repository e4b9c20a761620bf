//! What a check says: one finding a line, for people or for programs. Whoever finds decides how bad it
//! is; here it is only written down.

use std::fmt::Write as _;

use serde::Serialize;

use crate::content::terminal_text::{printable, printable_json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// It could not be looked at, mostly for want of rights.
    Unknown,
    /// Works, but something is worth knowing.
    Warning,
    /// Something does not work because of this.
    Problem,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: one lower-case word that does not change between versions.
    pub check: &'static str,
    /// How bad.
    pub status: Status,
    /// What was found and what it means, in a sentence.
    pub text: String,
    /// The commands that mend it, or show more, the best first.
    pub commands: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, status: Status, text: impl Into<String>) -> Self {
        Self { check, status, text: text.into(), commands: Vec::new() }
    }

    /// Nothing is wrong.
    pub fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, text)
    }

    /// It could not be looked at.
    pub fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Status::Unknown, text)
    }

    /// It works, but.
    pub fn warning(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Status::Warning, text)
    }

    /// It does not work.
    pub fn problem(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Status::Problem, text)
    }

    /// With a command that mends it or shows more.
    #[must_use]
    pub fn with(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    /// With several.
    #[must_use]
    pub fn with_all(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands.extend(commands);
        self
    }

    /// For programs: an object on a line.
    pub fn for_programs(&self) -> serde_json::Result<String> {
        Ok(printable_json(&serde_json::to_string(self)?).into_owned())
    }

    /// For people: a line, and below it each command on a line of its own, to be copied.
    pub fn for_people(&self) -> String {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Unknown => "not checked",
            Status::Warning => "warning",
            Status::Problem => "PROBLEM",
        };
        let mut text = format!("{status:<11} {:<10} {}", self.check, printable(&self.text));
        for command in &self.commands {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{:24}{}", "", printable(command));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_safe_for_terminals_and_one_object_for_programs() {
        let finding = Finding::problem("port", "held by a\x1b[2Jb\u{9b}").with("kill 12");
        let text = finding.for_people();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("PROBLEM     port       held by a\\u{1b}"), "{text}");
        assert_eq!(lines[1].trim(), "kill 12");
        let json = finding.for_programs().unwrap();
        assert!(!json.chars().any(char::is_control), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["status"], "problem");
        assert_eq!(json["commands"][0], "kill 12");
    }
}
