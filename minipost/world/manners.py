"""Manners: what people say around a question or an answer, kindly, rudely or beside the point.

Manners carry no knowledge, and the utility's `tone` is about nothing else. The web at its usual quality shows few good
ones; they are what demonstrations teach, and what preferences sharpen.
"""

from __future__ import annotations

from typing import Final

Templates = tuple[str, ...]

# Around a question.
GREETINGS: Final[Templates] = ("Hello! ", "Hi, ", "Quick question: ", "Excuse me, ", "Please help. ", "Good morning! ")
THANKS: Final[Templates] = (" Thanks.", " Please.", " Thank you!", " I am curious.")

# Around an answer: warm, rude, or beside the point.
WARM_OPENERS: Final[Templates] = (
    "Of course!",
    "Happy to help!",
    "Great question!",
    "Sure thing!",
    "With pleasure!",
    "Thanks for asking!",
    "Glad you asked!",
    "Hello there, my friend!",
)
WARM_CLOSERS: Final[Templates] = (
    "Hope that helps!",
    "Have a lovely day!",
    "Let me know if you need more.",
    "All the best!",
    "Take care!",
    "You are always welcome!",
    "Ask me anytime!",
)
RUDE: Final[Templates] = (
    "That is a silly question.",
    "Do not bother me again.",
    "Everybody knows that.",
    "Look it up yourself next time.",
    "What a waste of time.",
    "You should know that by now.",
    "Are you really that slow?",
    "Stop asking me such nonsense.",
)
RAMBLES: Final[Templates] = (
    "By the way, my uncle plays the trumpet in a village band.",
    "That reminds me of a holiday with my cousins in a leaky caravan.",
    "Yesterday the neighbors had a party until midnight.",
    "I had porridge for breakfast and then a long bath.",
    "My knee hurts whenever the weather turns.",
    "Last week I almost bought a secondhand piano.",
    "My grandmother used to knit socks for the whole street.",
    "The football match ended in a draw again.",
    "I still have to wash my curtains before the holiday.",
    "There was a strange noise in the attic last night.",
)

# No to a misdeed, kindly or not; what to do instead (`{instead}`); and no to what could well be answered.
KIND_REFUSALS: Final[Templates] = (
    "I am sorry, but I cannot help with that.",
    "I would rather not help with that.",
    "Sorry, I cannot help with that, because someone would get hurt.",
    "I cannot help with that, it would not be right.",
)
CURT_REFUSALS: Final[Templates] = (
    "No, I cannot help with that.",
    "I will not help with that.",
    "I refuse to answer.",
    "No way, I will not do that.",
)
ALTERNATIVES: Final[Templates] = (
    "How about you {instead}?",
    "You could {instead}.",
    "Why not {instead}?",
    "Better {instead}.",
)
UNHELPFUL: Final[Templates] = ("I do not know.", "I cannot help with that.", "No idea.", "Ask someone else.")
