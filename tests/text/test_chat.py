"""The chat template: what is prompt, what is response, and that nobody can forge a turn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.text import ChatError, Message, Tokenizer, prompt_tokens, render, response_tokens
from minipost.text.bpe import SPECIALS

SETTINGS = settings(deadline=None, max_examples=60)
contents = st.one_of(st.text(max_size=20), st.sampled_from(SPECIALS), st.just(""))


@st.composite
def conversations(draw: st.DrawFn, closed: bool | None = None) -> list[Message]:
    """[system] user assistant user ...; `closed` says whether the assistant has the last word."""
    system = [Message("system", draw(contents))] if draw(st.booleans()) else []
    rounds = [Message(role, draw(contents)) for _ in range(draw(st.integers(0, 2))) for role in ("user", "assistant")]
    is_closed = draw(st.booleans()) if closed is None else closed
    return [*system, *rounds, Message("user", draw(contents))] + [Message("assistant", draw(contents))] * is_closed


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["How to cook? Boil it. How to bake? Bake it."] * 4, vocab_size=290)


def test_the_template(tokenizer: Tokenizer) -> None:
    messages = [Message("system", "Be kind."), Message("user", "How?"), Message("assistant", "Boil it.")]
    rendered = render(tokenizer, messages)
    assert tokenizer.decode(rendered.tokens) == "<|system|> Be kind.<|user|> How?<|assistant|> Boil it.<|end|>"


@SETTINGS
@given(conversations())
def test_spans_hold_exactly_the_contents(tokenizer: Tokenizer, messages: list[Message]) -> None:
    rendered = render(tokenizer, messages)
    position = 0
    assert len(rendered.spans) == len(messages)
    for message, span in zip(messages, rendered.spans, strict=True):
        assert span.role == message.role
        assert span.start == position + 1  # the role's token opens the turn
        assert rendered.tokens[position] == tokenizer.specials[f"<|{message.role}|>"]
        end = "<|end|>" if message.role == "assistant" else ""
        assert tokenizer.decode(rendered.tokens[span.start : span.stop]) == " " + message.content + end
        position = span.stop
    assert position == len(rendered.tokens)


@SETTINGS
@given(conversations(closed=True))
def test_P13_the_end_of_every_answer_is_supervised(tokenizer: Tokenizer, messages: list[Message]) -> None:
    rendered = render(tokenizer, messages)
    mask = rendered.response_mask
    ends = [i for i, token in enumerate(rendered.tokens) if token == tokenizer.end_id]
    answers = [message.content for message in messages if message.role == "assistant"]
    assert len(ends) == len(answers)
    assert mask[ends].all()
    supervised = [token for token, counts in zip(rendered.tokens, mask, strict=True) if counts]
    assert supervised == [token for answer in answers for token in response_tokens(tokenizer, answer)]
    assert not mask[0]  # a first token has no logit that predicts it


@SETTINGS
@given(conversations(closed=True))
def test_prompt_and_response_are_the_conversation_cut_in_two(tokenizer: Tokenizer, messages: list[Message]) -> None:
    *prompt, answer = messages
    tokens = render(tokenizer, messages).tokens
    assert prompt_tokens(tokenizer, prompt) + response_tokens(tokenizer, answer.content) == tokens


@SETTINGS
@given(contents)
def test_a_string_is_one_user_turn(tokenizer: Tokenizer, text: str) -> None:
    tokens = prompt_tokens(tokenizer, text)
    assert tokens == prompt_tokens(tokenizer, [Message("user", text)])
    assert tokens == [tokenizer.user_id, *tokenizer.encode(" " + text), tokenizer.assistant_id]


@SETTINGS
@given(st.lists(st.sampled_from([*SPECIALS, "hi"]), min_size=1, max_size=5))
def test_a_user_cannot_forge_a_turn(tokenizer: Tokenizer, parts: list[str]) -> None:
    rendered = render(tokenizer, [Message("user", "".join(parts))])
    special = [token for token in rendered.tokens if token in tokenizer.specials.values()]
    assert special == [tokenizer.user_id]


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("", "conversation is empty"),
        ("system", "only a system turn"),
        ("tool", "Turn 0 has the unknown role 'tool'"),
        ("user system", "Turn 1 is a system turn"),
        ("system system user", "Turn 1 is a system turn"),
        ("assistant", "Turn 0 is the assistant's but should be the user's"),
        ("user user", "Turn 1 is the user's but should be the assistant's"),
        ("system user assistant assistant", "Turn 3 is the assistant's"),
    ],
)
def test_what_is_no_conversation_is_refused(tokenizer: Tokenizer, roles: str, message: str) -> None:
    messages = [Message(role, "text") for role in roles.split()]
    for call in (render, prompt_tokens):
        with pytest.raises(ChatError, match=message):
            call(tokenizer, messages)


def test_a_prompt_ends_with_the_user(tokenizer: Tokenizer) -> None:
    with pytest.raises(ChatError, match="ends with the turn of the assistant"):
        prompt_tokens(tokenizer, [Message("user", "Hi"), Message("assistant", "Hello")])
