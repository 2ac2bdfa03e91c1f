"""What AWS knows of sessions, and moto does not.

A session ends. It may do what its role or its user may, as far as the policy allows that it was made with. The
conditions of a role's own policies are looked at for each of its sessions. Who may make one is said by the role: by
whom, with which external id, and whether with tags and with a source identity.
"""

import datetime
import json
import time
from fnmatch import fnmatchcase

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.iam import access_control
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from moto.sts.responses import TokenResponse

SHORTEST = 900
LONGEST = {"GetFederationToken": 129600, "GetSessionToken": 129600}
# Over all policies that are written into a role.
POLICY_CHARACTERS = 10240

# How much later it is than the clock says.
later = 0
# By the id of their key.
sessions = {}


def iam():
    return iam_backends[DEFAULT_ACCOUNT_ID]["aws"]


def now():
    return time.time() + later


class Session:
    """What was made, and with what."""

    def __init__(self, fields, role):
        self.issued_at = now()
        self.ends_at = self.issued_at + int(fields.get("DurationSeconds", 3600))
        self.name = fields.get("RoleSessionName") or fields.get("Name", "")
        self.role = role
        self.source_identity = fields.get("SourceIdentity")
        self.policies = [fields["Policy"]] if "Policy" in fields else []
        arns = [value for name, value in sorted(fields.items()) if name.startswith("PolicyArns.")]
        self.policies += [iam().get_policy(arn) for arn in arns]
        # One of a user that was made without a policy may do nothing at all.
        self.bounded = bool(self.policies) or fields["Action"] == "GetFederationToken"

    def context(self):
        issued = datetime.datetime.fromtimestamp(self.issued_at, datetime.timezone.utc)
        user_id = f"{self.role.id}:{self.name}" if self.role else self.name
        return {"aws:userid": user_id, "aws:TokenIssueTime": issued.strftime("%Y-%m-%dT%H:%M:%SZ")}


class OfUser:
    """A session of a user, kept where moto keeps those of roles."""

    def __init__(self, user, name):
        key = iam().create_temp_access_key()
        self.access_key_id, self.secret_access_key = key.access_key_id, key.secret_access_key
        self.session_token = f"token-of-{key.access_key_id}"
        self.account_id, self.session_name, self.role_arn = DEFAULT_ACCOUNT_ID, name, f"user/{user.name}"
        self.user_name, self.user_id = user.name, user.id
        federated = f"arn:aws:sts::{DEFAULT_ACCOUNT_ID}:federated-user/{name}"
        self.arn = federated if name else user.arn


def values(value):
    return value if isinstance(value, list) else [value]


def holds(conditions, context):
    """Whether all conditions of a statement are met."""
    tests = {
        "StringLike": fnmatchcase,
        "StringEquals": str.__eq__,
        "DateLessThan": str.__lt__,
    }
    return all(
        any(tests[test](context.get(key, ""), wanted) for wanted in values(wanted))
        for test, keys in conditions.items()
        for key, wanted in keys.items()
    )


def in_context(policy, context):
    """A policy written into a role, with the statements whose conditions are met."""
    if not isinstance(policy, str):
        return policy
    policy = json.loads(policy)
    kept = [one for one in values(policy["Statement"]) if holds(one.get("Condition", {}), context)]
    policy["Statement"] = [{**one, "Condition": {}} for one in kept]
    return json.dumps(policy)


