"""Answers of a local Hub about discussions and pull requests: listing, details, comments, merging, closing."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.hub.objects import changed
from tests.hub.routing import Call, route
from tests.hub.store import MAIN, Refused, Repo, comment_event, status_event

PAGE = 10


@route("GET", "/api/{kind}/{name}/discussions")
def listing(call: Call) -> Response:
    repo = call.repo
    found = [entry for entry in reversed(repo.discussions) if _wanted(call, entry)]
    start = int(call.asked("p", "0")) * PAGE
    told = [_told(repo, entry) for entry in found[start : start + PAGE]]
    return JSONResponse({"discussions": told, "count": len(found), "start": start, "numClosedDiscussions": 0})


@route("POST", "/api/{kind}/{name}/discussions")
def opening(call: Call) -> Response:
    repo = call.repo
    call.who.must_propose()
    wish = call.json
    at = repo.refs[MAIN] if wish.get("pullRequest") else None
    status = "draft" if at else "open"
    number = call.store.discuss(repo, wish["title"], wish.get("description") or "", str(call.who.name), at, status)
    return JSONResponse({"num": number, "url": f"{call.page_of(repo)}/discussions/{number}"})


@route("GET", "/api/{kind}/{name}/discussions/{number}")
def details(call: Call) -> Response:
    repo = call.repo
    entry = _entry(call, repo)
    told = {**_told(repo, entry), "events": entry["events"]}
    if entry["pull"]:
        open_still = entry["status"] in ("open", "draft")
        told["filesWithConflicts"] = call.store.conflicts(repo, entry["num"]) if open_still else []
        told["changes"] = {"base": MAIN, **({"mergeCommitId": entry["merged_as"]} if entry["merged_as"] else {})}
        told["diff"] = _diff(call, repo, entry["num"])
    return JSONResponse(told)


@route("POST", "/api/{kind}/{name}/discussions/{number}/{what}")
def change(call: Call) -> Response:
    repo = call.repo
    entry, who = _entry(call, repo), str(call.who.name)
    what, wish = call.slots["what"], call.json
    call.who.must_propose()
    if what == "merge":
        call.who.must_write()
        call.store.merge(repo, entry["num"], who)
        return JSONResponse({})
    if what != "comment" and entry["author"] != who:
        call.who.must_write()
    with call.store.lock:
        if what == "comment":
            key, event = "newMessage", comment_event(who, wish["comment"])
        elif what == "status":
            if wish.get("comment"):
                entry["events"].append(comment_event(who, wish["comment"]))
            key, event, entry["status"] = "newStatus", status_event(who, wish["status"]), wish["status"]
        elif what == "title":
            event = {**status_event(who, ""), "type": "title-change"}
            event["data"] = {"from": entry["title"], "to": wish["title"]}
            key, entry["title"] = "newTitle", wish["title"]
        else:
            raise Refused(404, f"no such thing: {what}")
        entry["events"].append(event)
        call.store.save(repo)
    return JSONResponse({key: event})


def _entry(call: Call, repo: Repo) -> dict[str, Any]:
    number = call.slots["number"]
    if not number.isdigit() or not 1 <= int(number) <= len(repo.discussions):
        raise Refused(404, f"Discussion {number} not found")
    return repo.discussions[int(number) - 1]


def _wanted(call: Call, entry: dict[str, Any]) -> bool:
    kind, status, author = call.asked("type", "all"), call.asked("status", "all"), call.asked("author")
    of_kind = kind == "all" or (kind == "pull_request") == entry["pull"]
    is_open = entry["status"] in ("open", "draft")
    return of_kind and (status == "all" or (status == "open") == is_open) and author in ("", entry["author"])


def _told(repo: Repo, entry: dict[str, Any]) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(entry["created"]))
    return {
        "num": entry["num"], "title": entry["title"], "author": {"name": entry["author"]}, "status": entry["status"],
        "isPullRequest": entry["pull"], "createdAt": created, "repo": {"name": repo.name, "type": repo.kind},
    }  # fmt: skip


def _diff(call: Call, repo: Repo, number: int) -> str:
    """Which files differ from where the pull request left main; contents are left out."""
    objects, there = call.store.objects, repo.refs[f"refs/pr/{number}"]
    base = objects.merge_base(there, repo.refs[MAIN])
    if (merged := repo.discussions[number - 1]["merged_as"]) is not None:
        base = objects.merge_base(there, objects.commit(merged).parents[0])
    found = changed(objects.commit(base).tree, objects.commit(there).tree)
    return "".join(f"diff --git a/{path} b/{path}\n" for path in sorted(found))
