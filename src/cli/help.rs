//! The help texts.

/// `sprat --help`.
pub const HELP: &str = "\
Sprat shares files between the machines of a network.

  sprat peer
      offer the files in share/, find what others offer, keep the list in d.json
  sprat fetch 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 fox.txt 43
      fetch the file with this SHA-1 and size from whoever has it, into share/fox.txt
  sprat fetch 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 fox.txt 43 192.0.2.4 192.0.2.7
      the same from these hosts, in parallel
  sprat ls [PATTERN]
      list the files that there are on the network
  sprat peers
      list the hosts that offer files
  sprat info NAME|SHA1
      tell what is known of a file, and who has it
  sprat loc NAME|SHA1
      tell which host holds which blocks of a file
  sprat get NAME|PATTERN|SHA1 ...
      fetch files by their names, or all below a folder, such as animals/
  sprat add FILE|DIR ...
      put files into share/
  sprat rm NAME ...
      take files out of share/, but never the only copy unless told twice
  sprat doctor
      say why nobody is seen, and the command that mends it
  sprat tracker
      tell hosts of each other, on networks where broadcast does not reach all of them
  sprat replay FILE
      run the program's core again over what a run with --trace FILE has recorded

Options (each may stand in the environment instead, as SPRAT_ROOT, SPRAT_PORT and so on):
  --root DIR           the folder with share/, chunks/ and d.json (where you are)
  --bind ADDRESS       speak from this address of this machine only (all)
  --port N             peer: its own UDP port; else: the one where peers listen (27183)
  --peer HOST[:PORT]   speak to this host as well, where broadcast does not reach; repeatable
  --tracker HOST       ask this tracker who is there, and tell it what is here; repeatable
  --timeout SECONDS    fetch, get: give up after this long, with exit 75 (never)
                       ls, peers, info, loc, rm: look for this long at most (10)
  --json               all but peer, fetch, replay: answer for programs, a JSON object a line
                       (docs/json.md)
  --limit RATE         peer: send no more than RATE bytes a second; fetch: receive no more; such as
                       500K or 10M, where K, M and G are 1024 times as much each (no limit)
  --background         leave the network (fetch), the processor and the disk to everything else
  --trace FILE         record everything that happens in a new file, for replay (docs/trace.md)
  --trace-private      leave the names of files out of it
  --trace-payload      keep the bytes of files in it
  --trace-ring SIZE    record in so much memory (such as 16M) only, and write FILE when something
                       goes wrong, or on SIGUSR1
  -q, --quiet          say nothing but errors
  -v                   say more; -vv and -vvv say still more
  -h, --help           this; sprat peer --help, sprat fetch --help and so on tell more
  -V, --version        the version

Exit: 0 done, 1 failed for good, 2 wrong arguments, 75 not now (the same call may succeed later).
";

/// `sprat peer --help`.
pub const PEER_HELP: &str = "\
sprat peer [OPTIONS]

  sprat peer
      run here for ever: offer share/, print what others offer, keep d.json
  sprat --root /srv/files --port 30000 peer
      the same for another folder, on another port
  sprat peer --peer 198.51.100.9 --peer office.example
      also speak to hosts that broadcast does not reach

  sprat peer --tracker office.example
      be told of other hosts by a sprat tracker there, and tell it of this one
  sprat peer --limit 10M
      send 10 MiB a second at most, to all who fetch together
  sprat peer --sync
      fetch by itself what others offer and share/ lacks
  sprat peer --sync --include 'photos/' --exclude '*.raw' --max-size 700M
      the same of this folder alone, without these, and nothing longer

With --sync, four files at a time come, the oldest news first. Nothing is overwritten: where a name
has other content, both are kept. What others delete stays here; what is deleted here does not
come again (.sprat/synced remembers it).

