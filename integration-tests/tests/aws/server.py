"""Stands in for AWS: moto, and before it a judge of what moto is not strict about.

moto checks signatures, keys that were deleted and policies. The judge adds what AWS does and moto does not: it knows
late what it was told (a user that is not found yet, a key that is not known yet), it is too busy, it has quotas, it
answers in pages, it deletes no user that still holds something, and it loses answers. `sessions.py` beside this has what
it knows of sessions. What the judge is to do is told to it with a POST of JSON to `/judge`; what was asked of AWS is
listed by a GET of the same.

The first line that is printed is JSON: the port, and the key of an administrator who may do everything.
"""

import io
import json
import os
import sys
import threading
import xml.etree.ElementTree as xml
from urllib.parse import parse_qs

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3
import sessions
from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import ActionAuthenticatorMixin
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

ADMINISTRATOR = "administrator"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
SPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
ERROR = (
    f'<ErrorResponse xmlns="{SPACE}"><Error><Type>Sender</Type>'
    "<Code>{code}</Code><Message>{message}</Message></Error><RequestId>judged</RequestId></ErrorResponse>"
)
# What moto has nothing for: what other services know a user by.
OF_SERVICES = (
    '<{action}Response xmlns="%s"><{action}Result>{result}</{action}Result></{action}Response>' % SPACE
)
OF_SERVICE = (
    "<UserName>{user}</UserName><ServiceName>codecommit.amazonaws.com</ServiceName><Status>Active</Status>"
    "<CreateDate>2026-01-01T00:00:00Z</CreateDate><ServiceUserName>{id}</ServiceUserName>"
    "<ServiceSpecificCredentialId>{id}</ServiceSpecificCredentialId>"
)


def reply(start_response, status, body):
    body = body.encode()
    start_response(
        f"{status} Judged", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))]
    )
    return [body]


def error(start_response, status, code, message):
    return reply(start_response, status, ERROR.format(code=code, message=message))


def sized(headers, answer):
    """Tells the length of an answer that was changed."""
    headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return headers + [("Content-Length", str(len(answer)))]


def holds_something(user):
    """What IAM wants removed before a user is."""
    user = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].users.get(user)
    return user is not None and any(
        getattr(user, name)
        for name in (
            "access_keys",
            "policies",
            "managed_policies",
            "mfa_devices",
            "ssh_public_keys",
            "signing_certificates",
            "password",
        )
    )


def page_of(answer, size, marker):
    """Cuts what moto lists whole into pages, as AWS does at a hundred or so."""
    xml.register_namespace("", SPACE)
    root = xml.fromstring(answer)
    result = root[0]
    for members in result.iter():
        if members is not result and len(members) and members[0].tag.endswith("member"):
            break
    else:
        return answer
    begin = int(marker or 0)
    for at, member in enumerate(list(members)):
        if not begin <= at < begin + size:
            members.remove(member)
    more = at >= begin + size
    space = root.tag.partition("}")[0] + "}"
    for name, text in (("IsTruncated", str(more).lower()), ("Marker", str(begin + size))):
        for old in result.findall(space + name):
            result.remove(old)
        if name != "Marker" or more:
            xml.SubElement(result, space + name).text = text
    return xml.tostring(root)


