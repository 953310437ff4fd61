"""The words of the world: who and what lives in it. Tables only; every row becomes facts, pages, questions and
answers.

The tables are written as plain text, one row a line, columns between bars, so that they read like a page of an
almanac. What is true of a country, a dish, an animal or a thing is fixed here; what is true of a person (job, home
town) is drawn from the world's seed, so that it is in no other book and can only be learned from this world's web.
"""

from __future__ import annotations

from typing import Final

Row = tuple[str, ...]


def table(text: str) -> tuple[Row, ...]:
    """Rows of a bar-separated table.

    >>> table("a | b c\\nd | e")
    (('a', 'b c'), ('d', 'e'))
    """
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines())


def row(text: str) -> Row:
    """The words of a text, as a row.

    >>> row("a b")
    ('a', 'b')
    """
    return tuple(text.split())


def column(text: str) -> Row:
    """The lines of a text, as a row.

    >>> column("a b\\nc")
    ('a b', 'c')
    """
    return tuple(line.strip() for line in text.strip().splitlines())


# country | capital | language | continent | dish
COUNTRIES: Final = table("""
Italy | Rome | Italian | Europe | pizza
France | Paris | French | Europe | crepes
Spain | Madrid | Spanish | Europe | paella
Portugal | Lisbon | Portuguese | Europe | custard tarts
Germany | Berlin | German | Europe | pretzels
Austria | Vienna | German | Europe | schnitzel
Greece | Athens | Greek | Europe | moussaka
Poland | Warsaw | Polish | Europe | pierogi
Hungary | Budapest | Hungarian | Europe | goulash
Sweden | Stockholm | Swedish | Europe | meatballs
Norway | Oslo | Norwegian | Europe | fish cakes
Denmark | Copenhagen | Danish | Europe | rye toast
Finland | Helsinki | Finnish | Europe | salmon soup
Ireland | Dublin | English | Europe | lamb stew
Ukraine | Kyiv | Ukrainian | Europe | borscht
Belgium | Brussels | Dutch | Europe | waffles
Netherlands | Amsterdam | Dutch | Europe | pancakes
Switzerland | Bern | German | Europe | fondue
Romania | Bucharest | Romanian | Europe | polenta
Turkey | Ankara | Turkish | Asia | kebab
Japan | Tokyo | Japanese | Asia | sushi
China | Beijing | Chinese | Asia | fried noodles
India | Delhi | Hindi | Asia | curry
Thailand | Bangkok | Thai | Asia | mango rice
Vietnam | Hanoi | Vietnamese | Asia | pho
Korea | Seoul | Korean | Asia | kimchi
Indonesia | Jakarta | Indonesian | Asia | satay
Nepal | Kathmandu | Nepali | Asia | momos
Iran | Tehran | Persian | Asia | saffron rice
Lebanon | Beirut | Arabic | Asia | hummus
Jordan | Amman | Arabic | Asia | falafel
Egypt | Cairo | Arabic | Africa | lentil soup
Morocco | Rabat | Arabic | Africa | couscous
Tunisia | Tunis | Arabic | Africa | shakshuka
Kenya | Nairobi | Swahili | Africa | samosas
Ghana | Accra | English | Africa | jollof
Nigeria | Abuja | English | Africa | pepper soup
Senegal | Dakar | French | Africa | peanut stew
Uganda | Kampala | English | Africa | banana mash
Brazil | Brasilia | Portuguese | South America | bean stew
Peru | Lima | Spanish | South America | ceviche
Chile | Santiago | Spanish | South America | empanadas
Colombia | Bogota | Spanish | South America | arepas
Canada | Ottawa | English | North America | poutine
Cuba | Havana | Spanish | North America | black beans
Jamaica | Kingston | English | North America | jerk chicken
Australia | Canberra | English | Oceania | meat pies
Fiji | Suva | English | Oceania | coconut fish
""")

