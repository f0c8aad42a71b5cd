"""Measures what listing a bucket costs: seconds, CPU seconds and peak memory of the client, for N keys.

    python benchmarks/bucket_listing.py [--keys 100000]

The bucket is one of moto's server of S3 in another process on loopback, filled directly in its memory; most of the
seconds are that server's, so compare the client's CPU seconds. The same listing is scanned from a Parquet inventory.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seglib.data.photo_root import parse_root, scan_photos

SERVER = """
import sys, time
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
endpoint = "http://{}:{}".format(*server.get_host_and_port())
keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
client = boto3.client("s3", endpoint_url=endpoint, **keys)
client.create_bucket(Bucket="photos")
from moto.s3.models import s3_backends
backend = next(iter(s3_backends.values()))["aws"]
for number in range(int(sys.argv[1])):
    backend.put_object("photos", f"set/{('cats', 'dogs')[number % 2]}/photo.{number:08}.jpg", b"%d" % number)
print(endpoint, flush=True)
time.sleep(3600)
"""

ADDRESS = "s3://photos/set"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=100_000)
    arguments = parser.parse_args()
    command = [sys.executable, "-c", SERVER, str(arguments.keys)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        endpoint = server.stdout.readline().strip()
        os.environ.update(
            AWS_ENDPOINT_URL=endpoint,
            AWS_ALLOW_HTTP="true",
            AWS_ACCESS_KEY_ID="x",
            AWS_SECRET_ACCESS_KEY="x",
            AWS_REGION="us-east-1",
        )
        print("| keys | from | s | CPU s | peak MB |\n|---|---|---|---|---|")
        records = measure("the bucket", None, arguments.keys)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "listing.parquet"
            keys = "set/" + records["path"]
            pq.write_table(pa.table({"key": keys, "size": records["bytes"], "etag": records["etag"]}), file)
            measure("an inventory", file, arguments.keys)
    finally:
        server.kill()


def measure(source: str, listing: Path | None, keys: int):
    started, cpu = time.perf_counter(), time.process_time()
    records = scan_photos(parse_root(ADDRESS), listing=listing).records
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert len(records) == keys
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {keys:,} | {source} | {seconds:.1f} | {cpu:.2f} | {peak:,.0f} |", flush=True)
    return records


if __name__ == "__main__":
    main()
