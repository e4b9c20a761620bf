//! Entry: arguments to a command, the command to an exit code.

fn main() {}
