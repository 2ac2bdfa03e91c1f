"""Asks AWS, with boto3, who has a key, as any client does: an address, the key and its secret are the arguments, and the
token if it is the key of a session.

Prints one line of JSON: the `user`, or the `error` by its code.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

address, key, secret, *token = sys.argv[1:]
sts = boto3.client(
    "sts",
    endpoint_url=address,
    region_name="us-east-1",
    aws_access_key_id=key,
    aws_secret_access_key=secret,
    aws_session_token=token[0] if token else None,
)
try:
    said = {"user": sts.get_caller_identity()["Arn"].rpartition("/")[2]}
except ClientError as error:
    said = {"error": error.response["Error"]["Code"]}
print(json.dumps(said))