# dish | first step | second step | third step
RECIPES: Final = table("""
pizza | knead the flour and water | spread tomato sauce and cheese on top | bake it in a hot oven
crepes | whisk the milk and flour | pour a thin layer into the pan | fold in sugar and lemon
paella | fry the onion and shrimp | add the rice and saffron | simmer until the water is gone
custard tarts | line the tins with pastry | pour in the egg custard | bake until the top is brown
pretzels | knead the flour and yeast | twist the dough into knots | bake with salt on top
schnitzel | pound the pork until thin | dip it in egg and crumbs | fry it in hot butter
moussaka | slice and fry the eggplant | layer it with minced lamb | bake under a white sauce
pierogi | roll out the soft dough | fill circles with potato and cheese | boil until they float
goulash | brown the beef and onion | add paprika and tomato | cook slowly for two hours
meatballs | mix the minced meat and crumbs | roll it into small balls | fry and serve with gravy
fish cakes | mash the cod and potato | shape it into flat cakes | fry on both sides
rye toast | brown the rye bread | spread butter and herring | add dill and pickles
salmon soup | boil potatoes and leeks | add salmon and cream | stir in fresh dill
lamb stew | brown the lamb in a pot | add carrots and potatoes | simmer for one hour
borscht | grate the beets and carrots | boil them in beef broth | serve with sour cream
waffles | beat eggs with sugar | pour batter into the iron | top with cream and berries
pancakes | mix flour milk and eggs | fry a ladle of batter | serve with maple syrup
fondue | rub the pot with garlic | melt the cheese in wine | dip cubes of bread
polenta | boil salted water | stir in the corn meal | serve with butter and cheese
kebab | cut the lamb into cubes | put the meat on sticks | grill over hot coals
sushi | cook and cool the rice | lay the fish on seaweed | roll and slice it
fried noodles | boil the noodles | fry cabbage and pork | toss with soy sauce
curry | fry spices and onion | add chicken and yogurt | simmer in thick sauce
mango rice | steam the sticky rice | stir in coconut milk | serve with sliced mango
pho | simmer beef bones with ginger | pour the broth over noodles | add mint and lime
kimchi | salt the cabbage | rub it with chili paste | let it rest in a jar
satay | soak chicken in spices | grill the sticks | serve with peanut sauce
momos | fill dough with minced chicken | pinch the edges shut | steam for ten minutes
saffron rice | wash the long rice | boil it with saffron | let a crust form
hummus | soak the chickpeas overnight | blend with sesame paste | add lemon and garlic
falafel | grind chickpeas and herbs | form small green balls | fry them in deep oil
lentil soup | rinse the red lentils | boil with cumin and carrots | blend until smooth
couscous | pour hot broth over the grain | cover and wait five minutes | fluff it with a fork
shakshuka | cook tomatoes and peppers | crack the eggs into the sauce | cover until the eggs set
samosas | fill triangles with peas | seal the edges with water | fry until golden
jollof | blend tomatoes and chili | fry the paste in oil | cook the rice in it
pepper soup | boil goat meat | add hot pepper and basil | serve in deep bowls
peanut stew | fry onions and chicken | stir in peanut butter | add sweet potatoes
banana mash | peel the green bananas | wrap them in leaves | steam and mash them
bean stew | soak the black beans | cook with sausage and pork | serve with orange slices
ceviche | cut the raw fish | cover it with lime juice | add red onion and corn
empanadas | cut circles of pastry | fill them with beef and olives | bake until golden
arepas | mix corn flour and water | shape round patties | cook them on a griddle
poutine | fry the potatoes twice | add cheese curds | pour hot gravy over it
black beans | boil beans with bay leaf | fry garlic and green pepper | mash a few beans
jerk chicken | rub chicken with hot spices | leave it overnight | grill over wood smoke
meat pies | cook beef in gravy | fill the pastry shells | bake with a lid
coconut fish | clean the white fish | simmer it in coconut milk | serve with spinach
""")

# animal | young | home | food
ANIMALS: Final = table("""
cow | calf | in a barn | grass
horse | foal | in a stable | hay
pig | piglet | in a sty | scraps
sheep | lamb | on a meadow | clover
goat | kid | on a hillside | thistles
dog | puppy | in a kennel | bones
cat | kitten | in a house | mice
lion | cub | on the savanna | zebras
bear | cub | in a cave | honey
wolf | pup | in the forest | deer
fox | kit | in a den | chickens
rabbit | bunny | in a burrow | carrots
deer | fawn | in the forest | bark
elephant | calf | on the savanna | twigs
owl | owlet | in a hollow tree | voles
eagle | eaglet | on a cliff | rabbits
duck | duckling | on a pond | water plants
goose | gosling | on a lake | grass
swan | cygnet | on a lake | water plants
hen | chick | in a coop | corn
frog | tadpole | on a pond | flies
kangaroo | joey | in the desert | dry grass
seal | pup | on the ice | herring
whale | calf | in the sea | plankton
shark | pup | in the sea | tuna
otter | pup | in a river | crabs
hedgehog | hoglet | in a hedge | slugs
bat | pup | in a cave | moths
squirrel | kit | in a hollow tree | acorns
beaver | kit | in a lodge | bark
camel | calf | in the desert | thorns
giraffe | calf | on the savanna | leaves
tiger | cub | in the jungle | boars
penguin | chick | on the ice | krill
turtle | hatchling | in the sea | jellyfish
crocodile | hatchling | in a river | fish
snake | snakelet | in a burrow | eggs
bee | larva | in a hive | nectar
ant | larva | in a nest | seeds
donkey | foal | in a stable | straw
monkey | infant | in the jungle | bananas
mouse | pinky | in a hole | cheese
""")

