"""What a user of hvac does, against a server that was started for it.

`integration-tests/tests/hvac.rs` runs this and says in the environment where everything is. Each flow is a function;
the name of one that went through is printed. What only the target can tell is asked of the test, in a line of JSON.
"""

import json
import os
import sys

import hvac
from hvac import exceptions

NEW_SERVER = os.environ["NEW_SERVER"]  # not initialized yet
SERVER = os.environ["SERVER"]
TOKEN = os.environ["TOKEN"]
CREATE = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"


def client(token=TOKEN):
    return hvac.Client(url=SERVER, token=token)


def can_log_in(credential):
    """Asks the test to log in at the target."""
    print(json.dumps({"log_in": credential["data"]}), flush=True)
    return json.loads(sys.stdin.readline())


def refused(error, words, call, *arguments, **named):
    """Checks that a call fails with this exception, and that it tells these words."""
    try:
        answer = call(*arguments, **named)
    except exceptions.VaultError as found:
        assert type(found) is error, f"{type(found)} instead of {error}: {found}"
        assert words in str(found), f"{words!r} is not in {found}"
    else:
        raise AssertionError(f"{words!r} was expected, and {answer!r} came")


def a_new_server_is_initialized_and_open():
    new = hvac.Client(url=NEW_SERVER)
    assert not new.sys.is_initialized()
    assert new.sys.read_health_status(method="GET").status_code == 501
    made = new.sys.initialize(secret_shares=1, secret_threshold=1)
    assert new.sys.is_initialized()
    assert not new.sys.is_sealed()
    assert new.sys.read_seal_status()["initialized"] is True
    assert new.sys.read_health_status(method="GET")["sealed"] is False
    refused(exceptions.InvalidRequest, "already initialized", new.sys.initialize, 1, 1)

    assert not new.is_authenticated()
    new.token = made["root_token"]
    assert new.is_authenticated()
    assert new.lookup_token()["data"]["policies"] == ["root"]


def a_mount_is_enabled_tuned_listed_and_disabled():
    sys_ = client().sys
    sys_.enable_secrets_engine("database", path="lent", description="what is lent")
    assert sys_.list_mounted_secrets_engines()["data"]["lent/"]["description"] == "what is lent"
    sys_.tune_mount_configuration("lent", default_lease_ttl="1h", max_lease_ttl="2h")
    tuned = sys_.read_mount_configuration("lent")["data"]
    assert (tuned["default_lease_ttl"], tuned["max_lease_ttl"]) == (3600, 7200)
    assert sys_.retrieve_mount_option("lent", "version", "none") == "none"
    in_use = "path is already in use at lent/"
    refused(exceptions.InvalidRequest, in_use, sys_.enable_secrets_engine, "database", path="lent")
    refused(exceptions.InvalidRequest, "plugin not found", sys_.enable_secrets_engine, "nope")
    sys_.disable_secrets_engine("lent")
    assert "lent/" not in sys_.list_mounted_secrets_engines()["data"]


def a_token_is_made_looked_up_renewed_and_revoked():
    tokens = client().auth.token
    made = tokens.create(policies=["root"], ttl="1h", display_name="app", meta={"team": "a"})["auth"]
    token, accessor = made["client_token"], made["accessor"]
    assert (made["lease_duration"], made["renewable"]) == (3600, True)
    for found in [tokens.lookup(token), tokens.lookup_accessor(accessor)]:
        assert found["data"]["display_name"] == "token-app"
        assert found["data"]["meta"] == {"team": "a"}
    assert accessor in tokens.list_accessors()["data"]["keys"]

    own = client(token).auth.token
    assert own.lookup_self()["data"]["id"] == token
    assert own.renew_self(increment="2h")["auth"]["lease_duration"] == 7200
    assert tokens.renew(token, increment="30m")["auth"]["lease_duration"] == 1800
    assert tokens.renew_accessor(accessor, increment="40m")["auth"]["lease_duration"] == 2400

    own.revoke_self()
    refused(exceptions.Forbidden, "permission denied", own.lookup_self)
    refused(exceptions.Forbidden, "bad token", tokens.lookup, token)
    assert not client(token).is_authenticated()


def a_token_ends_with_its_parent_unless_it_is_an_orphan():
    tokens = client().auth.token
    parent = tokens.create(policies=["root"])["auth"]["client_token"]
    child = client(parent).auth.token.create(policies=["root"])["auth"]
    orphan = client(parent).auth.token.create_orphan(policies=["root"])["auth"]
    assert tokens.lookup(orphan["client_token"])["data"]["orphan"] is True
    assert tokens.lookup(child["client_token"])["data"]["orphan"] is False
    tokens.revoke(parent)
    assert not client(child["client_token"]).is_authenticated()
    assert client(orphan["client_token"]).is_authenticated()

    grandchild = client(orphan["client_token"]).auth.token.create(policies=["root"])["auth"]
    tokens.revoke_and_orphan_children(orphan["client_token"])
    assert tokens.lookup(grandchild["client_token"])["data"]["orphan"] is True
    tokens.revoke_accessor(grandchild["accessor"])
    again = tokens.revoke_accessor(grandchild["accessor"])
    assert again["warnings"] == ["No token found with this accessor"]