class Judge:
    """Decides what becomes of a request before, or in place of, moto."""

    def __init__(self, moto):
        self.moto = moto
        # moto is not made for several threads at once.
        self.one_by_one = threading.Lock()
        # How often a user that was created, and a key, is not known at first.
        self.stale = 0
        # Calls of an action that are refused for being too many.
        self.throttled = {}
        # Calls of an action that are done, but of which the answer is lost.
        self.lost = {}
        # Actions of which one call is held up until it is let go.
        self.held = {}
        # How many users there may be.
        self.users_max = None
        # How many there are on a page of a list.
        self.page = None
        self.users = set()
        self.of_services = {}
        self.unknown = {}
        self.asked = []

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/judge":
            return self.told(environ, start_response)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        environ["wsgi.input"] = io.BytesIO(body)
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action, user = fields.get("Action", ""), fields.get("UserName", "")
        if held := self.held.pop(action, None):
            held["reached"].set()
            held["let_go"].wait()
        with self.one_by_one:
            return self.judged(environ, start_response, fields)

    def judged(self, environ, start_response, fields):
        action, user = fields.get("Action", ""), fields.get("UserName", "")
        self.asked.append([action, fields])
        if self.counts_down(self.throttled, action):
            return error(start_response, 400, "Throttling", "Rate exceeded")
        if action == "CreateUser" and self.users_max is not None and len(self.users) >= self.users_max:
            message = f"Cannot exceed quota for UsersPerAccount: {self.users_max}"
            return error(start_response, 409, "LimitExceeded", message)
        if user and action != "CreateUser" and self.counts_down(self.unknown, user):
            message = f"The user with name {user} cannot be found."
            return error(start_response, 404, "NoSuchEntity", message)
        signed_by = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]
        if self.counts_down(self.unknown, signed_by):
            message = "The security token included in the request is invalid."
            return error(start_response, 403, "InvalidClientTokenId", message)

        if why := sessions.refused(fields, signed_by):
            return error(start_response, *why)
        if action == "DeleteUser" and (holds_something(user) or self.of_services.get(user)):
            message = "Cannot delete entity, must remove everything it holds first."
            return error(start_response, 409, "DeleteConflict", message)
        if "ServiceSpecificCredential" in action:
            return self.of_service(start_response, action, fields)

        status = []

        def start(line, headers, exc_info=None):
            status[:] = [int(line.split()[0]), line, headers]

        answer = b"".join(self.moto(environ, start))
        if status[0] == 200:
            self.note(action, user, answer, fields)
        elif b"<Errors>" in answer:
            # moto wraps some errors once more than AWS does.
            answer = answer.replace(b"<Errors>", b"").replace(b"</Errors>", b"")
            status[2] = sized(status[2], answer)
        if self.counts_down(self.lost, action):
            return error(start_response, 500, "ServiceFailure", "The answer was lost.")
        is_list = action.startswith("List") or action == "GetAccountAuthorizationDetails"
        if self.page and is_list and status[0] == 200:
            answer = page_of(answer, self.page, fields.get("Marker"))
            status[2] = sized(status[2], answer)
        start_response(status[1], status[2])
        return [answer]

    def of_service(self, start_response, action, fields):
        """Keeps what moto has nothing for."""
        user = fields["UserName"]
        ids = self.of_services.setdefault(user, [])
        result = ""
        if action.startswith("Create"):
            ids.append(f"ACCA{len(self.asked):016}")
            made = OF_SERVICE.format(user=user, id=ids[-1]) + "<ServicePassword>secret</ServicePassword>"
            result = f"<ServiceSpecificCredential>{made}</ServiceSpecificCredential>"
        elif action.startswith("List"):
            listed = "".join(f"<member>{OF_SERVICE.format(user=user, id=id)}</member>" for id in ids)
            result = f"<ServiceSpecificCredentials>{listed}</ServiceSpecificCredentials>"
        else:
            ids.remove(fields["ServiceSpecificCredentialId"])
        return reply(start_response, 200, OF_SERVICES.format(action=action, result=result))

    def note(self, action, user, answer, fields):
        """Remembers what was made, and what AWS would not know everywhere yet."""
        if action == "CreateUser":
            self.users.add(user)
            self.unknown[user] = self.stale
        elif action == "DeleteUser":
            self.users.discard(user)
        elif action == "CreateAccessKey":
            key = answer.decode().partition("<AccessKeyId>")[2].partition("<")[0]
            self.unknown[key] = self.stale
        elif action in ("AssumeRole", "GetFederationToken", "GetSessionToken"):
            sessions.note(fields, answer.decode().partition("<AccessKeyId>")[2].partition("<")[0])

    @staticmethod
    def counts_down(counts, name):
        left = counts.get(name, 0)
        if left > 0:
            counts[name] = left - 1
        return left > 0

    def told(self, environ, start_response):
        """Does what a test says."""
        answer = {"asked": self.asked}
        if environ["REQUEST_METHOD"] == "POST":
            said = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            for name in ("stale", "throttled", "lost", "users_max", "page"):
                if name in said:
                    setattr(self, name, said[name])
            sessions.later = said.get("later", sessions.later)
            if "forget" in said:
                # A user is unknown once more, as after a change of the machine that answers.
                self.unknown.update(said["forget"])
            if action := said.get("hold"):
                held = {"reached": threading.Event(), "let_go": threading.Event()}
                self.held[action] = held
                self.holding = held
            if said.get("until_held"):
                self.holding["reached"].wait()
            if said.get("let_go"):
                self.holding["let_go"].set()
            answer = {}
        body = json.dumps(answer).encode()
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        )
        return [body]


class Quiet(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *arguments):
        pass


def main():
    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, Judge(moto), threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.port}"
    iam = boto3.client(
        "iam",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="first",
        aws_secret_access_key="first",
    )
    iam.create_user(UserName=ADMINISTRATOR)
    iam.put_user_policy(
        UserName=ADMINISTRATOR, PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING)
    )
    key = iam.create_access_key(UserName=ADMINISTRATOR)["AccessKey"]
    # From now on whoever asks has to be somebody, and has to be allowed.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    ActionAuthenticatorMixin.request_count = 0
    started = {
        "port": server.port,
        "access_key": key["AccessKeyId"],
        "secret_key": key["SecretAccessKey"],
    }
    print(json.dumps(started), flush=True)
    # Ends with whoever started it.
    sys.stdin.read()


if __name__ == "__main__":
    main()
