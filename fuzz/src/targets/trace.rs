//! A trace from anywhere: it is read, or refused with a sentence, and what strangers can have said of it is handed
//! to a core. (Inputs of the core's own driver are believed by the core, so forged ones are read and shown only.)

use sprat::node::Input;
use sprat::trace::{Event, Printer, Reader, Record, Replay, Rigour};

/// Steps that are played: a line of a few bytes can stand for thousands of them.
const STEPS_MAX: usize = 4_096;

pub(crate) fn run(bytes: &[u8]) {
    let (header, mut reader) = match Reader::new(bytes) {
        Ok(opened) => opened,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut printers = [Printer::new(true), Printer::new(false)];
    for printer in &printers {
        is_lines(&printer.header(&header));
    }
    let mut replay = Replay::new(&header, Rigour::Against);
    for _ in 0..STEPS_MAX {
        match reader.next_record() {
            Ok(None) => break,
            Err(error) => return assert!(!error.to_string().is_empty()),
            Ok(Some(Record::Step(step))) => {
                printers.iter().for_each(|printer| is_lines(&printer.input(&step)));
                if !comes_from_outside(&step.event) {
                    continue;
                }
                // Time that goes back is a difference.
                let Ok(played) = replay.step(&step, None) else { break };
                for printer in &mut printers {
                    is_lines(&printer.step(&step, &played, replay.node()));
                }
            }
            Ok(Some(Record::Checkpoint(checkpoint))) => {
                let _ = replay.checkpoint(&checkpoint);
                printers.iter().for_each(|printer| is_lines(&printer.checkpoint(&checkpoint)));
            }
            Ok(Some(Record::End(end))) => {
                let _ = replay.end(&end);
                printers.iter_mut().for_each(|it| is_lines(&it.end(&end, replay.node())));
            }
            // What a snapshot says is believed: only whether it can be read is seen.
            Ok(Some(Record::Snapshot { state, .. })) => {
                let _ = sprat::node::Node::restore(state.get());
            }
        }
    }
    replay.node().check_invariants();
}

fn comes_from_outside(event: &Event) -> bool {
    match event {
        Event::Datagram { .. } | Event::Wake { .. } => true,
        Event::Input(input) => matches!(
            input,
            Input::Writable
                | Input::SocketBuffer { .. }
                | Input::Interfaces { .. }
                | Input::Named { .. }
                | Input::FileSeen { .. }
                | Input::FileGone { .. }
                | Input::Command(_)
        ),
    }
}

/// Nothing of it drives a terminal.
fn is_lines(text: &str) {
    assert!(text.is_empty() || text.ends_with('\n'));
    assert!(text.chars().all(|each| each == '\n' || !each.is_control()), "{text:?}");
}
