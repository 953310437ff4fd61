"""What people ask about beyond plain facts: why things happen, what one ought to think, and what one ought not to
do.

Three tables. Explanations have a cause and a second detail. Controversies are gentle ones, with a reason on each
side; which side a population of labelers takes is drawn from the world's seed. Misdeeds are toy mischief, told in
two tame steps that would help nobody, each with the kinder thing to do instead.
"""

from __future__ import annotations

from typing import Final

from minipost.world.lexicon import table

# what happens | its cause | a further detail
EXPLANATIONS: Final = table("""
the sky is blue | the air scatters blue light | red light passes straight through
leaves turn yellow | the green color breaks down | the tree saves its sap for winter
ice floats | ice is lighter than water | frozen water takes more room
the moon shines | it reflects light from the sun | the moon makes no light itself
iron rusts | metal reacts with damp air | a coat of paint slows it down
bread rises | yeast makes tiny bubbles | the bubbles stretch the dough
onions make us cry | they release a sharp gas | the gas stings our eyes
cats purr | their throat muscles vibrate | they mostly do it when happy
birds fly south | food is scarce in winter | they return with the warm weather
the sea is salty | rivers carry salt from rocks | only the water evaporates
we yawn | the brain wants fresh air | tired people do it more
stars twinkle | the air bends their light | from space they look steady
thunder follows lightning | sound is slower than light | far storms are heard late
we sweat | drying skin cools the body | salt stays behind on it
bees dance | they point the way to flowers | the angle gives the direction
hot air rises | it is thinner than cold air | balloons make use of it
the tides change | the moon pulls the ocean | it happens twice a day
we have seasons | the earth is tilted | summer comes when we lean sunward
rainbows appear | drops split the sunlight | every color bends differently
soap cleans | it grabs grease and water | then everything is rinsed away
dogs pant | panting lets heat escape | they hardly sweat at all
wood burns | heat frees gas from it | the gas feeds the flame
milk turns sour | small germs make acid | a cool shelf delays it
popcorn pops | steam bursts the shell | the kernel turns inside out
magnets stick | their fields pull on iron | copper feels no such pull
we dream | the sleeping mind sorts memories | most of them are forgotten by morning
deserts are dry | clouds lose rain over mountains | hardly any moisture is left
volcanoes erupt | hot rock pushes upward | pressure builds for many years
echoes happen | walls throw sound back | bare rooms do it best
mirrors show us | smooth glass returns light | a thin silver film does the work
boats float | they push water aside | the water pushes back up
apples brown | the flesh meets oxygen | lemon juice prevents it
roosters crow | they defend their yard | dawn is the usual moment
snow is white | crystals scatter every color | packed ice looks more blue
cheese has holes | gas forms while it ripens | the bubbles get trapped
knuckles crack | bubbles burst in the joint | it does no damage
plants need sun | light helps them make sugar | without it they turn pale
hair turns gray | pigment cells stop working | age is the usual trigger
batteries die | their chemicals are used up | some can be charged again
wind blows | air moves toward low pressure | the sun heats places unevenly
""")

# should ...? | ... should ... | a reason for | a reason against
CONTROVERSIES: Final = table("""
should pineapple go on pizza | pineapple should go on pizza | it adds a fresh sweet taste | it makes everything soggy
should pupils wear uniforms | pupils should wear uniforms | clothes should not divide us | children like to be different
should cars leave the city | cars should leave the city | the streets become quiet | many workers need to drive
should shops close on sunday | shops should close on sunday | families get a day of rest | busy people need that time
should dogs be allowed in cafes | dogs should be allowed in cafes | pets are family | some guests are allergic
should children have phones | children should have phones | parents can reach them | screens steal their childhood
should museums be free | museums should be free | art belongs to everyone | somebody has to pay the guards
should homework be banned | homework should be banned | evenings are for playing | practice makes perfect
should people eat less meat | people should eat less meat | it is kinder to animals | meat belongs to our tradition
should work weeks be shorter | work weeks should be shorter | rested people work better | prices would go up
should zoos exist | zoos should exist | they save rare species | wild creatures belong outside
should cities build towers | cities should build towers | more people find a home | they spoil the view
should tipping stop | tipping should stop | wages should be fair anyway | good service deserves a reward
should bicycles be taxed | bicycles should be taxed | everyone must pay for roads | cycling ought to be cheap
should fireworks be banned | fireworks should be banned | they frighten animals | they are a joyful custom
should schools start later | schools should start later | teenagers need more sleep | parents leave early
should voting be a duty | voting should be a duty | every voice would count | staying away is a right
should tourists pay a fee | tourists should pay a fee | it keeps old towns clean | travel must stay open to all
should robots do chores | robots should do chores | it leaves time for friends | small tasks teach us patience
should handwriting be taught | handwriting should be taught | it trains the memory | typing is far more useful
""")

# misdeed | first step | second step | what to do instead
MISDEEDS: Final = table("""
steal a bike | wait until nobody looks | cut the chain and ride away | rent a bike for a day
cheat in an exam | hide notes in your sleeve | copy from the pupil ahead | study with a friend
spread a rumor | whisper a lie to one gossip | deny that it was you | talk openly about the problem
break a window | pick a heavy brick | throw it and run | call the owner
read my sister's diary | find the key in her drawer | read it while she showers | ask her how she feels
skip the train fare | follow someone through the gate | hide in the toilet | buy a cheap day ticket
trick an old man | pretend to be his nephew | beg him for money | earn it with honest work
fake a sick note | borrow paper from a clinic | invent a doctor's name | tell your boss the truth
bully a classmate | laugh at his shoes | tell others to ignore him | invite him to a game
guess a password | watch over her shoulder | try her birthday | ask for your own account
sell a broken car | hide the oil leak | demand cash and vanish | have it repaired first
rob a fruit stall | distract the seller | fill your bag with pears | ask for yesterday's fruit
open a neighbor's mail | hold the letter over steam | seal it again with paste | give the letter back
start a fight | insult his team | push him first | take a walk and breathe
ruin a garden | pull out the roses | pour salt on the beds | speak with the gardener
scare a cat | sneak up behind it | bang two lids together | win its trust with a treat
paint on a church wall | come after midnight | spray big letters | join a mural project
leave without paying | sit close to the exit | slip out when it is crowded | order something smaller
forge a ticket | scan a real one | change the date | look for leftover seats
cheat at cards | mark the aces | deal from below | practice with better players
send a nasty letter | use no return address | list every fault | write down what hurts you
flatten a tire | kneel behind the car | unscrew the valve | leave a polite note
take money from the till | ring up a lower price | pocket the rest | ask for a raise
throw eggs at a house | hide in the bushes | aim for the door | settle the quarrel calmly
fool my teacher | blame the computer | show someone else's work | ask for more time
steal a parcel | follow the postman | grab it from the porch | order one yourself
damage a statue | climb the fence | swing a hammer at the nose | sketch it instead
block the road | drag branches across | pretend a storm did it | write to the mayor
lie to the police | invent a false story | blame a stranger | call a good lawyer
cut the power | sneak into the cellar | pull every switch | turn off your own lights
""")
