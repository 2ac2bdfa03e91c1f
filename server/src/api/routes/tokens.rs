//! The route tables of tokens, and of what they keep for themselves.

use super::tables::ALL;
use super::{Route, Tail, at};
use crate::api::{cubbyhole, token};

pub(super) const TOKEN: [Route; 17] = [
    at("auth/token/create", Tail::End, "Makes a token that ends with the caller's.")
        .update(|call| Box::pin(token::create::update(call))),
    at("auth/token/create/", Tail::Name, "Makes a token by a token role.")
        .update(|call| Box::pin(token::create::update_by_role(call))),
    at("auth/token/roles", Tail::End, "Lists the token roles.")
        .list(|call| Box::pin(token::roles::list(call))),
    at("auth/token/roles/", Tail::Name, "Writes, shows or deletes a token role.")
        .read(|call| Box::pin(token::roles::read(call)))
        .update(|call| Box::pin(token::roles::write(call)))
        .delete(|call| Box::pin(token::roles::delete(call))),
    at("auth/token/create-orphan", Tail::End, "Makes a token that does not end with the caller's.")
        .sudo(ALL)
        .update(|call| Box::pin(token::create::update_orphan(call))),
    at("auth/token/accessors", Tail::End, "Lists the accessors of all tokens.")
        .sudo(ALL)
        .list(|call| Box::pin(token::accessors::list(call))),
    at("auth/token/lookup", Tail::End, "Shows the token in `token`, or the caller's own.")
        .read(|call| Box::pin(token::lookup::by_its_text(call)))
        .update(|call| Box::pin(token::lookup::by_its_text(call))),
    at("auth/token/lookup-accessor", Tail::End, "Shows the token with the accessor in `accessor`.")
        .update(|call| Box::pin(token::lookup::by_its_accessor(call))),
    at("auth/token/lookup-self", Tail::End, "Shows the caller's own token.")
        .own()
        .read(|call| Box::pin(token::lookup::own(call)))
        .update(|call| Box::pin(token::lookup::own(call))),
    at(
        "auth/token/renew",
        Tail::End,
        "Starts the term of the token in `token` again, by `increment` if that is given.",
    )
    .update(|call| Box::pin(token::renew::by_its_text(call))),
    at(
        "auth/token/renew-accessor",
        Tail::End,
        "Starts the term of the token with the accessor in `accessor` again.",
    )
    .update(|call| Box::pin(token::renew::by_its_accessor(call))),
    at("auth/token/renew-self", Tail::End, "Starts the term of the caller's own token again.")
        .own()
        .update(|call| Box::pin(token::renew::own(call))),
    at(
        "auth/token/revoke",
        Tail::End,
        "Ends the token in `token` with all that it made and was lent.",
    )
    .update(|call| Box::pin(token::revoke::by_its_text(call))),
    at(
        "auth/token/revoke-accessor",
        Tail::End,
        "Ends the token with the accessor in `accessor` with all that it made and was lent.",
    )
    .update(|call| Box::pin(token::revoke::by_its_accessor(call))),
    at(
        "auth/token/revoke-orphan",
        Tail::End,
        "Ends the token in `token`; the tokens that it made live on.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(token::revoke::but_not_its_children(call))),
    at(
        "auth/token/revoke-self",
        Tail::End,
        "Ends the caller's own token with all that it made and was lent.",
    )
    .own()
    .update(|call| Box::pin(token::revoke::own(call))),
    at("auth/token/tidy", Tail::End, "Looks at once at what is looked at by itself now and then.")
        .update(|call| Box::pin(token::tidy::update(call))),
];

pub(super) const CUBBYHOLE: [Route; 2] = [
    at("cubbyhole", Tail::End, "Lists what the caller's token keeps for itself.")
        .list(|call| Box::pin(cubbyhole::list(call))),
    at("cubbyhole/", Tail::Leaf, "Keeps something for the caller's token alone, until it ends.")
        .read(|call| Box::pin(cubbyhole::read(call)))
        .list(|call| Box::pin(cubbyhole::list(call)))
        .update(|call| Box::pin(cubbyhole::write(call)))
        .delete(|call| Box::pin(cubbyhole::delete(call))),
];
