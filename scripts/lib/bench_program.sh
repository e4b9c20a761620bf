# shellcheck shell=bash
# Parts of scripts/bench that look at the program alone: its memory, its quiet, its size, its turns. To be sourced.
# It finds $sprat, $programs, $folder, $results and $pids set.
# shellcheck disable=SC2154

GiB=$((1 << 30))

# record KEY VALUE UNIT FIGURE DESCRIPTION
record() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"
    say "   $5: $2 $3 (wanted: $4)"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }

# peer FOLDER OPTION...: a peer in the background; sets $peer
peer() {
    local root=$1
    shift
    mkdir -p "$root/share"
    "$sprat" --root "$root" "$@" peer >"$root/peer.out" 2>"$root/peer.err" &
    peer=$!
    pids+=("$peer")
    wait_until 20 "$root/d.json" test -s "$root/d.json"
}

stop() { # stop PID: politely
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    local pid rest=()
    for pid in "${pids[@]}"; do [[ $pid == "$1" ]] || rest+=("$pid"); done
    pids=("${rest[@]}")
}

status_of() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"; }

# highest_memory PID: polls until the process ends, and prints the most it ever had resident, in kB
highest_memory() {
    local most=0 value
    while value=$(status_of "$1" VmHWM 2>/dev/null) && [[ -n $value ]]; do
        most=$value
        sleep 0.02
    done
    say "$most"
}

random_file() { # random_file PATH BYTES; sets $sha1; the memory has been touched by then
    head -c "$2" /dev/urandom >"$1"
    sha1=$(sha1sum "$1" | cut -d ' ' -f 1)
}

# The port 27190 on 127.0.0.3: no peer of this machine's own is met there.
serving=(--bind 127.0.0.3 --port 27190)
fetching=(--bind 127.0.0.4 --timeout 300)
source=127.0.0.3:27190

# fetch FOLDER SHA1 NAME SIZE SOURCE...
fetch() {
    local root=$1
    shift
    "$sprat" --root "$root" --quiet "${fetching[@]}" fetch "$@"
}

# Runs a part of this script in a network of its own.
isolated() {
    if ! unshare -rnm true 2>/dev/null; then
        say "SKIPPED: $1: no network namespaces here"
        return
    fi
    SPRAT_BENCH_FOLDER=$folder SPRAT_BENCH_RESULTS=$results SPRAT_BENCH_PROGRAM=${programs[0]} \
        unshare -rnm -- "$0" "--inside-$1"
}

