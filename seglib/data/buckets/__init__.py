"""Photos on object storage (S3, Google Cloud Storage, Azure), below an address such as `s3://bucket/prefix`.

`address` parses addresses, `listing` and `scan` list photos, `reading` reads them. All of it is done by obstore, an
extra, which takes credentials from the environment only: no address holds any, and nothing that is stored, logged or
pickled does.
"""
