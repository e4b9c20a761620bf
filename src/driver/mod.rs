//! The only code that meets the operating system: every system call, no decision.

pub mod background;
pub mod block_buffers;
pub mod chunk_store;
pub mod clock;
pub mod directory_file;
pub mod event_loop;
pub mod executor;
mod file_hash;
pub mod folder_events;
pub mod hash_cache;
pub mod hash_jobs;
pub mod interfaces;
pub mod lines;
mod local_addresses;
pub mod partial_watcher;
pub mod progress;
pub mod publish;
pub mod receive_batch;
pub mod root_lock;
pub mod run;
pub mod serving;
pub mod share_folder;
pub mod share_search;
pub mod share_watcher;
pub mod signals;
pub mod turn_statistics;
pub mod udp_socket;