Put files into share/, folders included; others see them within seconds. Not offered: links,
names that begin with a dot, and what is still being written (*.part, *.crdownload, *.tmp,
*.lefting, *~). One peer runs in a folder; a newer one takes over from it.
There is no encryption: everyone on the network can fetch what is in share/.
sprat --help lists the options.
";

/// `sprat fetch --help`.
pub const FETCH_HELP: &str = "\
sprat fetch [OPTIONS] SHA1 NAME SIZE [IP ...] [OPTIONS]

  sprat fetch 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 animals/fox.txt 43
  sprat fetch 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 fox.txt 43 192.0.2.4 192.0.2.7:30000
  sprat fetch 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 fox.txt 43 '[fe80::1%eth0]:27183'

SHA1, NAME and SIZE are what d.json says. The file appears as share/NAME once all of it is here and
its SHA-1 is proven; until then its parts are in chunks/. Stop it at any moment: the same call goes
on from there. With no IP, or none that answers, sources are looked for on the network.
NAME is taken as it is, even if it looks like an option.
Where share/NAME is another file, that one is kept and the new one gets a name beside it.
sprat --help lists the options.
";

/// `sprat ls --help`.
pub const LS_HELP: &str = "\
sprat ls [OPTIONS] [PATTERN]

  sprat ls
      list all files that there are: size, how many hosts have them, name
  sprat ls '*.iso'
      those whose names end so; put a pattern in quotes, or the shell reads it
  sprat ls animals/
      all below this folder
  sprat ls --json '**/fox.txt'
      those in any folder, for programs

In a PATTERN * and ? stand for any characters of one part of a name, ** for any at all, folders
included, [a-z] for one of these. A SHA-1 does as well. Where a peer runs in the folder, its list is
shown; where none does, or with --peer, the network is looked over, which takes about a second.
Exit: 0 listed, be it nothing; 1 nothing fits the PATTERN.
sprat --help lists the options.
";

/// `sprat peers --help`.
pub const PEERS_HELP: &str = "\
sprat peers [OPTIONS]

  sprat peers
      list the hosts that are there: address, round trip, files, how they were reached
  sprat peers --peer 198.51.100.9
      also ask a host that broadcast does not reach
  sprat peers --json
      the same, and more of it, for programs

Everybody is asked by broadcast and multicast, IPv4 and IPv6, which takes about a second.
sprat --help lists the options.
";

/// `sprat info --help`.
pub const INFO_HELP: &str = "\
sprat info [OPTIONS] NAME|SHA1

  sprat info animals/fox.txt
      tell its SHA-1, its size, how it is cut into blocks, and who has it under which name
  sprat info 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12
      the same by its SHA-1
  sprat info --json '*.iso'
      of each that fits a pattern, for programs

Where a name means several contents, each is told.
Exit: 0 told, 1 nothing fits.
sprat --help lists the options.
";

/// `sprat doctor --help`.
pub const DOCTOR_HELP: &str = "\
sprat doctor [OPTIONS]

  sprat doctor
      look at the port, interfaces, firewalls, folders, the disk and more, ask who is there, and say
      one line a check what was found, and below it the command that mends it
  sprat --root /srv/files --port 30000 doctor
      the same for a peer of another folder, on another port
  sprat doctor --peer 198.51.100.9
      also find out about a host that broadcast does not reach
  sprat doctor --json
      for programs

It changes nothing, and works beside a running peer. Where hosts do not see each other, run it on
both. It takes two to eleven seconds: a host may take ten to announce itself by every way.
Exit: 0 nothing is wrong, 1 something is.
sprat --help lists the options.
";

/// `sprat loc --help`.
pub const LOC_HELP: &str = "\
sprat loc [OPTIONS] NAME|SHA1

  sprat loc film.mov
      tell who holds all of it, and who holds which blocks of it
  sprat loc --json 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12
      the same by its SHA-1, for programs

Everybody is asked. Hosts that are still fetching the file hold a part of it, and give that.
Exit: 0 told, 1 nothing fits, or nobody holds any of it.
sprat --help lists the options.
";

