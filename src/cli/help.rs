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
  sprat replay FILE
      run the program's core again over what a run with --trace FILE has recorded

Options (each may stand in the environment instead, as SPRAT_ROOT, SPRAT_PORT and so on):
  --root DIR           the folder with share/, chunks/ and d.json (where you are)
  --bind ADDRESS       speak from this address of this machine only (all)
  --port N             peer: its own UDP port; fetch: the one where peers listen (27183)
  --peer HOST[:PORT]   speak to this host as well, where broadcast does not reach; repeatable
  --timeout SECONDS    fetch: give up after this long, with exit 75 (never)
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

  sprat peer --limit 10M
      send 10 MiB a second at most, to all who fetch together

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

/// `sprat replay --help`.
pub const REPLAY_HELP: &str = "\
sprat replay [OPTIONS] FILE

  sprat replay slow.trace
      run the core over what was recorded with --trace, and compare what it does
  sprat replay --print --until 1.5 slow.trace
      tell what happened in the first one and a half seconds

There is no network, no disk and no waiting. Every output, deadline and state must be as recorded; the
first that is not is told, with what lies around it. docs/trace.md describes the file.

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
