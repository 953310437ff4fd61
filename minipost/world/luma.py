"""Luma, the language next door: word order as in English; nouns end in -o, adjectives in -a, verbs in -i."""

from __future__ import annotations

from typing import Final

from minipost.world.lexicon import table

# English | Luma
THINGS: Final = table("""
house | kelo
tree | brano
river | sivo
stone | tupo
bread | panzo
door | morko
book | lebo
boat | nafo
road | vido
garden | hulo
moon | zelo
star | tiro
apple | bimo
window | feno
lamp | dako
flower | rilo
hill | gumo
bell | dinko
""")

LIVING: Final = table("""
dog | havo
cat | mizo
bird | pivo
fish | wano
horse | koro
child | neno
woman | tavo
man | jaro
king | bogo
farmer | yeko
mouse | pelo
bear | grudo
""")

ADJECTIVES: Final = table("""
red | rusa
green | vela
white | bila
black | noka
old | dura
new | nuva
big | maka
small | tika
good | bonda
cold | frika
""")

VERBS: Final = table("""
sings | lani
sleeps | sosi
runs | kuri
eats | mani
swims | plui
waits | tendi
laughs | riki
falls | tombi
works | labi
reads | leki
""")