/// `sprat get --help`.
pub const GET_HELP: &str = "\
sprat get [OPTIONS] NAME|PATTERN|SHA1 ...

  sprat get film.mov
      look the network over, and fetch it from all who have it, into share/film.mov
  sprat get animals/ '*.iso' --jobs 4
      all below a folder, and all that fit a pattern, four at a time
  sprat get film.mov -o /media/stick/
      fetch it, and put it into this folder as well
  sprat get film.mov -o - | mpv -
      fetch it, and then write it to standard output

It is the same as sprat fetch: stop it at any moment, the same call goes on from there, and nothing
is overwritten. Where a name means several contents, you are asked which one is meant; without a
terminal that is exit 1, with their SHA-1s to choose from.

  --jobs N             so many at once (1)
  -o, --output WHERE   put the whole files there as well: under that name, into that folder, or with
                       - to standard output
  --force              with -o: replace what stands there

Exit: 0 all are there, 1 one cannot be had or nothing fits, 75 time is up (the same call goes on).
sprat --help lists the other options.
";

/// `sprat add --help`.
pub const ADD_HELP: &str = "\
sprat add [OPTIONS] FILE|DIR ...

  sprat add film.mov ~/photos
      put them into share/, as share/film.mov and share/photos/..., and tell SHA-1, size and name

A file gets a second name there (a hard link), or else a copy that shares its blocks (a reflink),
or else a copy; whole or not at all. With a hard link, what you change in the one is changed in the
other. Nothing is replaced. In a folder, what nobody would be offered is left out, and told.
Exit: 0 all are there, 1 some are not, 75 the disk is full.
sprat --help lists the options.
";

/// `sprat rm --help`.
pub const RM_HELP: &str = "\
sprat rm [OPTIONS] NAME ...

  sprat rm photos/2026/beach.jpg
      take share/photos/2026/beach.jpg out of share/

It is done where the same file has another name on this machine, or where another host shows that
it has the same content: some of it is fetched from there (all of it up to 16 MiB) and proven, and
not kept. Where nobody shows that, it stays, and you are told so.

  --force    delete it even then

Exit: 0 removed, 1 something stays, 75 something stays for now (no room to see who else has it).
sprat --help lists the other options.
";

/// `sprat tracker --help`.
pub const TRACKER_HELP: &str = "\
sprat tracker [OPTIONS]

  sprat tracker
      run here for ever: hosts that name this one with --tracker are told of each other
  sprat --port 30000 tracker
      the same on another port; they say --tracker HOST:30000

For networks where broadcast does not reach everybody: several subnets, VPNs, access points that
keep their clients apart. It needs no folder and no configuration, keeps nothing on disk, and
carries no file: hosts that were told of each other speak to each other. When it is gone, they
still do.
A tracker on a machine with a peer needs a port of its own.
sprat --help lists the options.
";

/// `sprat replay --help`.
pub const REPLAY_HELP: &str = "\
sprat replay [OPTIONS] FILE

  sprat replay slow.trace
      run the core over what was recorded with --trace, and compare what it does
  sprat replay --print --until 1.5 slow.trace
      tell what happened in the first one and a half seconds

There is no network, no disk and no waiting. Every output, deadline and state must be as recorded;
the first that is not is told, with what lies around it. docs/trace.md describes the file.

  --print[=json]   tell every input and what came of it, for people or for programs
  --step           wait for Enter after each input (a number: so many more; q: enough)
  --until N|TIME   stop after input N, or after so many seconds (1.5 or 2s)
  --against        for a changed program: outputs may differ, the end may not
  --rewrite OUT    write the trace anew, with what this program makes of it
  --expand         with --rewrite: give every input a line of its own
  -q, --quiet      say nothing where nothing is wrong

Exit: 0 as recorded, 1 something differs, 2 wrong arguments or no trace that can be read to its end,
3 the core panicked, or broke an invariant, where the recorded one did not.
";
