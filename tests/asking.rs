//! Asking the network, getting and giving, from the outside: real processes on hosts that are network
//! namespaces.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]

mod support;

mod asking {
    mod getting;
    mod giving;
    mod holding;
    mod listing;

    use serde_json::Value;

    use crate::support::*;

    /// The lines of JSON that a command on a host answers with.
    fn answers(host: &Host, arguments: &[&str]) -> Vec<Value> {
        let mut run = host.run(&[arguments, &["--json"]].concat());
        run.succeeds(LONG);
        run.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until a host that looks finds that many names.
    #[track_caller]
    fn offered(host: &Host, names: usize) {
        wait_until("the files to be offered", SHORT, || answers(host, &["ls"]).len() == names);
    }
}