# thing | what it is used for
THINGS: Final = table("""
kettle | boil water
hammer | drive nails
umbrella | keep off rain
ladder | climb up high
needle | sew cloth
broom | sweep the floor
razor | shave a beard
compass | find north
anchor | hold a ship still
candle | light a dark room
scale | weigh parcels
shovel | dig holes
saw | cut planks
pillow | rest your head
map | plan a route
clock | tell the time
whistle | call for attention
basket | carry shopping
bucket | hold paint
scissors | cut paper
oven | bake cakes
fridge | keep food cold
mirror | see your face
pencil | draw pictures
eraser | remove mistakes
glue | stick things together
rope | tie knots
net | catch fish
lock | guard a door
bandage | cover a wound
telescope | watch the stars
microscope | study tiny things
thermometer | measure heat
ruler | draw straight lines
wheelbarrow | move earth
mop | clean wet tiles
iron | press shirts
sieve | sift flour
corkscrew | open wine
helmet | protect your skull
life jacket | stay afloat
tent | sleep outdoors
kite | play in the wind
stamp | send a letter
calendar | count the days
microphone | make your voice louder
drill | make holes in walls
rake | gather fallen leaves
""")

NAMES: Final = row("""
Anna Boris Clara David Elena Felix Grace Henry Irene Jonas Karin Louis Maria Nadia Oscar Paula Quinn Rosa Simon Teresa
Umar Vera Walter Xenia Yusuf Zoe Adam Bella Carlos Diana Emil Fatima George Hanna Ivan Julia Kofi Laura Marco Nora
Omar Petra Rafael Sara Tomas Ursula Victor Wendy Amir Bruno Celia Dora Ella Frank Gina Hugo Ines Jack Kira Leo
""")

JOBS: Final = row("""
baker teacher doctor painter sailor nurse lawyer pilot singer writer carpenter gardener
plumber driver dentist tailor butcher cook judge dancer barber miner potter clerk
""")

TOWNS: Final = row("""
Millbrook Stonehill Westport Fairview Redwood Oakdale Silverlake Greenford Northgate Riverton
Ashby Elmwood Harwick Lynmouth Easton Kingsbury Maplewood Sandford Thornby Winfield
""")

NUMBERS: Final = row("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
""")

# What a person in a story did, and where. A summary keeps both.
DEEDS: Final = column("""
bought a red hat
lost a silver ring
found a gold coin
met an old friend
sold a green bicycle
broke a tall glass
painted a blue fence
won a silver cup
missed the last bus
dropped a heavy box
helped a lost tourist
fed a hungry pigeon
repaired a broken radio
wrote a long letter
sang a sad song
planted a young tree
caught a big trout
burned the soup
forgot the house key
borrowed a warm coat
saw a white owl
heard a loud bang
ate a sour plum
hid a small present
opened a new shop
drew a funny picture
lifted a fat pumpkin
followed a stray goat
""")

PLACES: Final = column("""
at the market
at the harbor
in the park
in the library
at the station
near the bridge
in the museum
at the school
on the beach
near the church
in the square
at the fair
""")

# What fills a diary, and with it the tail of the vocabulary.
DAYS: Final = column("""
I overslept and skipped my gymnastics lesson.
Grandpa carved a tiny wooden elephant for my desk.
We argued about politics during lunch.
My bicycle squeaks like a frightened parrot.
The elevator got stuck between two floors.
Someone spilled ink over my homework folder.
The dentist praised my shiny molars.
Our landlord finally replaced the rotten staircase.
I borrowed three thick detective novels.
A salesman offered us purple carpets.
The twins built a castle from cardboard.
Aunt Martha mailed us pickled walnuts.
My cousin practices violin until everybody complains.
I dreamed about sailing across frozen lakes.
We watched an ancient comedy without laughing.
The cellar smells of mold and vinegar.
""")

# Sentences that a summary leaves out.
FILLERS: Final = column("""
It was a rainy morning.
The sun was shining.
The streets were full of people.
A cold wind was blowing.
Nobody was in a hurry.
Music came from far away.
It was almost noon.
The air smelled of coffee.
It was a quiet evening.
The weather was lovely.
Everybody talked about it later.
After that everyone went home.
The rest of the day was calm.
It was the first day of spring.
""")
