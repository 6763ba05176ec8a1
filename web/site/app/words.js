// The words that the built-in model was taught, in groups, and the dialog that picks from them.
import { $, make } from "./dom.js";

/** @type {[group: string, words: string][]} */
const TAUGHT = [
  [
    "Faces and people",
    "grinning face, slightly smiling face, winking face, smiling face with heart-eyes, face with tears of joy, " +
    "smiling face with sunglasses, crying face, angry face, thinking face, sleeping face, partying face, skull, " +
    "pile of poo, ghost, alien, robot, clown face, red heart, blue heart, green heart, yellow heart, broken heart, " +
    "thumbs up, waving hand, eyes, baby, man, woman, astronaut, santa claus, mermaid, ninja, fairy, princess",
  ],
  [
    "Animals",
    "cat, cat face, dog, dog face, monkey, fox, wolf, lion, tiger, horse, unicorn, zebra, cow, pig, ewe, goat, " +
    "camel, giraffe, elephant, mouse, rabbit, rabbit face, bat, bear, koala, panda, kangaroo, chicken, rooster, " +
    "bird, penguin, eagle, duck, swan, owl, flamingo, peacock, parrot, frog, crocodile, turtle, snake, dragon, " +
    "dragon face, t-rex, sauropod, whale, spouting whale, dolphin, fish, tropical fish, shark, octopus, crab, " +
    "snail, butterfly, honeybee, lady beetle, spider, ant",
  ],
  [
    "Plants",
    "bouquet, cherry blossom, rose, sunflower, tulip, hibiscus, evergreen tree, deciduous tree, palm tree, cactus, " +
    "four leaf clover, maple leaf, mushroom",
  ],
  [
    "Food and drink",
    "grapes, watermelon, lemon, banana, pineapple, red apple, green apple, pear, peach, cherries, strawberry, " +
    "blueberries, tomato, avocado, carrot, ear of corn, hot pepper, broccoli, bread, croissant, pretzel, pancakes, " +
    "cheese wedge, bacon, hamburger, french fries, pizza, hot dog, taco, egg, popcorn, sushi, soft ice cream, ice " +
    "cream, doughnut, cookie, birthday cake, cupcake, candy, lollipop, hot beverage, teapot, wine glass, beer mug",
  ],
  [
    "Places",
    "mountain, volcano, desert island, house, castle, tent, ferris wheel, statue of liberty, sunrise",
  ],
  [
    "Vehicles",
    "locomotive, train, bus, ambulance, fire engine, police car, taxi, automobile, tractor, racing car, motorcycle, " +
    "bicycle, anchor, sailboat, ship, airplane, helicopter, rocket, flying saucer",
  ],
  [
    "Sky and weather",
    "alarm clock, watch, full moon, crescent moon, sun, sun with face, ringed planet, star, cloud, rainbow, " +
    "umbrella, snowflake, snowman, fire, droplet, water wave, high voltage, tornado, globe showing europe-africa, " +
    "jack-o-lantern",
  ],
  [
    "Play and music",
    "christmas tree, balloon, wrapped gift, trophy, soccer ball, baseball, basketball, tennis, american football, " +
    "bullseye, kite, crystal ball, video game, game die, teddy bear",
  ],
  [
    "Clothes",
    "artist palette, glasses, sunglasses, t-shirt, dress, backpack, running shoe, high-heeled shoe, crown, top hat, " +
    "ring, gem stone",
  ],
  [
    "Things",
    "bell, musical note, microphone, guitar, trumpet, violin, drum, mobile phone, telephone, laptop, television, " +
    "camera, candle, light bulb, closed book, open book, books, money bag, envelope, pencil, scissors, key, locked, " +
    "hammer, axe, dagger, bomb, shield, wrench, gear, magnet, microscope, telescope, door, bed, chair, bathtub",
  ],
];
/** Things that it draws crisply every time. */
const CRISP = ["skull", "sunflower", "rainbow", "soccer ball", "red apple", "rocket", "unicorn", "christmas tree", "red heart", "automobile"];

/** Words that take no article. */
const BARE = new Set(
  ("thumbs up, eyes, santa claus, grapes, cherries, blueberries, broccoli, bread, pancakes, bacon, french fries, popcorn, sushi, " +
    "statue of liberty, fire, american football, tennis, glasses, sunglasses, scissors").split(", "),
);

/** @type {(word: string) => void} */
let pick;

/** @param {typeof pick} onPick called with the word that the visitor chose */
export function start(onPick) {
  pick = onPick;
  const dialog = $("words", HTMLDialogElement);
  const find = $("words-find", HTMLInputElement);
  $("open-words").onclick = () => {
    find.value = "";
    list("");
    dialog.showModal();
  };
  find.oninput = () => list(find.value);
  find.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    /** @type {HTMLElement | null} */ (dialog.querySelector("li button"))?.focus();
  };
  $("words-list").onclick = ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    dialog.close();
    pick(target.textContent ?? "");
  };
}

/** Shows the words with these letters in them. @param {string} letters */
function list(letters) {
  const wanted = letters.trim().toLowerCase();
  const groups = [["Drawn best", CRISP], ...TAUGHT.map(([group, words]) => [group, words.split(", ")])];
  const found = /** @type {[string, string[]][]} */ (groups).map(([group, words]) => section(group, words.filter((word) => word.includes(wanted))));
  const sections = found.filter((part) => part !== undefined);
  const none = make("p", { className: "hint" }, `It was not taught “${letters.trim()}”.`);
  $("words-list").replaceChildren(...(sections.length > 0 ? sections : [none]));
}

/** @param {string} group @param {string[]} words */
function section(group, words) {
  if (words.length === 0) return undefined;
  const chips = words.map((word) => make("li", {}, make("button", { type: "button" }, word)));
  return make("section", {}, make("h3", {}, group), make("ul", { className: "chips" }, ...chips));
}

/** The word as a prompt. @param {string} word */
export function phrase(word) {
  if (BARE.has(word)) return word;
  return `${/^([aio]|e(?!we)|u(?!ni))/.test(word) ? "an" : "a"} ${word}`;
}
