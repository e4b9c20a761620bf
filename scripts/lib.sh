# shellcheck shell=bash
# What the scripts here share: where things are, what is missing, and how it is got. To be sourced.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The Rust that Debian 13 and Raspberry Pi OS ship, and the oldest that builds this.
oldest_rust=1.85
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints the comment at the head of the script, which is its help.
help_from_head() {
    sed -n '2,/^[^#]/ { s/^# \{0,1\}//; /^[^#]*$/p }' "$1" | sed '/^set -/,$d'
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root for: $*  (run this as root once, or install sudo)"
    fi
}

# install PACKAGE...: through the system's package manager, saying so.
install() {
    command -v apt-get >/dev/null || die "install these first, by your system's means: $*"
    say "Missing here: $*. Installing that with apt-get now."
    if [[ -z ${apt_is_fresh:-} ]]; then
        as_root apt-get -qq update
        apt_is_fresh=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE...: installs the packages unless the command is there.
need() {
    command -v "$1" >/dev/null || install "${@:2}"
}

at_least() { # at_least VERSION OLDEST
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

rust_version() { # of the cargo in reach, or 0
    local version
    version=$(cargo --version 2>/dev/null) || version='cargo 0'
    version=${version#cargo }
    say "${version%% *}"
}

# A Rust that is new enough, with the additions named (rustfmt, clippy), and a linker.
need_rust() {
    need cc gcc libc6-dev
    if ! at_least "$(rust_version)" "$oldest_rust"; then
        local offered=0
        if command -v apt-get >/dev/null; then
            [[ -n ${apt_is_fresh:-} ]] || as_root apt-get -qq update
            apt_is_fresh=yes
            offered=$(apt-cache policy rustc | awk '/Candidate:/ { print $2 }')
        fi
        if at_least "${offered:-0}" "$oldest_rust"; then
            install cargo rustc
        else
            rustup_minimal
        fi
        hash -r
    fi
    local addition
    for addition in "$@"; do
        "cargo-$addition" --version >/dev/null 2>&1 || cargo "$addition" --version >/dev/null 2>&1 ||
            add_to_rust "$addition"
    done
}

# The system's Rust is too old: the Rust project's own installer, into the home folder.
rustup_minimal() {
    say "This system offers no Rust $oldest_rust or newer. Installing it with rustup into $HOME/.cargo."
    need curl curl ca-certificates
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y -q --profile minimal --no-modify-path --component rustfmt --component clippy
}

add_to_rust() { # fmt or clippy
    local name=$1
    [[ $name != fmt ]] || name=rustfmt
    if command -v rustup >/dev/null; then
        say "Missing here: $name. Adding it with rustup now."
        rustup -q component add "$name"
    else
        [[ $name != clippy ]] || name=rust-clippy
        install "$name"
    fi
}

# Builds the release program, and sets $sprat to it.
build_release() {
    say "Building the release program (minutes on a small machine, the first time)."
    (cd "$repository" && cargo build --release --locked --quiet)
    # shellcheck disable=SC2034
    sprat=${CARGO_TARGET_DIR:-$repository/target}/release/sprat
}

# wait_until SECONDS WHAT COMMAND...: polls the command until it succeeds.
wait_until() {
    local limit=$1 what=$2 turn
    shift 2
    for ((turn = 0; turn < limit * 20; turn++)); do
        if "$@"; then return 0; fi
        sleep 0.05
    done
    die "waited $limit s in vain for $what"
}
