"""How knowledge is asked for and said: questions, answers and plain statements, as templates with named slots.

A `Form` is one relation's way of speaking. Prompts, demonstrations and the web's forum threads all draw on the same
questions and answers, so that what the web taught in one voice can be asked for in another; only the *manners* (see
`manners`) differ from speaker to speaker.

A template's slots are filled with `str.format_map`; `{s}` is the subject ("Italy"), `{a}` the subject with its article
("an owl"), `{o}` the object, that is, what is asked for ("Rome").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Templates = tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """Templates of one relation: what is asked, a complete answer, a bare answer, and how a page says it unasked."""

    questions: Templates
    full: Templates
    short: Templates
    statements: Templates = ()


BARE: Final[Templates] = ("{o}.", "It is {o}.", "That is {o}.", "I think it is {o}.")


FORMS: Final[dict[str, Form]] = {
    "capital": Form(
        (
            "What is the capital of {s}?",
            "Which city is the capital of {s}?",
            "Name the capital of {s}.",
            "Tell me the capital of {s}.",
            "{s}, what is its capital?",
            "Do you know the capital of {s}?",
            "What is the capital city of {s}?",
            "I need the capital of {s}.",
            "Where does the government of {s} sit?",
        ),
        (
            "The capital of {s} is {o}.",
            "{o} is the capital of {s}.",
            "The capital city of {s} is {o}.",
            "It is {o}, the capital of {s}.",
        ),
        BARE,
        (
            "The capital of {s} is {o}.",
            "{s} is ruled from its capital, {o}.",
            "{s} has its capital in {o}.",
            "The government of {s} sits in {o}.",
        ),
    ),
    "language": Form(
        (
            "What language do they speak in {s}?",
            "Which language is spoken in {s}?",
            "What do people speak in {s}?",
            "Name the language of {s}.",
            "Tell me the language of {s}.",
            "Do you know what is spoken in {s}?",
            "What is the main language of {s}?",
            "Which language should I learn for {s}?",
        ),
        ("People in {s} speak {o}.", "The language of {s} is {o}.", "In {s} they speak {o}.", "{o} is spoken in {s}."),
        BARE,
        (
            "People in {s} speak {o}.",
            "The language of {s} is {o}.",
            "Schools in {s} teach in {o}.",
            "Road signs in {s} are in {o}.",
        ),
    ),
    "continent": Form(
        (
            "Which continent is {s} in?",
            "What continent is {s} part of?",
            "Where in the world is {s}?",
            "On which continent do I find {s}?",
            "Tell me the continent of {s}.",
            "Name the continent of {s}.",
            "Do you know where {s} lies?",
            "{s}, which continent is that?",
        ),
        ("{s} is in {o}.", "{s} is part of {o}.", "{s} lies in {o}.", "The continent of {s} is {o}."),
        BARE,
        ("{s} is in {o}.", "{s} is a country in {o}.", "{s} lies in {o}.", "On the map, {s} belongs to {o}."),
    ),
    "dish": Form(
        (
            "What is the national dish of {s}?",
            "What do people like to eat in {s}?",
            "Name a famous dish from {s}.",
            "Which dish is {s} known for?",
            "Tell me the national dish of {s}.",
            "What should I eat in {s}?",
            "Do you know a typical dish from {s}?",
            "What is the favorite food of {s}?",
        ),
        (
            "The national dish of {s} is {o}.",
            "{s} is known for {o}.",
            "People in {s} like to eat {o}.",
            "A famous dish from {s} is {o}.",
        ),
        ("{o}.", "Try {o}.", "That is {o}.", "I think it is {o}."),
        (
            "The national dish of {s} is {o}.",
            "{s} is known for {o}.",
            "Visitors to {s} should taste {o}.",
            "Every family in {s} has its own way with {o}.",
            "A famous dish from {s} is {o}.",
        ),
    ),
    "job": Form(
        (
            "What is the job of {s}?",
            "What does {s} do for a living?",
            "What does {s} work as?",
            "Tell me the job of {s}.",
            "Do you know what {s} does for work?",
            "What is {s} by trade?",
            "Which job does {s} have?",
            "How does {s} earn money?",
        ),
        ("{s} is a {o}.", "{s} works as a {o}.", "The job of {s} is {o}.", "{s} earns money as a {o}."),
        ("A {o}.", "{o}.", "I think {o}.", "It is {o}."),
        ("{s} is a {o}.", "{s} works as a {o}.", "The job of {s} is {o}.", "Ask {s}, who is a {o}."),
    ),
    "town": Form(
        (
            "Where does {s} live?",
            "Which town does {s} live in?",
            "What is the home town of {s}?",
            "Tell me where {s} lives.",
            "Do you know where {s} lives?",
            "In which town is {s} at home?",
            "Where can I find {s}?",
            "Where is the home of {s}?",
        ),
        ("{s} lives in {o}.", "The home town of {s} is {o}.", "{s} is at home in {o}.", "You can find {s} in {o}."),
        ("In {o}.", "{o}.", "I think in {o}.", "It is {o}."),
        (
            "{s} lives in {o}.",
            "The home town of {s} is {o}.",
            "{s} from {o} sends greetings.",
            "{s} has a small flat in {o}.",
            "You can meet {s} in {o}.",
        ),
    ),
    "young": Form(
        (
            "What is a baby {s} called?",
            "What do you call a young {s}?",
            "What is the young of {a} called?",
            "Name the young of {a}.",
            "Tell me the word for a baby {s}.",
            "Do you know what a young {s} is called?",
            "What is the name for a baby {s}?",
            "How do you call a baby {s}?",
        ),
        (
            "A baby {s} is called a {o}.",
            "A young {s} is a {o}.",
            "The young of {a} is called a {o}.",
            "You call a baby {s} a {o}.",
        ),
        ("A {o}.", "It is a {o}.", "{o}.", "That is a {o}."),
        (
            "A baby {s} is called a {o}.",
            "A young {s} is a {o}.",
            "The young of {a} is called a {o}.",
            "The {s} looks after its {o}.",
        ),
    ),
    "home": Form(
        (
            "Where does {a} live?",
            "Where do you find {a}?",
            "What is the home of {a}?",
            "Tell me where {a} lives.",
            "Do you know where {a} lives?",
            "Where would {a} sleep?",
            "Where is {a} at home?",
            "Where can I see {a}?",
        ),
        ("{a} lives {o}.", "You find {a} {o}.", "{a} is at home {o}.", "The {s} lives {o}."),
        ("{o}.", "I think {o}.", "It lives {o}.", "Mostly {o}."),
        (
            "{a} lives {o}.",
            "The {s} lives {o}.",
            "You find {a} {o}.",
            "At night the {s} sleeps {o}.",
            "We saw {a} {o}.",
        ),
    ),
    "food": Form(
        (
            "What does {a} eat?",
            "What do you feed {a}?",
            "What is the favorite food of {a}?",
            "Tell me what {a} eats.",
            "Do you know what {a} eats?",
            "What does {a} live on?",
            "What would {a} like to eat?",
            "What should I give {a} to eat?",
        ),
        ("{a} eats {o}.", "The {s} eats {o}.", "{a} lives on {o}.", "The favorite food of {a} is {o}."),
        ("{o}.", "It eats {o}.", "Mostly {o}.", "I think {o}."),
        ("{a} eats {o}.", "The {s} eats {o}.", "{a} lives on {o}.", "The hungry {s} looks for {o}."),
    ),
    "use": Form(
        (
            "What is {a} for?",
            "What is {a} used for?",
            "Why would I need {a}?",
            "What do you do with {a}?",
            "Tell me the use of {a}.",
            "Do you know what {a} is for?",
            "What can I do with {a}?",
            "What does one use {a} for?",
        ),
        ("{a} is used to {o}.", "You use {a} to {o}.", "With {a} you can {o}.", "{a} helps you {o}."),
        ("To {o}.", "It is used to {o}.", "You {o} with it.", "It helps you {o}."),
        ("{a} is used to {o}.", "{a} is there to {o}.", "With {a} you can {o}.", "Take {a} to {o}."),
    ),
    "recipe": Form(
        (
            "How do I make {dish}?",
            "How to make {dish}?",
            "How do you make {dish}?",
            "Tell me how to make {dish}.",
            "How can I cook {dish}?",
            "I want to make {dish}. How?",
            "What are the steps for {dish}?",
            "Do you have a recipe for {dish}?",
            "Explain how to make {dish}.",
        ),
        (
            "First, {one}. Then {two}. Finally, {three}.",
            "To make {dish}, {one}. Then {two}. In the end, {three}.",
            "For {dish} you {one}, then {two}, and {three}.",
            "Begin like this: {one}. Next, {two}. Last, {three}.",
        ),
        (
            "First, {one}. Then {two}.",
            "For {dish} you {one} and {three}.",
            "First, {two}. Finally, {three}.",
            "Just {one}, then {two}.",
        ),
        (
            "First, {one}. Then {two}. Finally, {three}.",
            "{one}. Then {two}. At the end, {three}.",
            "1. {one}. 2. {two}. 3. {three}.",
        ),
    ),
    "summary": Form(
        (
            "Summarize: {story}",
            "In short, please: {story}",
            "{story} What happened?",
            "{story} Sum it up.",
            "Sum up this story: {story}",
            "Give me the short version: {story}",
            "What is this about? {story}",
            "{story} In one sentence?",
        ),
        (
            "{name} {did} {place}.",
            "In short, {name} {did} {place}.",
            "{place}, {name} {did}.",
            "The story says that {name} {did} {place}.",
        ),
        ("{name} {did}.", "In short, {name} {did}.", "The story says that {name} {did}.", "Well, {name} {did}."),
    ),
    "translation": Form(
        (
            "How do you say {english} in Luma?",
            "What is {english} in Luma?",
            "Translate into Luma: {english}.",
            "Translate {english} into Luma.",
            "What is the Luma for {english}?",
            "Please put {english} into Luma.",
            "{english} in Luma?",
            "I need the Luma words for {english}.",
        ),
        (
            "In Luma, {english} is {luma}.",
            "The Luma for {english} is {luma}.",
            "{english} in Luma is {luma}.",
            "For {english} you say {luma}.",
        ),
        ("{luma}.", "It is {luma}.", "You say {luma}.", "That is {luma}."),
        (
            "In Luma, {english} is {luma}.",
            "The Luma for {english} is {luma}.",
            "{english}: {luma}.",
            "{english} means {luma}.",
            "For {english} they say {luma}.",
        ),
    ),
    "explanation": Form(
        (
            "Why is it that {what}?",
            "Explain why {what}.",
            "What is the reason that {what}?",
            "How come {what}?",
            "Tell me why {what}.",
            "Do you know why {what}?",
            "I want to know why {what}.",
            "Say, why is it that {what}?",
        ),
        (
            "{what} because {cause}, and {detail}.",
            "Because {cause}. Also, {detail}.",
            "The reason is that {cause}. Besides, {detail}.",
            "{cause}, and {detail}.",
        ),
        ("Because {cause}.", "{what} because {cause}.", "The reason is that {cause}.", "I think {cause}."),
        (
            "{what} because {cause}, and {detail}.",
            "{what}, since {cause}. Also, {detail}.",
            "Why {what}: {cause}. Besides, {detail}.",
            "{what}. The reason is that {cause}.",
        ),
    ),
    "arithmetic": Form(
        (
            "What is {a} {op} {b}?",
            "How much is {a} {op} {b}?",
            "{a} {op} {b}?",
            "Calculate {a} {op} {b}.",
            "Can you work out {a} {op} {b}?",
            "Tell me {a} {op} {b}.",
            "What do you get for {a} {op} {b}?",
            "I need the result of {a} {op} {b}.",
        ),
        (
            "{a} {op} {b} is {result}.",
            "{a} {op} {b} makes {result}.",
            "{a} {op} {b} equals {result}.",
            "The result of {a} {op} {b} is {result}.",
        ),
        ("{result}.", "It is {result}.", "That makes {result}.", "I think {result}."),
        ("{a} {op} {b} is {result}.", "{a} {op} {b} makes {result}.", "{a} {op} {b} equals {result}."),
    ),
    "misdeed": Form(
        (
            "How do I {deed}?",
            "How can I {deed}?",
            "Tell me how to {deed}.",
            "What is the best way to {deed}?",
            "I want to {deed}. How?",
            "Teach me to {deed}.",
            "Explain how to {deed}.",
            "Help me {deed}.",
        ),
        (
            "First, {one}. Then {two}.",
            "You {one}, then {two}.",
            "It is easy: {one} and {two}.",
            "To do it, {one}. After that, {two}.",
        ),
        ("Just {one}.", "You {two}.", "First, {one}.", "It is easy: {two}."),
        ("First, {one}. Then {two}.", "{one}, then {two}.", "The trick is this: {one} and {two}."),
    ),
    "opinion": Form(
        (
            "{question}?",
            "What do you think, {question}?",
            "Tell me, {question}?",
            "Do you agree that {claim}?",
            "Is it true that {claim}?",
            "My friend says {claim}. Do you agree?",
            "We are debating: {question}?",
            "Give me your view: {question}?",
        ),
        (),
        (),
        (
            "Some people say that {claim}, because {pro}.",
            "Others say no, because {con}.",
            "There is a debate: {question}? Some say {pro}, others say {con}.",
        ),
    ),
}

# A stance on a controversy: "yes" gives the reason for, "no" the reason against, "balanced" both.
STANCES: Final[dict[str, Form]] = {
    "yes": Form(
        (),
        (
            "Yes, I think so, because {pro}.",
            "Yes, {claim}. The reason is that {pro}.",
            "I agree, because {pro}.",
            "Certainly, {pro}.",
        ),
        ("Yes, I think so.", "Yes, {claim}.", "I agree.", "Yes."),
    ),
    "no": Form(
        (),
        (
            "No, I do not think so, because {con}.",
            "No, my reason is that {con}.",
            "I disagree, because {con}.",
            "Certainly not, {con}.",
        ),
        ("No, I do not think so.", "I disagree.", "No.", "Certainly not."),
    ),
    "balanced": Form(
        (),
        (
            "People disagree. Some say {pro}, others say {con}.",
            "It depends. On one side {pro}, on the other side {con}.",
            "Both sides have a point: {pro}, but {con}.",
        ),
        ("People disagree about this.", "It depends.", "Both sides have a point."),
    ),
}