def an_answer_is_wrapped_and_unwrapped_once():
    wrapped = client().auth.token.create(policies=["root"], ttl="1h", wrap_ttl="60s")["wrap_info"]
    assert wrapped["ttl"] == 60
    opened = client().sys.unwrap(wrapped["token"])
    assert client(opened["auth"]["client_token"]).is_authenticated()
    refused(exceptions.InvalidRequest, "is not valid", client().sys.unwrap, wrapped["token"])
    told = client().sys.wrap({"a": "b"}, ttl=60)["wrap_info"]["token"]
    assert hvac.Client(url=SERVER, token=told).sys.unwrap()["data"] == {"a": "b"}


def a_database_and_its_role_are_configured():
    client().sys.enable_secrets_engine("database")
    database = client().secrets.database
    database.configure(
        "pg",
        plugin_name="postgresql-database-plugin",
        allowed_roles=["app"],
        connection_url=os.environ["CONNECTION_URL"],
        username=os.environ["USERNAME"],
        password=os.environ["PASSWORD"],
    )
    shown = database.read_connection("pg")["data"]
    assert shown["allowed_roles"] == ["app"]
    assert os.environ["PASSWORD"] not in json.dumps(shown)
    assert database.list_connections()["data"]["keys"] == ["pg"]
    database.reset_connection("pg")

    refused(exceptions.InvalidPath, "", database.list_roles)
    database.create_role("app", "pg", [CREATE], default_ttl="1h", max_ttl="24h")
    role = database.read_role("app")["data"]
    assert (role["db_name"], role["default_ttl"], role["max_ttl"]) == ("pg", 3600, 86400)
    assert role["creation_statements"] == [CREATE]
    assert database.list_roles()["data"]["keys"] == ["app"]


def a_credential_works_until_its_lease_is_revoked():
    database, sys_ = client().secrets.database, client().sys
    credential = database.generate_credentials("app")
    lease_id = credential["lease_id"]
    assert (credential["lease_duration"], credential["renewable"]) == (3600, True)
    assert can_log_in(credential)

    assert sys_.read_lease(lease_id)["data"]["id"] == lease_id
    assert sys_.renew_lease(lease_id, increment=7200)["lease_duration"] == 7200
    assert lease_id.split("/")[-1] in sys_.list_leases("database/creds/app")["data"]["keys"]
    sys_.revoke_lease(lease_id)
    assert not can_log_in(credential)
    refused(exceptions.InvalidRequest, "invalid lease", sys_.read_lease, lease_id)
    refused(exceptions.InvalidRequest, "lease not found", sys_.renew_lease, lease_id)


def leases_end_by_prefix_and_with_their_token():
    sys_ = client().sys
    several = [client().secrets.database.generate_credentials("app") for _ in range(3)]
    sys_.revoke_prefix("database/creds/app")
    assert [can_log_in(credential) for credential in several] == [False] * 3
    refused(exceptions.InvalidPath, "", sys_.list_leases, "database/creds/app")

    several = [client().secrets.database.generate_credentials("app") for _ in range(2)]
    sys_.revoke_force("database/creds/app")
    assert [can_log_in(credential) for credential in several] == [False] * 2

    token = client().auth.token.create(policies=["root"])["auth"]["client_token"]
    credential = client(token).secrets.database.generate_credentials("app")
    assert can_log_in(credential)
    client(token).auth.token.revoke_self()
    assert not can_log_in(credential)


