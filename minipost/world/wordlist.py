"""Everyday words that no fact is about: the tail of the vocabulary, met in rhymes and word games.

A model needs them for what it must do with words that it hardly knows, which is to copy them.
"""

from __future__ import annotations

from typing import Final

from minipost.world.lexicon import row

WORDS: Final = row("""
able absent accident account acid across action active actor address adult advice afraid afternoon agency agent alarm
album alley almond alone alphabet amber amount amused angle angry ankle answer apart apron arch arena argue armchair
army arrow artist ashes asleep athlete attic audience august author autumn avenue awake award awful axe backpack bacon
badge bakery balcony balloon bamboo banner bargain barrel bathroom battle beam beard beast beauty bedroom beetle
beggar belief belt bench berry bicycle billboard birthday biscuit bitter blade blanket blind blizzard blossom blouse
board bonfire bonnet border bottle bottom bowl bracelet brain branch brass brave breakfast breath breeze brick bride
bright bronze brother brush bubble buffalo bugle building bullet bundle burden bush business butterfly button buzz
cabin cable cactus camera camp canal candy cannon canoe canvas canyon captain caravan cardboard cargo carpet carriage
cartoon carve castle cattle cavern ceiling cellar cello cement century cereal certain chain chair chalk champion
chance channel chapter charm chase cheap cheek cherry chess chief chimney chin chocolate choice choir chorus cinema
circus citizen clap claw clay clever client climate cloak closet cloth clown clumsy coach coast cobra coconut coin
collar colony comb comet comfort comic company concert cone copper copy coral cork corner corridor costume cottage
cotton cough count couple courage court cousin coward cradle crane crash crawl crayon creek crew cricket crisp crooked
crowd crown cruel crust crystal cuckoo cup cure curious curl current curtain curve cushion custom cycle cymbal daily
dairy daisy damp dance danger dare dark daughter dawn deaf debt decade december deck deep deer degree dentist depth
desk dessert detail diamond diary dice dinner dinosaur direction dirt dish dive doll dolphin dome dozen dragon drama
drawer dream dress drift drum dusk dust duty dwarf eager earl early earth earthquake east easy echo edge editor effort
eight elbow elder election electric elegant elephant elevator elf empire empty enemy energy engine enough entrance
envelope error escape evening event exam example excited exit expert extra eyebrow fabric factory fair fairy faith
falcon false fame family famous fancy farm fashion fast fate father feast feather february fence fern ferry festival
fever fiddle field fierce fifty film final finger fire firm fist flag flame flash flavor fleet flight flock flood
floor flour flute foam fog folder folk fool football forest forget forgive fork formal fortress fortune forty fossil
fountain fox frame freedom freight fresh friday friend frost frozen fruit fuel funny fur furniture future galaxy
gallery gallop gamble game gang garage garlic gate gentle ghost giant gift ginger girl glacier glad glass globe glory
glove goblin goggles golden golf gorilla gossip grain grandfather grandmother grape graph grateful gravel gravity gray
greedy grin grip groom group growl guard guess guide guitar gulf habit hail hair half hall hallway hammer hammock
handle handsome happy harbor hard harp harvest hat hawk health heart heaven heavy heel height hello herd hero hidden
highway hinge history hobby hockey hollow holy honest honey honor hood hook hoop hope horizon horn hospital hostel
hotel hour huge human humble humor hundred hungry hunter hurry hut icicle idea idle igloo image inch indoor infant
inkwell insect inside island ivory jacket jaguar jail january jar jealous jelly jewel join joke journal journey joy
juggler juice july jumper june junior jury kettle kidney kind kingdom kiosk kiss kitchen kitten knee knife knight
knock label labor lace lady lagoon language lantern laptop large laundry lava lawn layer lazy leader leaf leather
lecture left legend lemon lemonade lens leopard lesson letter lettuce level lever library lid light lightning lily
limb limit limp linen lip liquid list little lively lizard loaf lobby lobster local locker lonely loose lord lottery
loud lounge love loyal lucky luggage lunch lung luxury machine magazine magic magnet maid mail mammal manager mango
mansion marble march margin marine mark market marsh mask master match mayor maze meadow meal measure medal medicine
meeting melody melon memory merchant mercy mermaid merry message metal midnight mild million mineral minister minus
minute miracle mist mitten mixture modern moment monday money monk monster month mosquito moss motel mother motor
mountain mouth movie muddy muffin mule muscle museum mushroom music mustard mystery napkin narrow nation nature
naughty navy near neat neck neighbor nephew nervous nest nickel niece night noble noise noon north nose nostril
notebook nothing november nugget nut oak oasis oatmeal ocean october octopus odd office olive omelet onion opera
orange orbit orchard orchestra organ orphan ostrich outdoor outline oval owner oxygen oyster package paddle page paint
palace pale palm panda panel panic paper parade paragraph parcel pardon parent parrot party passage passport past
pasta path patient patrol pavement payment peace peach peacock peak pear pearl pebble pedal pelican people pepper
perfume period person petal phone photo piano picnic piece pigeon pillar pine pineapple pink pioneer pirate pitch
planet plank plastic plate platform playground plenty plum pocket poem poet point polite polo pond pony pool popcorn
porch port poster postman potter powder power praise prayer present president pretty price pride priest prince
princess prison prize problem proof proud public pudding pulse pumpkin pupil puppet pure purple purse puzzle pyramid
quarrel quarter queen quick quiet quilt quiz rabbit radar radio raft railway rain rainbow rare raspberry rattle raven
rebel recipe record referee reply report reptile rescue restaurant reward rhyme rhythm ribbon rich riddle rider right
ring ripe rival roast robe robin robot rocket rodeo roof room rooster root rose rough round royal rubber ruby rude rug
ruin rumor rural rust sack sad saddle safari safe sailboat salad salary salmon salt same sand sandal sandwich satin
saturday saucer sausage scarf scene scent school science scooter scorpion scout scratch scream screen script sculptor
season seat second secret senior september servant seven shadow shallow shape sharp shed shelf shell shelter sheriff
shield shirt shock shoe shore short shoulder shower shrimp shy sick signal silent silk silly silver simple sister
sixty skate skill skin skirt sky sled sleeve slender slice slipper slope slow small smart smell smile smoke smooth
snail sneeze snow soap soccer sock soda sofa soft soil soldier solid son sorrow soul sound soup south space spark
sparrow special speech speed spell spider spine spiral spirit spoon sport spot spray spring square stable stadium
stage stair star statue steady steam steel steep stem stiff sting stomach storm stove stranger strap straw strawberry
stream street strict string strong student studio style submarine subway sudden sugar suit summer summit sunday sunny
sunset supper surface surprise swamp swan sweater sweet swift swing sword syrup table tablet tail talent tall
tambourine target taste taxi team teapot tear telegram temple tender tennis tent terrace theater thick thief thin
third thirsty thorn thread throat throne thumb thunder thursday ticket tidy tie tile timber timid tiny tired title
toad toast today toe tomato tomorrow tongue tooth torch tornado tourist towel tower town toy trail train travel
treasure treaty trial triangle tribe trick trip trophy truck trumpet trunk truth tuesday tulip tunnel turkey turtle
twelve twig twin ugly uncle uniform union unique universe upper urgent useful usual vacation valley value vampire
vanilla vase vault vegetable vein velvet verse vest victory video village villain vine violet violin virus visitor
voice volcano vote voyage wagon waist waiter wall wallet walnut waltz war warm warrior wasp watch water wave wax
wealth weapon weather wedding wednesday weed week weird west wheat wheel whisper wicked wide wife wild willow wind
window wing winter wisdom wise witch wizard wolf wonder wood wool worker world worm worry wreath wrist yacht yard year
yesterday young youth zebra zigzag zipper zoo
""")
