//! What a session may do at most: what its role says, and what the groups may that its role names. A session is in no group,
//! so that what these may is written into it, as Vault does.

use super::Aws;
use super::client::{call, page};
use super::failure::Failure;
use super::role::Role;
use crate::deadline::Deadline;
use crate::percent;
use aws_sdk_iam::Client;
use serde_json::{Map, Value, json};

/// The policies that a session is told.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// Those written out, all in one; `None` if there are none.
    pub(super) document: Option<String>,
    /// Those that AWS keeps.
    pub(super) arns: Vec<String>,
}

/// Returns what a session of a role may do.
pub(super) async fn of(target: &Aws, role: &Role, deadline: Deadline) -> Result<Policies, Failure> {
    let mut documents: Vec<_> = role.policy_document().map(str::to_owned).into_iter().collect();
    let mut arns = role.policy_arns().to_vec();
    for group in role.groups() {
        of_group(&target.clients.iam, group, deadline, (&mut documents, &mut arns)).await?;
    }
    arns.sort();
    arns.dedup();
    let document = match documents.as_slice() {
        [] | [_] => documents.pop(),
        several => Some(together(several)?),
    };
    Ok(Policies { document, arns })
}

async fn of_group(
    iam: &Client,
    group: &str,
    deadline: Deadline,
    (documents, arns): (&mut Vec<String>, &mut Vec<String>),
) -> Result<(), Failure> {
    let mut pages = iam.list_group_policies().group_name(group).into_paginator().send();
    while let Some(page) = page(deadline, pages.next()).await {
        let page = page?;
        for name in page.policy_names() {
            let asked = iam.get_group_policy().group_name(group).policy_name(name).send();
            documents.push(decoded(call(deadline, asked).await?.policy_document()));
        }
    }
    let mut pages = iam.list_attached_group_policies().group_name(group).into_paginator().send();
    while let Some(page) = page(deadline, pages.next()).await {
        let page = page?;
        arns.extend(page.attached_policies().iter().filter_map(|one| one.policy_arn.clone()));
    }
    Ok(())
}

/// Returns a document as it was written: IAM tells it with whatever is no letter as `%XX`. One that cannot have been told so
/// is taken as it is.
pub(super) fn decoded(told: &str) -> String {
    percent::decoded(told).unwrap_or_else(|_| told.to_owned())
}

/// Makes one policy of several.
fn together(documents: &[String]) -> Result<String, Failure> {
    let mut statements = Vec::new();
    for document in documents {
        let document: Map<String, Value> = serde_json::from_str(document)
            .map_err(|_| Failure::Odd("a group's policy is not JSON"))?;
        match document.get("Statement") {
            Some(Value::Array(several)) => statements.extend(several.iter().cloned()),
            Some(one) => statements.push(one.clone()),
            None => {}
        }
    }
    Ok(json!({ "Version": "2012-10-17", "Statement": statements }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written() {
        assert_eq!(decoded("%7B%22a%22%3A1%7D"), r#"{"a":1}"#);
        for plain in ["{\"a\": \"100%\"}", "%", "%z1", "%4"] {
            assert_eq!(decoded(plain), plain);
        }
    }

    #[test]
    fn several_policies_become_one() {
        let several = [r#"{"Statement":[1,2]}"#, r#"{"Statement":3}"#].map(str::to_owned);
        let one = together(&several).unwrap();
        assert_eq!(one, r#"{"Statement":[1,2,3],"Version":"2012-10-17"}"#);
        assert!(together(&["{".to_owned(), "{}".to_owned()]).is_err());
    }
}
