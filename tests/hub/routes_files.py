"""Answers of a local Hub about contents: preupload, LFS batch and PUT, atomic commits, and reading by range."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.hub.objects import git_hash
from tests.hub.routing import Call, route
from tests.hub.store import MAIN, Refused

LFS_ENDINGS = (".parquet", ".arrow", ".png", ".jpg", ".safetensors", ".bin", ".gz", ".zst", ".zip", ".sqlite", ".npy")
LFS_FROM = 10 * 1024 * 1024
"""Bytes from which a file of any name is a large one."""
SECRET = b"addresses that this server signed"


@route("POST", "/api/{kind}/{name}/preupload/{revision}")
def preupload(call: Call) -> Response:
    repo = call.repo
    _may_push(call)
    tree = call.store.tree(repo, call.slots["revision"])
    told = []
    for file in call.json["files"]:
        lfs = (
            file["path"].endswith(LFS_ENDINGS) or file["size"] >= LFS_FROM or b"\0" in base64.b64decode(file["sample"])
        )
        here = tree.get(file["path"])
        entry = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        if here is not None and bool(here["lfs"]) == lfs:
            entry["oid"] = here["lfs"] or here["oid"]
        told.append(entry)
    return JSONResponse({"files": told})


@route("POST", "/{kind}/{name}.git/info/lfs/objects/batch")
def lfs_batch(call: Call) -> Response:
    call.repo  # noqa: B018 - must be seen
    call.who.must_propose()
    told: list[dict[str, Any]] = []
    for wish in call.json["objects"]:
        entry = {"oid": wish["oid"], "size": wish["size"]}
        if call.store.objects.lfs_entry(wish["oid"]) is None:
            href = f"{call.base}/_lfs/{wish['oid']}?signed={_sign(wish['oid'])}"
            entry["actions"] = {"upload": {"href": href, "header": {}}}
        told.append(entry)
    return JSONResponse({"transfer": "basic", "objects": told}, media_type="application/vnd.git-lfs+json")


@route("POST", "/{name}.git/info/lfs/objects/batch")
def lfs_batch_of_model(call: Call) -> Response:
    return lfs_batch(call)


@route("PUT", "/_lfs/{oid}")
def lfs_put(call: Call) -> Response:
    """Like a signed address of a bucket: who has it may write these very bytes, no token asked."""
    oid = call.slots["oid"]
    if not hmac.compare_digest(call.asked("signed"), _sign(oid)):
        raise Refused(403, "The signature does not fit")
    if not call.store.objects.put_lfs(oid, call.body):
        raise Refused(400, f"These bytes are not {oid}")
    return Response(headers={"ETag": f'"{oid}"'})


@route("POST", "/api/{kind}/{name}/commit/{revision}")
def commit(call: Call) -> Response:
    """All operations are read and their large files found before anything changes."""
    repo = call.repo
    _may_push(call)
    store, pull = call.store, bool(call.asked("create_pr"))
    header: dict[str, Any] = {}
    files, deleted = {}, []
    for line in filter(None, call.body.split(b"\n")):
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "header":
            header = value
        elif key == "file":
            files[value["path"]] = store.objects.put(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            entry = store.objects.lfs_entry(value["oid"])
            if entry is None:
                raise Refused(422, f"The large file of {value['path']} was never sent: {value['oid']}")
            files[value["path"]] = entry
        elif key == "deletedFile":
            deleted.append(value["path"])
        elif key == "deletedFolder":
            deleted.append(value["path"].rstrip("/") + "/")
        else:
            raise Refused(400, f"Unknown operation {key}")
    title, message, author = header["summary"], header.get("description", ""), str(call.who.name)
    parent = header.get("parentCommit")
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    if pull:
        base = store.resolve(repo, parent or call.slots["revision"])
        number, oid = store.propose(repo, files, deleted, title, message, author, base)
        answer["pullRequestUrl"] = f"{call.page_of(repo)}/discussions/{number}"
    else:
        ref = store.writable(repo, call.slots["revision"])
        oid = store.commit(repo, ref, files, deleted, title, message, author, parent)
    return JSONResponse({**answer, "commitOid": oid, "commitUrl": f"{call.page_of(repo)}/commit/{oid}"})


@route("GET HEAD", "/{kind}/{name}/resolve/{revision}/{path:rest}")
def resolve(call: Call) -> Response:
    """One file, whole or by range; large files carry their SHA-256 as the linked ETag."""
    repo = call.repo
    oid = call.store.resolve(repo, call.slots["revision"])
    entry = call.store.objects.commit(oid).tree.get(call.slots["path"])
    headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
    if entry is None:
        told = {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
        return Response("Entry not found", status_code=404, headers=told)
    tag = entry["lfs"] or entry["oid"]
    headers |= {"ETag": f'"{tag}"', "Content-Disposition": "inline"}
    if entry["lfs"]:
        headers |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(entry["size"])}
    first, last, status = _range(call.headers.get("range"), entry["size"])
    if status == 416:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{entry['size']}"})
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last}/{entry['size']}"
    headers["Content-Length"] = str(last - first + 1)
    if call.method == "HEAD":
        return Response(status_code=status, headers=headers)
    body = _piece(call.store.objects.file_of(entry), first, last - first + 1)
    return StreamingResponse(body, status_code=status, headers=headers, media_type="application/octet-stream")


@route("GET HEAD", "/{name}/resolve/{revision}/{path:rest}")
def resolve_of_model(call: Call) -> Response:
    return resolve(call)


def _may_push(call: Call) -> None:
    if call.asked("create_pr"):
        call.who.must_propose()
    else:
        revision = call.slots["revision"]
        ref = revision if revision in call.repo.refs else MAIN
        call.who.must_push(call.repo, ref)


def _sign(oid: str) -> str:
    return hmac.new(SECRET, oid.encode(), hashlib.sha256).hexdigest()


def _range(header: str | None, size: int) -> tuple[int, int, int]:
    """First and last byte, and the status: 200, 206 or 416."""
    if not header or not header.startswith("bytes="):
        return 0, size - 1, 200
    first, _, last = header.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    return (start, end, 206) if start <= end else (0, -1, 416)


def _piece(file: Path, start: int, length: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while length > 0 and (data := source.read(min(length, 1 << 20))):
            length -= len(data)
            yield data


assert git_hash(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # as git itself says
