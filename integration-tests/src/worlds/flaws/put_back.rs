//! What is wrong with how a credential is put back that a server has forgotten.

use super::Flaw;
use crate::worlds::engine::NetworkHandle;
use crate::worlds::setting::Setting;

/// Which run a server says it is in.
pub(in crate::worlds) fn run(setting: &Setting, run: u32) -> u32 {
    if setting.has(Flaw::SecondRestartUnseen) { run.min(1) } else { run }
}

/// By which handle a credential is put back.
pub(in crate::worlds) fn put_back_as(
    setting: &Setting,
    mut handle: NetworkHandle,
) -> NetworkHandle {
    if setting.has(Flaw::PutBackLosesTheSecret) {
        handle.verifier.clear();
    }
    handle
}

/// Whether a put-back is only begun while somebody waits for it.
pub(in crate::worlds) fn puts_back_in_time(setting: &Setting) -> bool {
    !setting.has(Flaw::LatePutBackLands)
}