# network HOSTS: hosts 1.. on a bridge
network() {
    local host
    ip link set lo up
    ip link add br0 type bridge
    ip link set br0 up
    for ((host = 1; host <= $1; host++)); do
        unshare --net -- sleep infinity &
        namespaces[host]=$!
        pids+=($!)
        wait_until 5 "a network namespace" differs "$!"
        ip link add "v$host" type veth peer name eth0 netns "${namespaces[host]}"
        ip link set "v$host" master br0 up
        on "$host" sh -c "ip link set lo up; ip addr add 10.77.0.$host/24 brd + dev eth0;
            ip link set eth0 up"
    done
}
namespaces=()
differs() { [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }
on() { nsenter --net="/proc/${namespaces[$1]}/ns/net" -- "${@:2}"; }

# peer_on HOST FOLDER: a peer in the background on that host; sets $peer. Not through `on`, whose process
# number would be a shell's.
peer_on() {
    mkdir -p "$2/share"
    nsenter --net="/proc/${namespaces[$1]}/ns/net" -- "$sprat" --root "$2" peer \
        >"$2/peer.out" 2>"$2/peer.err" &
    peer=$!
    pids+=("$peer")
    wait_until 20 "$2/d.json" test -s "$2/d.json"
}

small_files() { # small_files FOLDER COUNT
    mkdir -p "$1/share"
    local number
    for ((number = 0; number < $2; number++)); do
        printf 'file %s\n' "$number" >"$1/share/$number.txt"
    done
}

part_memory() {
    say "Memory"
    local size
    if (($(df --output=avail -B 1 "$folder" | tail -n 1) < 12 * GiB)); then
        say "SKIPPED: memory: $folder has no room for 12 GiB"
        return
    fi
    small_files "$folder/a" 1000
    random_file "$folder/a/share/big.bin" "$GiB"
    local big=$sha1
    truncate -s $((10 * GiB)) "$folder/a/share/sparse.bin"
    local sparse
    sparse=$(sha1sum "$folder/a/share/sparse.bin" | cut -d ' ' -f 1)
    peer "$folder/a" "${serving[@]}"
    local serving_peer=$peer
    for size in 1 10; do
        local id=$big name=big.bin
        ((size == 1)) || { id=$sparse name=sparse.bin; }
        mkdir -p "$folder/b"
        # Not through the function: its process number would be a shell's.
        "$sprat" --root "$folder/b" --quiet "${fetching[@]}" \
            fetch "$id" "$name" $((size * GiB)) "$source" &
        local pid=$!
        local most
        most=$(highest_memory "$pid")
        wait "$pid"
        rm -rf "$folder/b"
        record "fetch_${size}gib_kib" "$most" KiB "at most 16384" "memory of fetch, $size GiB"
    done
    fifty_fetches "$folder/a"
    record peer_serving_kib "$(status_of "$serving_peer" VmHWM)" KiB "at most 16384" \
        "memory of peer with 1,000 files, after hashing and serving 11 GiB and 50 fetches at once"
    stop "$serving_peer"
    rm -f "$folder/a/share/big.bin" "$folder/a/share/sparse.bin" "$folder/a/d.json"
    peer "$folder/a" "${serving[@]}"
    fetch "$folder/b" "$(printf 'file 999\n' | sha1sum | cut -d ' ' -f 1)" x 9 "$source"
    record peer_idle_kib "$(status_of "$peer" VmHWM)" KiB "at most 12288" \
        "memory of peer with 1,000 files, idle"
    stop "$peer"
    rm -rf "$folder/a" "$folder/b"
}

fifty_fetches() { # fifty_fetches FOLDER: of 32 MiB, all at once
    local number fetches=()
    random_file "$1/share/middle.bin" $((32 << 20))
    # The peer offers it when it has been hashed.
    fetch "$folder/c" "$sha1" middle.bin $((32 << 20)) "$source"
    for ((number = 0; number < 50; number++)); do
        fetch "$folder/c$number" "$sha1" middle.bin $((32 << 20)) "$source" &
        fetches+=($!)
    done
    wait "${fetches[@]}"
    rm -rf "$folder"/c*
}

inside_idle() {
    network 1
    small_files "$folder/a" 100
    peer_on 1 "$folder/a"
    local pid=$peer before after wakes_before wakes_after busy
    # Quiet means: the files are hashed, and nothing is new.
    settled() {
        local one two
        one=$(cut -d ' ' -f 1 "/proc/$pid/schedstat")
        sleep 3
        two=$(cut -d ' ' -f 1 "/proc/$pid/schedstat")
        ((two - one < 30000000))
    }
    wait_until 20 "a quiet peer" settled
    before=$(cut -d ' ' -f 1 "/proc/$pid/schedstat")
    wakes_before=$(status_of "$pid" voluntary_ctxt_switches)
    sleep 60
    after=$(cut -d ' ' -f 1 "/proc/$pid/schedstat")
    wakes_after=$(status_of "$pid" voluntary_ctxt_switches)
    busy=$(awk -v ns=$((after - before)) 'BEGIN { printf "%.3f", ns / 1e9 }')
    record idle_seconds "$busy" "s a minute" "at most 0.02" "processor time of an idle peer, 100 files"
    record idle_kib "$(status_of "$pid" VmHWM)" KiB "at most 6144" "memory of an idle peer, 100 files"
    record idle_wakes "$(ratio $((wakes_after - wakes_before)) 60)" "a second" "at most 2" \
        "wake-ups of an idle peer"
}

part_idle() {
    say "An idle peer, for 60 s"
    isolated idle
    rm -rf "$folder/a"
}

part_size() {
    record program_kib "$(($(stat -c %s "$sprat") / 1024))" KiB "at most 3072" \
        "stripped release program"
}

part_turn() {
    say "The longest turn of the loop while hashing 10 GiB and serving"
    mkdir -p "$folder/a/share" "$folder/b"
    random_file "$folder/a/share/big.bin" $((256 << 20))
    local big=$sha1 turn
    peer "$folder/a" "${serving[@]}" -vv
    local hashing=$peer
    fetch "$folder/b" "$big" big.bin $((256 << 20)) "$source"
    truncate -s $((10 * GiB)) "$folder/a/share/sparse.bin"
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$folder/b/share/big.bin"
        fetch "$folder/b" "$big" "big.bin" $((256 << 20)) "$source"
    done
    wait_until 120 "10 GiB to be hashed" quiet "$hashing"
    stop "$hashing"
    local longest
    longest=$(sed -n 's/.*turns, the longest \([0-9.]*\).*/\1/p' "$folder/a/peer.err" | tail -n 1)
    record longest_turn "${longest:-unknown}" ms "at most 10" "longest turn of the loop"
    local worked
    worked=$(sed -n 's/.*turns, the longest .* by processor time \([0-9.]*\).*/\1/p' "$folder/a/peer.err" | tail -n 1)
    record longest_turn_worked "${worked:-unknown}" ms "at most 10" "longest turn of the loop, by processor time"
    say "   $(grep -h ' turns, the longest' "$folder/a/peer.err" | tail -n 1)"
    [[ -z ${SPRAT_BENCH_KEEP:-} ]] || cp "$folder/a/peer.err" "$SPRAT_BENCH_KEEP"
    rm -rf "$folder/a" "$folder/b"
}

quiet() { # has it used less than a tenth of a core in the last second?
    local one two
    one=$(cut -d ' ' -f 1 "/proc/$1/schedstat")
    sleep 1
    two=$(cut -d ' ' -f 1 "/proc/$1/schedstat")
    ((two - one < 100000000))
}
