//! The route table of mass revocations.

use super::tables::ALL;
use super::{Route, Tail, at};
use crate::api::sys::revocations;

pub(super) const REVOCATIONS: [Route; 5] = [
    at(
        "sys/revocations",
        Tail::End,
        "Begins the revocation of all leases under a `prefix` or at a `target`, and lists those there are.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(revocations::begin(call)))
    .list(|call| Box::pin(revocations::list(call))),
    at(
        "sys/revocations/plan",
        Tail::End,
        "Shows what a revocation would take, and what that is in use for right now. Changes nothing.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(revocations::plan::plan(call))),
    at(
        "sys/revocations/",
        Tail::NameBefore("/pause"),
        "Pauses a mass revocation: nothing further is marked until it is resumed.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(revocations::pause(call))),
    at("sys/revocations/", Tail::NameBefore("/resume"), "Lets a mass revocation go on.")
        .sudo(ALL)
        .update(|call| Box::pin(revocations::resume(call))),
    at("sys/revocations/", Tail::Name, "Shows how far a mass revocation is.")
        .sudo(ALL)
        .read(|call| Box::pin(revocations::read(call))),
];
