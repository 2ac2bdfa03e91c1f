//! What reads bytes of strangers, fed with a corpus and with what a seeded hand makes of it.
//!
//! Each file under `corpus/` is one input, and belongs to the reader that its folder is called after. Whatever an input
//! is, it is read or refused: without a panic, within a second, and what is read can be written and read again. An
//! input that ever broke this goes into the corpus.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "whatever is not as expected fails the test at once"
)]

#[path = "fuzz/hand.rs"]
mod hand;
#[path = "fuzz/readers.rs"]
mod readers;
#[path = "fuzz/wire.rs"]
mod wire;
