"""Answers of a local Hub about accounts and repos: whoami, create, info, tree, refs, branches, tags, commits."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import yaml
from starlette.responses import JSONResponse, Response

from tests.hub.objects import Tree, pointer
from tests.hub.routing import Call, route
from tests.hub.store import MAIN, Refused, Repo


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Response:
    if call.who.name is None:
        raise Refused(401, "Invalid username or password.")
    role = "write" if call.who.role in ("owner", "contributor") else "read"
    orgs = [{"name": "org", "fullname": "org", "roleInOrg": {"owner": "admin"}.get(call.who.role, "contributor")}]
    return JSONResponse(
        {
            "type": "user",
            "id": call.who.name,
            "name": call.who.name,
            "fullname": call.who.name,
            "isPro": False,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": {"role": role}},
        }  # fmt: skip
    )


@route("POST", "/api/repos/create")
def create(call: Call) -> Response:
    call.who.must_write()
    wish = call.json
    kind, name = wish.get("type") or "model", f"{wish.get('organization') or call.who.name}/{wish['name']}"
    private = wish.get("visibility") == "private" or bool(wish.get("private"))
    there = (kind, name) in call.store.repos
    if not there:
        call.store.create(kind, name, private, str(call.who.name), wish.get("sdk"))
    answer = {"url": call.page_of(call.store.repos[kind, name]), "name": name, "id": name}
    if there:
        return JSONResponse({**answer, "error": f"You already created this {kind} repo"}, status_code=409)
    return JSONResponse(answer)


@route("DELETE", "/api/repos/delete")
def delete(call: Call) -> Response:
    call.who.must_write()
    wish = call.json
    name = f"{wish.get('organization') or call.who.name}/{wish['name']}"
    call.store.delete(call.who.must_see(call.store.repos.get((wish.get("type") or "model", name)), name))
    return JSONResponse({})


@route("POST", "/api/validate-yaml")
def validate(call: Call) -> Response:
    """Only what would stop a commit: a header that is no YAML mapping."""
    try:
        _header(call.json["content"])
    except (yaml.YAMLError, ValueError) as error:
        wrong = [{"message": f'"---" header of README.md: {error}'}]
        return JSONResponse({"errors": wrong, "warnings": []}, status_code=400)
    return JSONResponse({"errors": [], "warnings": []})


@route("GET", "/api/{kind}/{name}")
def info(call: Call) -> Response:
    return _info(call, "main")


@route("GET", "/api/{kind}/{name}/revision/{revision}")
def info_at(call: Call) -> Response:
    return _info(call, call.slots["revision"])


def _info(call: Call, revision: str) -> Response:
    repo = call.repo
    oid = call.store.resolve(repo, revision)
    commit = call.store.objects.commit(oid)
    readme = commit.tree.get("README.md")
    siblings = []
    for path, entry in sorted(commit.tree.items()):
        lfs = {"size": entry["size"], "sha256": entry["lfs"], "pointerSize": _pointer_size(entry)}
        known = {"size": entry["size"], "blobId": entry["oid"], **({"lfs": lfs} if entry["lfs"] else {})}
        siblings.append({"rfilename": path, **(known if call.asked("blobs") else {})})
    try:
        card = _header(call.store.objects.file_of(readme).read_text(encoding="utf-8")) if readme else {}
    except (yaml.YAMLError, ValueError):
        card = {}
    answer = {
        "_id": repo.name, "id": repo.name, "author": repo.name.split("/")[0], "sha": oid, "lastModified": commit.when,
        "createdAt": commit.when, "private": repo.private, "gated": False, "disabled": False, "downloads": 0,
        "likes": 0, "tags": [], "cardData": card or None, "siblings": siblings,
    }  # fmt: skip
    return JSONResponse({**answer, "sdk": repo.sdk} if repo.kind == "space" else answer)


@route("PUT", "/api/{kind}/{name}/settings")
def settings(call: Call) -> Response:
    call.who.must_write()
    repo = call.repo
    wish = call.json
    with call.store.lock:
        repo.private = wish.get("visibility") == "private" if "visibility" in wish else bool(wish.get("private"))
        call.store.save(repo)
    return JSONResponse({})


@route("GET", "/api/{kind}/{name}/tree/{revision}")
def tree(call: Call) -> Response:
    return _tree(call, "")


@route("GET", "/api/{kind}/{name}/tree/{revision}/{path:rest}")
def tree_below(call: Call) -> Response:
    return _tree(call, call.slots["path"].strip("/"))


def _tree(call: Call, under: str) -> Response:
    repo = call.repo
    oid = call.store.resolve(repo, call.slots["revision"])
    files = call.store.objects.commit(oid).tree
    recursive = call.asked("recursive").lower() in ("1", "true")
    prefix = f"{under}/" if under else ""
    below = {path: entry for path, entry in files.items() if path.startswith(prefix)}
    if under and not below:
        raise Refused(404, f"{under} does not exist on {call.slots['revision']!r}", "EntryNotFound")
    entries = [_entry(path, files[path]) for path in below if recursive or "/" not in path[len(prefix) :]]
    entries += [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
        for folder in _folders(below, prefix)
        if recursive or "/" not in folder[len(prefix) :]
    ]
    expand = call.asked("expand").lower() in ("1", "true")
    return call.paged(
        [_with_commit(call, repo, oid, e, expand) for e in sorted(entries, key=lambda e: e["path"])], 1000
    )


@route("POST", "/api/{kind}/{name}/paths-info/{revision}")
def paths_info(call: Call) -> Response:
    repo = call.repo
    oid = call.store.resolve(repo, call.slots["revision"])
    files = call.store.objects.commit(oid).tree
    form = parse_qs(call.body.decode()) if not call.body.startswith(b"{") else {}
    wish = {"paths": form.get("paths", []), "expand": form.get("expand", [""])[0]} if form else call.json
    paths = [wish["paths"]] if isinstance(wish["paths"], str) else list(wish["paths"])
    expand = str(wish.get("expand", "")).lower() in ("1", "true")
    folders = set(_folders(files, ""))
    found = [_entry(path, files[path]) for path in paths if path in files]
    found += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in paths if path in folders]
    return JSONResponse([_with_commit(call, repo, oid, entry, expand) for entry in found])


@route("GET", "/api/{kind}/{name}/refs")
def refs(call: Call) -> Response:
    repo = call.repo

    def named(prefix: str) -> list[dict[str, str]]:
        found = {ref: oid for ref, oid in repo.refs.items() if ref.startswith(prefix)}
        return [{"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid} for ref, oid in found.items()]

    pulls = [{**ref, "name": ref["ref"]} for ref in named("refs/pr/")] if call.asked("include_prs") else []
    return JSONResponse(
        {"branches": named("refs/heads/"), "converts": [], "tags": named("refs/tags/"), "pullRequests": pulls}
    )


@route("POST DELETE", "/api/{kind}/{name}/branch/{branch}")
def branch(call: Call) -> Response:
    repo = call.repo
    call.who.must_write()
    ref = f"refs/heads/{call.slots['branch']}"
    if call.method == "DELETE":
        return _drop(call, repo, ref)
    return _point(call, repo, ref, call.json.get("startingPoint") or "main")


@route("POST DELETE", "/api/{kind}/{name}/tag/{revision}")
def tag(call: Call) -> Response:
    repo = call.repo
    call.who.must_write()
    if call.method == "DELETE":
        return _drop(call, repo, f"refs/tags/{call.slots['revision']}")
    return _point(call, repo, f"refs/tags/{call.json['tag']}", call.slots["revision"])


def _point(call: Call, repo: Repo, ref: str, revision: str) -> Response:
    with call.store.lock:
        if ref in repo.refs:
            raise Refused(409, f"Reference already exists: {ref}")
        repo.refs[ref] = call.store.resolve(repo, revision)
        call.store.save(repo)
    return JSONResponse({})


def _drop(call: Call, repo: Repo, ref: str) -> Response:
    with call.store.lock:
        if ref == MAIN:
            raise Refused(403, "main cannot be deleted")
        if repo.refs.pop(ref, None) is None:
            raise Refused(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        call.store.save(repo)
    return JSONResponse({})


@route("GET", "/api/{kind}/{name}/commits/{revision}")
def commits(call: Call) -> Response:
    repo = call.repo
    found = []
    for oid in call.store.objects.ancestors(call.store.resolve(repo, call.slots["revision"])):
        one = call.store.objects.commit(oid)
        author = [{"user": one.author, "avatar": ""}]
        found.append({"id": oid, "title": one.title, "message": one.message, "authors": author, "date": one.when})
    return call.paged(found, 50)


def _entry(path: str, entry: dict[str, Any]) -> dict[str, Any]:
    told = {"type": "file", "oid": entry["oid"], "size": entry["size"], "path": path}
    if entry["lfs"]:
        told["lfs"] = {"oid": entry["lfs"], "size": entry["size"], "pointerSize": _pointer_size(entry)}
    return told


def _pointer_size(entry: dict[str, Any]) -> int:
    return len(pointer(entry["lfs"] or "", entry["size"]))


def _with_commit(call: Call, repo: Repo, oid: str, entry: dict[str, Any], expand: bool) -> dict[str, Any]:
    if not expand:
        return entry
    last = call.store.objects.commit(oid)
    return {**entry, "lastCommit": {"id": oid, "title": last.title, "date": last.when}, "securityFileStatus": None}


def _folders(files: Tree, prefix: str) -> list[str]:
    found = set()
    for path in files:
        parts = path[len(prefix) :].split("/")[:-1]
        found |= {prefix + "/".join(parts[: n + 1]) for n in range(len(parts))}
    return sorted(found)


def _header(text: str) -> dict[str, Any]:
    """The YAML between the two `---` of a README; empty where there is none."""
    if not text.startswith("---"):
        return {}
    data = yaml.safe_load(text.split("---", 2)[1]) or {}
    if not isinstance(data, dict):
        raise ValueError("it must be a mapping")
    return data
