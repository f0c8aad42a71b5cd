"""Buckets of a server of S3 on loopback, with real requests and answers."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

SECRET = "planted-secret-value"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


class Server:
    """A server with one bucket, `photos`."""

    def __init__(self, client, endpoint: str) -> None:
        self.client, self.endpoint = client, endpoint

    @property
    def environment(self) -> dict[str, str]:
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": self.endpoint}

    def put(self, key: str, data: bytes, **more) -> None:
        self.client.put_object(Bucket="photos", Key=key, Body=data, **more)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="photos", Key=key)

    def upload(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def clear(self) -> None:
        for found in self.client.list_objects_v2(Bucket="photos").get("Contents", []):
            self.delete(found["Key"])


@contextlib.contextmanager
def serve_bucket() -> Iterator[Server]:
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "AKIAPLANTED", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **keys)
        client.create_bucket(Bucket="photos")
        yield Server(client, endpoint)
        client.close()
    finally:
        server.stop()
