"""What may be shown of a URL, and the type that keeps the rest apart."""

from __future__ import annotations

import copy
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tttcfg.urls import Url, address, is_url, shown, without_hidden_parts


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://user:hunter2@host:80/a/b.safetensors?sig=hunter2#hunter2", "https://host:80/a/b.safetensors"),
        ("https://hunter2@host/a", "https://host/a"),
        ("https://user:hunt/er2@host/a", "https://host/a"),
        ("https://user:hunt?er2@host/a", "https://host/a"),
        ("simplecache::https://user:hunter2@host/a", "simplecache::https://host/a"),
        ("zip://x::https://user:hunter2@host/a", "zip://host/a"),
        ("hf://datasets/name@main/a.json", "hf://datasets/name@main/a.json"),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("https:/user:hunter2@host/a?sig=hunter2", "https:/host/a"),
        ("memory://a", "memory://a"),
    ],
)
def test_what_may_be_secret_is_not_shown(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert without_hidden_parts(f"a '{url}', and b") == f"a '{seen}', and b"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?#@"), max_size=5))
def test_nothing_made_of_a_url_holds_its_secrets(secret: str) -> None:
    whole = f"https://user:hunter2{secret}@host/a.safetensors?sig=hunter2{secret}"
    url = Url(whole)
    made = [str(url), f"{url}", repr(url), repr((url,)), os.fspath(url), url + "x", os.path.dirname(url)]
    made += [pickle.dumps(url).decode("latin-1"), str(url.beside("b")), str(url.inside("c")), copy.copy(url)]
    assert not [text for text in made if "hunter2" in text]
    assert url.whole == whole


def test_a_neighbour_keeps_user_and_query() -> None:
    url = Url("https://user:hunter2@host/a/b.safetensors?sig=hunter2")
    assert url.beside("c.json").whole == "https://user:hunter2@host/a/c.json?sig=hunter2"
    assert url.inside("c.json").whole == "https://user:hunter2@host/a/b.safetensors/c.json?sig=hunter2"
    assert Url("memory://b").beside("c.json").whole == "memory://c.json"


def test_a_url_is_distinguished_from_a_path() -> None:
    assert is_url("s3://bucket/model.safetensors")
    assert not is_url("runs/model.safetensors")
    assert isinstance(address("s3://bucket/a"), Url)
    assert not isinstance(address("runs/a"), Url)


@pytest.mark.parametrize("url", ["file:///runs/a", "FILE:///runs/a", "local:///runs/a", "file://localhost/runs/a"])
def test_a_url_of_this_machine_is_a_path(url: str) -> None:
    assert address(url) == "/runs/a"
    assert not isinstance(address(url), Url)


@pytest.mark.parametrize("url", ["file://user:hunter2@/runs/a", "file:///runs/a?sig=hunter2", "file://host/a"])
def test_what_a_path_cannot_have_makes_no_path(url: str) -> None:
    assert isinstance(address(url), Url)
    assert "hunter2" not in address(url)
