//! The route table of entities, aliases and groups.

use super::{Route, Tail, at};
use crate::api::identity::{aliases, entities, groups, lists, lookup};

pub(super) const IDENTITY: [Route; 20] = [
    at("identity/entity", Tail::End, "Makes an entity, or changes the one that is named.")
        .update(|call| Box::pin(entities::write(call))),
    at("identity/entity/id", Tail::End, "Lists the entities.")
        .list(|call| Box::pin(lists::entities(call))),
    at("identity/entity/id/", Tail::Name, "Shows, changes or deletes an entity.")
        .read(|call| Box::pin(entities::read_by_id(call)))
        .update(|call| Box::pin(entities::write_by_id(call)))
        .delete(|call| Box::pin(entities::delete_by_id(call))),
    at("identity/entity/name", Tail::End, "Lists the entities by name.")
        .list(|call| Box::pin(lists::entity_names(call))),
    at(
        "identity/entity/name/",
        Tail::Leaf,
        "Makes, shows, changes or deletes an entity by its name.",
    )
    .names_plainly()
    .read(|call| Box::pin(entities::read_by_name(call)))
    .update(|call| Box::pin(entities::write_by_name(call)))
    .delete(|call| Box::pin(entities::delete_by_name(call))),
    at("identity/entity/batch-delete", Tail::End, "Deletes the entities in `entity_ids`.")
        .update(|call| Box::pin(entities::delete_many(call))),
    at("identity/entity/merge", Tail::End, "Merges entities into one.")
        .update(|call| Box::pin(entities::merge(call))),
    at("identity/entity-alias", Tail::End, "Says where an entity logs in, and under which name.")
        .update(|call| Box::pin(aliases::write(call))),
    at("identity/entity-alias/id", Tail::End, "Lists the aliases of entities.")
        .list(|call| Box::pin(lists::entity_aliases(call))),
    at(
        "identity/entity-alias/id/",
        Tail::Name,
        "Shows, changes or deletes the alias of an entity.",
    )
    .read(|call| Box::pin(aliases::read(call)))
    .update(|call| Box::pin(aliases::write_by_id(call)))
    .delete(|call| Box::pin(aliases::delete(call))),
    at("identity/group", Tail::End, "Makes a group, or changes the one that is named.")
        .update(|call| Box::pin(groups::write(call))),
    at("identity/group/id", Tail::End, "Lists the groups.")
        .list(|call| Box::pin(lists::groups(call))),
    at("identity/group/id/", Tail::Name, "Shows, changes or deletes a group.")
        .read(|call| Box::pin(groups::read_by_id(call)))
        .update(|call| Box::pin(groups::write_by_id(call)))
        .delete(|call| Box::pin(groups::delete_by_id(call))),
    at("identity/group/name", Tail::End, "Lists the groups by name.")
        .list(|call| Box::pin(lists::group_names(call))),
    at("identity/group/name/", Tail::Leaf, "Makes, shows, changes or deletes a group by its name.")
        .names_plainly()
        .read(|call| Box::pin(groups::read_by_name(call)))
        .update(|call| Box::pin(groups::write_by_name(call)))
        .delete(|call| Box::pin(groups::delete_by_name(call))),
    at("identity/group-alias", Tail::End, "Says what a method calls an external group.")
        .update(|call| Box::pin(aliases::write_group(call))),
    at("identity/group-alias/id", Tail::End, "Lists the aliases of groups.")
        .list(|call| Box::pin(lists::group_aliases(call))),
    at("identity/group-alias/id/", Tail::Name, "Shows, changes or deletes the alias of a group.")
        .read(|call| Box::pin(aliases::read_group(call)))
        .update(|call| Box::pin(aliases::write_group_by_id(call)))
        .delete(|call| Box::pin(aliases::delete_group(call))),
    at("identity/lookup/entity", Tail::End, "Finds an entity by its id, its name, or an alias.")
        .update(|call| Box::pin(lookup::entity(call))),
    at("identity/lookup/group", Tail::End, "Finds a group by its id, its name, or its alias.")
        .update(|call| Box::pin(lookup::group(call))),
];
