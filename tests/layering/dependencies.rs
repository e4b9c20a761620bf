//! What the program is made of besides its own sources, as `cargo metadata` and `Cargo.lock` say: where the
//! packages come from, under which licences, for which Rust, how many and which of them twice.
//!
//! `scripts/audit` looks further, where there is a network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A licence of each package must be among these; `deny.toml` has the same ones.
const LICENCES: [&str; 5] =
    ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0", "BSD-3-Clause"];
/// Packages that are there in more than one version, each with its reason.
const SEVERAL_VERSIONS: [&str; 1] = [
    // At compile time alone: serde's macro takes 3, multiversion's takes 2.
    "syn",
];
/// Each is one more whose authors are trusted with everything.
const DIRECT_MAX: usize = 16;
const ALL_MAX: usize = 60;

/// What there is to be looked at.
pub(crate) struct Dependencies {
    metadata: Value,
    lock: String,
    manifest: String,
}

impl Dependencies {
    /// Of this project, as they are used on this machine. Needs no network: who runs this has built it.
    pub(crate) fn of_this_project() -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let told = Command::new("rustc").arg("-vV").output().expect("there is a compiler");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let host = told.lines().find_map(|line| line.strip_prefix("host: ")).expect("it says");
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version", "1"])
            .args(["--filter-platform", host])
            .current_dir(root)
            .output()
            .expect("there is cargo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name| std::fs::read_to_string(format!("{root}/{name}")).expect("it is there");
        Self {
            metadata: serde_json::from_slice(&output.stdout).expect("cargo writes JSON"),
            lock: read("Cargo.lock"),
            manifest: read("Cargo.toml"),
        }
    }

    #[cfg(test)]
    fn of(metadata: &str, lock: &str, manifest: &str) -> Self {
        let metadata = serde_json::from_str(metadata).expect("the test writes JSON");
        Self { metadata, lock: lock.to_owned(), manifest: manifest.to_owned() }
    }

    /// All but the project's own.
    fn packages(&self) -> impl Iterator<Item = &Value> {
        let all = self.metadata["packages"].as_array().into_iter().flatten();
        all.filter(|package| package["name"] != "sprat")
    }

    /// Everything that is not as it should be.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let oldest = self.metadata["packages"]
            .as_array()
            .and_then(|all| all.iter().find(|package| package["name"] == "sprat"))
            .map(|own| version(&own["rust_version"]))
            .unwrap_or_default();
        let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in self.packages() {
            let (name, number) = (text(&package["name"]), text(&package["version"]));
            versions.entry(name).or_default().insert(number);
            if text(&package["source"]) != "registry+https://github.com/rust-lang/crates.io-index" {
                complaints.push(format!("{name} {number} is not from crates.io"));
            }
            let licence = text(&package["license"]);
            if !is_allowed(licence) {
                complaints.push(format!("{name} {number} has the licence {licence:?}"));
            }
            if version(&package["rust_version"]) > oldest {
                complaints.push(format!("{name} {number} asks for a newer Rust than the project"));
            }
        }
        let twice = |(name, versions): (&&str, &BTreeSet<&str>)| {
            let expected = SEVERAL_VERSIONS.contains(name);
            (expected != (versions.len() > 1)).then(|| {
                format!("{name} is there as {versions:?}, which SEVERAL_VERSIONS does not say")
            })
        };
        complaints.extend(versions.iter().filter_map(twice));
        if versions.len() > ALL_MAX {
            complaints.push(format!("{} packages are more than {ALL_MAX}", versions.len()));
        }
        complaints.extend(self.direct_complaints());
        complaints.extend(self.lock_complaints());
        complaints
    }

    /// The direct ones: not too many, each with its reason above it.
    fn direct_complaints(&self) -> Vec<String> {
        let section = self.manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        // Two that belong together stand under one reason.
        let (mut complaints, mut count, mut reasons_left) = (Vec::new(), 0, 0_u32);
        for line in section.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('#') {
                reasons_left = 2;
                continue;
            }
            count += 1;
            let name = line.split(' ').next().unwrap_or_default();
            if reasons_left == 0 {
                complaints.push(format!("{name} has no reason beside it"));
            }
            reasons_left = reasons_left.saturating_sub(1);
            if line.contains("git =") || line.contains("path =") || line.contains('*') {
                complaints.push(format!("not a version of crates.io: {line}"));
            }
        }
        if count == 0 || count > DIRECT_MAX {
            complaints.push(format!("{count} direct dependencies; {DIRECT_MAX} are the most"));
        }
        complaints
    }

    /// Whatever is downloaded is what was looked at: each package of the lock file has its checksum.
    fn lock_complaints(&self) -> Vec<String> {
        let packages = self.lock.split("[[package]]").skip(1);
        let unsure = packages.filter(|package| {
            !package.contains("name = \"sprat\"") && !package.contains("\nchecksum = \"")
        });
        unsure.map(|package| format!("no checksum: {}", package.trim())).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn version(value: &Value) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        text(value).split('.').filter_map(|number| number.parse().ok()).collect();
    numbers.resize(3, 0);
    numbers
}

