// Vietnamese marks on the letter before the caret: tones, hats and the stroke of đ.

const TONES = { "huyền": "\u0300", "sắc": "\u0301", "ngã": "\u0303", "hỏi": "\u0309", "nặng": "\u0323" };
const HATS = { "\u0302": "aeo", "\u0306": "a", "\u031b": "ou" };
const VOWELS = "aeiouy";

export const BUTTONS = [
  { shown: "á", name: "sắc" }, { shown: "à", name: "huyền" }, { shown: "ả", name: "hỏi" },
  { shown: "ã", name: "ngã" }, { shown: "ạ", name: "nặng" },
  { shown: "â", name: "^", hat: "\u0302" }, { shown: "ă", name: "˘", hat: "\u0306" },
  { shown: "ơ", name: "móc", hat: "\u031b" }, { shown: "đ", name: "đ", stroke: true },
  { shown: "a", name: "plain", plain: true },
];

const parts = (letter) => [...letter.normalize("NFD")];
const isVowel = (letter) => VOWELS.includes(parts(letter)[0].toLowerCase());

// Puts a mark on one letter; the same mark again takes it away. null: this letter cannot have it.
export function marked(letter, button) {
  if (button.stroke) {
    const pairs = { d: "đ", D: "Đ", "đ": "d", "Đ": "D" };
    return pairs[letter] ?? null;
  }
  if (button.plain && (letter === "đ" || letter === "Đ")) return letter === "đ" ? "d" : "D";
  if (!isVowel(letter)) return null;
  const [base, ...marks] = parts(letter);
  const tones = Object.values(TONES);
  if (button.plain) return base;
  if (button.hat) {
    if (!HATS[button.hat].includes(base.toLowerCase())) return null;
    const tone = marks.filter((mark) => tones.includes(mark));
    const hat = marks.includes(button.hat) ? [] : [button.hat];
    return [base, ...hat, ...tone].join("").normalize("NFC");
  }
  const tone = TONES[button.name];
  const rest = marks.filter((mark) => !tones.includes(mark));
  return [base, ...rest, ...(marks.includes(tone) ? [] : [tone])].join("").normalize("NFC");
}

// The letter that a mark is meant for: the one before the caret, or further left in the same word.
export function target(text, caret, button) {
  for (let at = caret - 1; at >= 0 && /\p{L}/u.test(text[at]); at -= 1) {
    if (marked(text[at], button) !== null) return at;
  }
  return -1;
}

// The horn on "uo", as in "huong": ươ, then uơ as in "thuở", then uo again. null: there is no such pair.
function hornedPair(text, at, button) {
  const horn = "\u031b";
  if (button.hat !== horn || at < 1) return null;
  const pair = [text[at - 1], text[at]];
  if (pair.map((letter) => parts(letter)[0].toLowerCase()).join("") !== "uo" || "qQ".includes(text[at - 2] || "-")) return null;
  const [u, o] = pair.map((letter) => parts(letter).includes(horn));
  const wanted = u && o ? [false, true] : o ? [false, false] : [true, true];
  return pair.map((letter, index) => (parts(letter).includes(horn) === wanted[index] ? letter : marked(letter, button))).join("");
}

export function applyMark(input, button) {
  const start = input.selectionStart, end = input.selectionEnd;
  const text = input.value;
  const at = end > start ? target(text, start + 1, button) : target(text, start, button);
  if (at < 0) return false;
  const pair = hornedPair(text, at, button);
  if (pair) input.setRangeText(pair, at - 1, at + 1, "preserve");
  else input.setRangeText(marked(text[at], button), at, at + 1, "preserve");
  input.setSelectionRange(start, end);
  input.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
}