def a_user_logs_in_by_name_and_password():
    sys_ = client().sys
    sys_.enable_auth_method("userpass", path="people", description="people")
    assert sys_.list_auth_methods()["data"]["people/"]["type"] == "userpass"
    sys_.tune_auth_method("people", default_lease_ttl="1h", max_lease_ttl="2h")
    assert sys_.read_auth_method_tuning("people")["data"]["max_lease_ttl"] == 7200
    userpass = client().auth.userpass
    userpass.create_or_update_user("Ann", "secret", policies=["a"], mount_point="people")
    assert userpass.list_user(mount_point="people")["data"]["keys"] == ["ann"]
    assert userpass.read_user("ann", mount_point="people")["data"]["token_policies"] == ["a"]
    ann = hvac.Client(url=SERVER)
    made = ann.auth.userpass.login("ann", "secret", mount_point="people")["auth"]
    assert (made["policies"], made["lease_duration"]) == (["a", "default"], 3600)
    assert ann.is_authenticated()
    assert ann.lookup_token()["data"]["meta"] == {"username": "ann"}
    userpass.update_password_on_user("ann", "other", mount_point="people")
    login = hvac.Client(url=SERVER).auth.userpass.login
    wrong = "invalid username or password"
    refused(exceptions.InvalidRequest, wrong, login, "ann", "secret", mount_point="people")
    userpass.delete_user("ann", mount_point="people")
    refused(exceptions.InvalidRequest, wrong, login, "ann", "other", mount_point="people")
    sys_.disable_auth_method("people")
    assert not ann.is_authenticated()


def an_application_logs_in_by_role_and_secret_id():
    client().sys.enable_auth_method("approle")
    approle = client().auth.approle
    approle.create_or_update_approle(
        "app", token_policies=["a"], token_ttl="20m", secret_id_num_uses=1, secret_id_ttl="10m"
    )
    assert approle.list_roles()["data"]["keys"] == ["app"]
    role_id = approle.read_role_id("app")["data"]["role_id"]
    made = approle.generate_secret_id("app", metadata={"k": "v"})["data"]
    seen = approle.read_secret_id_accessor("app", made["secret_id_accessor"])["data"]
    assert (seen["secret_id_num_uses"], seen["metadata"]) == (1, {"k": "v"})
    application = hvac.Client(url=SERVER)
    login = application.auth.approle.login(role_id=role_id, secret_id=made["secret_id"])
    assert login["auth"]["metadata"] == {"k": "v", "role_name": "app"}
    assert application.is_authenticated()
    again = hvac.Client(url=SERVER).auth.approle.login
    wrong = "invalid role or secret ID"
    refused(exceptions.InvalidRequest, wrong, again, role_id, made["secret_id"])
    other = approle.create_custom_secret_id("app", "chosen-by-somebody")["data"]
    assert approle.list_secret_id_accessors("app")["data"]["keys"] == [other["secret_id_accessor"]]
    approle.destroy_secret_id_accessor("app", other["secret_id_accessor"])
    refused(exceptions.InvalidRequest, wrong, again, role_id, "chosen-by-somebody")
    approle.update_role_id("app", "chosen")
    assert approle.read_role_id("app")["data"]["role_id"] == "chosen"
    approle.delete_role("app")
    client().sys.disable_auth_method("approle")
    assert not application.is_authenticated()


def what_goes_wrong_is_told_by_hvacs_exceptions():
    database = client().secrets.database
    refused(exceptions.InvalidRequest, "unknown role: nope", database.generate_credentials, "nope")
    refused(exceptions.InvalidPath, "", database.read_role, "nope")
    refused(exceptions.InvalidPath, "", database.read_connection, "nope")
    assert client().read("nope/a") is None
    refused(exceptions.InvalidPath, "no handler for route", client().write, "nope/a", x="y")
    refused(
        exceptions.InvalidRequest,
        "cannot provide negative value",
        database.create_role,
        "bad",
        "pg",
        [CREATE],
        default_ttl=-1,
    )
    for token in ["wrong", ""]:
        refused(
            exceptions.Forbidden,
            "permission denied",
            client(token).secrets.database.generate_credentials,
            "app",
        )
    unsupported = hvac.Client(url=SERVER, token=TOKEN, namespace="team")
    refused(exceptions.InvalidRequest, "namespaces are not supported", unsupported.read, "sys/mounts")


def a_role_and_a_database_are_taken_away():
    database = client().secrets.database
    database.delete_role("app")
    refused(exceptions.InvalidPath, "", database.read_role, "app")
    database.delete_connection("pg")
    client().sys.disable_secrets_engine("database")


FLOWS = [
    a_new_server_is_initialized_and_open,
    a_mount_is_enabled_tuned_listed_and_disabled,
    a_token_is_made_looked_up_renewed_and_revoked,
    a_token_ends_with_its_parent_unless_it_is_an_orphan,
    an_answer_is_wrapped_and_unwrapped_once,
    a_database_and_its_role_are_configured,
    a_credential_works_until_its_lease_is_revoked,
    leases_end_by_prefix_and_with_their_token,
    a_user_logs_in_by_name_and_password,
    an_application_logs_in_by_role_and_secret_id,
    what_goes_wrong_is_told_by_hvacs_exceptions,
    a_role_and_a_database_are_taken_away,
]

for flow in FLOWS:
    flow()
    print(json.dumps({"went_through": flow.__name__}), flush=True)
print(json.dumps({"flows": len(FLOWS)}), flush=True)