/// Whether an expression of licences can be fulfilled with those that are allowed. Those that are met are simple: ORs
/// of names, or ANDs of such in brackets.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    let one_of = |part: &str| part.split(" OR ").any(|name| LICENCES.contains(&name.trim()));
    !plain.is_empty() && plain.split(" AND ").all(one_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str =
        "[[package]]\nname = \"sprat\"\n[[package]]\nname = \"a\"\nchecksum = \"1\"\n";
    const MANIFEST: &str = "[dependencies]\n# Why.\na = \"1\"\n\n[profile.dev]\nx = 1\n";

    fn metadata(package: &str) -> String {
        let (own, syn) = (r#"{"name":"sprat","rust_version":"1.85"}"#, |version| {
            format!(
                r#"{{"name":"syn","version":"{version}","license":"MIT",
                "source":"registry+https://github.com/rust-lang/crates.io-index"}}"#
            )
        });
        format!(r#"{{"packages":[{own},{},{},{package}]}}"#, syn(2), syn(3))
    }

    fn package(licence: &str, source: &str, rust: &str) -> String {
        format!(
            r#"{{"name":"a","version":"1.0.0","license":"{licence}","source":"{source}","rust_version":"{rust}"}}"#
        )
    }

    #[test]
    fn each_rule_is_kept_and_can_be_broken() {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let count = |package: &str, lock: &str, manifest: &str| {
            Dependencies::of(&metadata(package), lock, manifest).complaints().len()
        };
        let good = package("MIT OR Zlib", registry, "1.71");
        assert_eq!(count(&good, LOCK, MANIFEST), 0);
        assert_eq!(count(&package("GPL-3.0", registry, "1.71"), LOCK, MANIFEST), 1);
        assert_eq!(count(&package("MIT AND GPL-3.0", registry, "1.71"), LOCK, MANIFEST), 1);
        assert_eq!(count(&package("", registry, ""), LOCK, MANIFEST), 1);
        assert_eq!(count(&package("MIT", "git+https://example.org", ""), LOCK, MANIFEST), 1);
        assert_eq!(count(&package("MIT", registry, "1.86.0"), LOCK, MANIFEST), 1);
        let twice = format!("{good},{}", good.replace("1.0.0", "2.0.0"));
        assert_eq!(count(&twice, LOCK, MANIFEST), 1);
        assert_eq!(count(&good, "[[package]]\nname = \"a\"\n", MANIFEST), 1);
        assert_eq!(count(&good, LOCK, &MANIFEST.replace("# Why.\n", "")), 1);
        assert_eq!(count(&good, LOCK, &MANIFEST.replace("\"1\"", "{ git = \"x\" }")), 1);
        let many = MANIFEST.replace("a = \"1\"\n", &"# Why.\na = \"1\"\n".repeat(DIRECT_MAX + 1));
        assert_eq!(count(&good, LOCK, &many), 1);
    }
}
