/** A little text of many kinds, and strings that tokenizers get wrong. */

export const CORPUS = [
  "The quick brown fox jumps over the lazy dog. The dog, being lazy, does not jump; the fox jumps again.\n",
  "To be, or not to be, that is the question: whether it is nobler in the mind to suffer the slings.\n\n",
  "function add(a, b) {\n  return a + b;\n}\n\nfunction sub(a, b) {\n  return a - b;\n}\n",
  "1234 + 5678 = 6912, 12 * 12 = 144, 3.14159 is not 22/7 (that is 3.142857).\n",
  "深度求索是一家人工智能公司。人工智能,人工智能！日本語のテキストも、한국어 텍스트도 있습니다.\n",
  "Café déjà vu, naïve façade; Größe und Straße. Привет, мир! Привет! नमस्ते दुनिया.\n",
  "aaaa aaaaaaa aaa abab ababab bababa 😀😀😀 👩‍👩‍👧 ---- ==== ....\n",
];

export const HARD_TEXTS = [
  "",
  " ",
  "\n",
  "\r\n\t \u00a0\u0085\u2028\u3000",
  "\0\u0001\u007f",
  "\ufeffBOM",
  "Hello  world! Café déjà 12345\n\n  x😊",
  "e\u0301 vs é; Å\u030a\u0323",
  "👩‍👩‍👧‍👦🏳️‍🌈 🇩🇪",
  "人工智能abc人工123智能",
  "ひらがなカタカナ漢字 한국어",
  "a  b   c    \n   d",
  "١٢٣ ½ ² Ⅻ 一二三",
  "don't can't I'll we've",
  "constructor __proto__ toString",
  "\ufffd\uffff\u{10ffff}",
  "ัััั ि्र",
  " . , ! ? 's n't",
];
