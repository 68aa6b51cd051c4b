"""Secrets are hidden wherever they stand; what only looks a little like one is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.redaction import HIDDEN, is_secret, redact


@pytest.mark.parametrize(
    "name",
    ["WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MYSQL_PWD", "hf_token"],
)
def test_values_of_secret_variables_are_hidden_wherever_they_stand(name: str) -> None:
    told = redact("sent (hunter2) to https://x/?k=hunter2&n=1", {name: "hunter2"})
    assert told == f"sent ({HIDDEN}) to https://x/?k={HIDDEN}&n=1"


@given(st.text(min_size=5), st.text(alphabet="ab *:/@= "), st.text(alphabet="ab *:/@= "))
def test_no_secret_of_any_letters_is_left_in_any_text(secret: str, before: str, after: str) -> None:
    secret = f"§{secret}§"  # so that no text around it holds it too
    assert secret not in redact(before + secret + after, {"MY_SECRET": secret})


@pytest.mark.parametrize("part", ["x", "://", "://a:", "secret ", "secret=", "bearer ", "token"])
def test_long_texts_of_what_might_lead_to_a_secret_come_back(part: str) -> None:
    text = part * 30_000  # a pattern that looked back would never be done
    assert len(redact(text, {})) <= len(text)


def test_a_secret_that_holds_another_is_hidden_whole() -> None:
    environment = {"A_TOKEN": "abcdef", "B_TOKEN": "abcdefghij"}
    assert redact("abcdefghij abcdef", environment) == f"{HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://me:pa55@db.example/runs", f"postgresql://me:{HIDDEN}@db.example/runs"),
        ("mysql+pymysql://me:p@ss/w@db/runs", f"mysql+pymysql://me:{HIDDEN}@db/runs"),
        ("'https://:key@host:5000' says", f"'https://:{HIDDEN}@host:5000' says"),
        ("password=open sesame", f"password={HIDDEN} sesame"),
        ('{"api_key"="open"}', f'{{"api_key"="{HIDDEN}"}}'),
        ("https://x/?token=open&n=1", f"https://x/?token={HIDDEN}&n=1"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {HIDDEN}"),
        ("authorization=Basic bWU6b3Blbg==", f"authorization=Basic {HIDDEN}"),
    ],
)
def test_secrets_that_no_variable_holds_are_known_by_their_place(text: str, told: str) -> None:
    assert redact(text, {}) == told


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/runs and me@example.org",
        "max_tokens=128 tokens=7 token: KILL",
        "basic training, data.root=/captures",
        "no secret: false",
    ],
)
def test_what_is_no_secret_is_left(text: str) -> None:
    environment = {"TOKENIZERS_PARALLELISM": "false", "HOME": "/captures", "A_TOKEN": ""}
    assert redact(text, environment) == text


def test_names_are_told_apart() -> None:
    assert is_secret("SOME_TOKEN") and not is_secret("KEYBOARD") and not is_secret("PATH")
