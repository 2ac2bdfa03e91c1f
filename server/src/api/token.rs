//! `auth/token/`: the callers' own tokens.

pub(super) mod create;
pub(super) mod lookup_self;
pub(super) mod renew_self;
pub(super) mod revoke_self;
pub(super) mod shown;