def trusts(role, action, fields):
    """Whether a role lets itself be assumed so."""
    context = {"sts:ExternalId": fields.get("ExternalId", "")}
    statements = values(json.loads(role.assume_role_policy_document)["Statement"])
    return any(
        one["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in values(one["Action"]))
        and holds(one.get("Condition", {}), context)
        for one in statements
    )


def role_of(fields):
    name = fields["RoleArn"].rpartition("/")[2]
    return next((role for role in iam().roles.values() if role.name == name), None)


def refused(fields, signed_by):
    """Says what is wrong with a call, by status, code and message; None if nothing is."""
    action = fields.get("Action", "")
    if signed_by in sessions and sessions[signed_by].ends_at <= now():
        return 403, "ExpiredToken", "The security token included in the request is expired"
    if action in ("AssumeRole", *LONGEST):
        return refused_session(action, fields, signed_by)
    if action == "PutRolePolicy":
        role = next((one for one in iam().roles.values() if one.name == fields["RoleName"]), None)
        if role is None:
            return 404, "NoSuchEntity", f"The role with name {fields['RoleName']} cannot be found."
        kept = {**role.policies, fields["PolicyName"]: fields["PolicyDocument"]}
        if sum(len("".join(text.split())) for text in kept.values()) > POLICY_CHARACTERS:
            message = f"Maximum policy size of {POLICY_CHARACTERS} bytes exceeded for role {role.name}"
            return 409, "LimitExceeded", message
    return None


def refused_session(action, fields, signed_by):
    seconds = int(fields.get("DurationSeconds", 3600))
    role = role_of(fields) if action == "AssumeRole" else None
    name = fields.get("RoleSessionName", fields.get("Name", "ab"))
    longest = role.max_session_duration if role else LONGEST.get(action, 43200)
    if not 2 <= len(name) <= (64 if action == "AssumeRole" else 32):
        return 400, "ValidationError", f"the name {name} is of the wrong length"
    if not SHORTEST <= seconds <= int(longest):
        return 400, "ValidationError", f"The requested DurationSeconds {seconds} is out of bounds"
    if action != "AssumeRole":
        if signed_by in sessions:
            return 403, "AccessDenied", f"Cannot call {action} with session credentials"
        return None
    wanted = ["sts:AssumeRole"]
    wanted += ["sts:SetSourceIdentity"] if "SourceIdentity" in fields else []
    wanted += ["sts:TagSession"] if any(name.startswith("Tags.") for name in fields) else []
    for one in wanted:
        if role is None or not trusts(role, one, fields):
            message = f"User is not authorized to perform: {one} on resource: {fields['RoleArn']}"
            return 403, "AccessDenied", message
    return None


def note(fields, key):
    """Remembers a session that was made."""
    role = role_of(fields) if fields["Action"] == "AssumeRole" else None
    sessions[key] = Session(fields, role)


def made_for_user(response):
    """Answers `GetFederationToken` and `GetSessionToken` with a key that is one."""
    user = iam().get_user_from_access_key_id(response.get_access_key())
    session = OfUser(user, response._get_param("Name"))
    sts_backends[DEFAULT_ACCOUNT_ID]["aws"].assumed_roles.append(session)
    seconds = int(response._get_param("DurationSeconds", 43200))
    credentials = {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "SessionToken": session.session_token,
        "Expiration": datetime.datetime.fromtimestamp(now() + seconds, datetime.timezone.utc),
    }
    user = {"FederatedUserId": session.user_id, "Arn": session.arn}
    return ActionResult({"Credentials": credentials, "FederatedUser": user})


def policies_of(key):
    """What the role of a session, or its user, may."""
    made = sts_backends[key.account_id][key.partition].assumed_roles
    of_user = next(
        (one for one in made if one.access_key_id == key._access_key_id and isinstance(one, OfUser)), None
    )
    if of_user:
        user = access_control.IAMUserAccessKey.__new__(access_control.IAMUserAccessKey)
        user.account_id, user.partition = key.account_id, key.partition
        user._owner_user_name = of_user.user_name
        return user.collect_policies()
    context = sessions[key._access_key_id].context()
    return [in_context(policy, context) for policy in of_role(key)]


def may(request, resource):
    """Looks at which role a policy is to be written into, and at the policy that a session was made with."""
    if request._action in ("iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"):
        resource = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{''.join(request._data['RoleName'])}"
    permitted(request, resource)
    session = sessions.get(request._access_key._access_key_id)
    if session and session.bounded and request._action != "sts:GetCallerIdentity":
        results = [
            access_control.IAMPolicy(policy).is_action_permitted(request._action, resource)
            for policy in session.policies
        ]
        if access_control.PermissionResult.PERMITTED not in results:
            request._raise_access_denied()


of_role = access_control.AssumedRoleAccessKey.collect_policies
permitted = access_control.IAMRequestBase.check_action_permitted
access_control.AssumedRoleAccessKey.collect_policies = policies_of
access_control.IAMRequestBase.check_action_permitted = may
TokenResponse.get_federation_token = made_for_user
TokenResponse.get_session_token = made_for_user
