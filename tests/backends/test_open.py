"""Specs: what they open, that they open it once, and what they say when they cannot."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from medprm_hf.backends import Completion, Failure, Message, Request, open_backend
from medprm_hf.backends.open import BACKENDS, close_backends, split_target
from medprm_hf.backends.scripted import ScriptedBackend
from medprm_hf.errors import ConfigError, MissingExtraError

SCRIPT = ["one", "two"]


def test_one_object_a_spec() -> None:
    spec = "scripted:tests.backends.test_open:SCRIPT"
    first = open_backend(spec)
    assert open_backend(spec) is first and first.model == spec
    close_backends()
    assert open_backend(spec) is not first


_VLLM = find_spec("vllm") is not None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("transformer:x", "did you mean transformers"),
        ("opnai:x", "did you mean openai"),
        ("zzz:x", "there is: gemini, openai"),
        ("phantom", "names no model: write phantom:MODEL"),
        ("phantom:polcy", "policy"),
        ("phantom:policy?dtyp=float32", "did you mean dtype"),
        ("transformers:nowhere/at-all", "cannot load"),
        ("transformers:x?dtype=float31", "unknown dtype"),
        ("transformers:x?engine=quick", "unknown engine"),
        ("transformers:x?wave=0", "wave=0"),
        pytest.param("vllm:x", r"medprm-hf\[vllm\]", marks=pytest.mark.skipif(_VLLM, reason="vllm is installed")),
        ("scripted:no.such.module:x", "MODULE:ATTRIBUTE"),
        ("scripted:tests.backends.test_open:NOTHING", "NOTHING"),
    ],
)
def test_specs_that_cannot_work(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_backend(spec).complete([Request((Message("user", "?"),))])


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"needs torch and transformers: pip install 'medprm-hf\[train\]'"):
        open_backend("transformers:any/model-at-all")


def test_every_name_has_a_class_that_reads_a_spec() -> None:
    from importlib import import_module

    for target in BACKENDS.values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name).from_spec)


def test_split_target() -> None:
    assert split_target("org/name") == ("org/name", {})
    assert split_target("tiny?base_url=http://127.0.0.1:8000/v1&concurrency=3") == (
        "tiny",
        {"base_url": "http://127.0.0.1:8000/v1", "concurrency": "3"},
    )


def _ask(backend: ScriptedBackend, *keys: str, n: int = 1) -> list[list[str]]:
    requests = [Request((Message("user", "Which side?"),), n, key=key) for key in keys]
    return [
        [place.text if isinstance(place, Completion) else f"{place.kind}: {place.message}" for place in reply.places]
        for reply in backend.complete(requests)
    ]


def test_a_list_answers_in_order_and_says_when_it_ends() -> None:
    backend = ScriptedBackend(["a b", "c", "d"])
    assert _ask(backend, "q1", "q2", n=2) == [
        ["a b", "c"],
        ["d", "script: the script had 3 answers; request 'q2' asks for one more"],
    ]
    assert backend.usage.completions == 3 and backend.usage.failures == {"script": 1}
    assert [request.key for request in backend.asked] == ["q1", "q2"]


def test_a_mapping_answers_by_key() -> None:
    backend = ScriptedBackend({"q1": ["a", "b"], "q2": "c", "q3": Failure("http_500", "down")})
    assert _ask(backend, "q2", "q1", n=2) == [["c", "c"], ["a", "b"]]
    assert _ask(backend, "q3") == [["http_500: down"]]
    assert _ask(backend, "q1", n=3)[0][2].endswith("place 2 has none")
    assert "did you mean q" in _ask(backend, "q")[0][0]


def test_a_function_sees_request_and_place() -> None:
    backend = ScriptedBackend(lambda request, place: f"{request.key}/{place}")
    assert _ask(backend, "q1", n=3) == [["q1/0", "q1/1", "q1/2"]]


def test_completions_pass_through_and_texts_count_words() -> None:
    given = Completion("a b", "length", 9, (-1.0,))
    backend = ScriptedBackend([given, "three short words"])
    first, second = (reply.places[0] for reply in backend.complete([Request((Message("user", "x"),))] * 2))
    assert first == given and second == Completion("three short words", "stop", 3)


def test_a_single_text_is_no_script() -> None:
    with pytest.raises(ConfigError, match="write \\[text\\]"):
        ScriptedBackend("yes")


def test_a_checkpoint_is_named_without_its_directory(tiny_checkpoint: Path) -> None:
    assert open_backend(f"transformers:{tiny_checkpoint}").model == tiny_checkpoint.name
