// What can be typed at a place of an expression: names of fields, operators, values, and, or.
const TOKEN = /[^\s()",=!<>.']*\.(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[=!<>]=|[=<>(),]|[^\s()",=!<>]+/g;
const ORDER_KINDS = ["number", "integer", "date"];
const SHOWN = 8;

// The tokens before a place: {text, end}. The last one may be unfinished.
function tokensBefore(text, place) {
  return [...text.slice(0, place).matchAll(TOKEN)].map((match) => ({ text: match[0], end: match.index + match[0].length }));
}

// What may follow these tokens: {expects: "name" | "operator" | "missing" | "list" | "value" | "more" | "joiner", field}.
function stateAfter(tokens) {
  const state = { expects: "name", field: "", inList: false };
  for (const { text } of tokens) {
    const word = text.toLowerCase();
    if (state.expects === "name") {
      if (word !== "(" && word !== "not") Object.assign(state, { expects: "operator", field: text });
    } else if (state.expects === "operator") {
      if (word === "is") state.expects = "missing";
      else if (word === "in") state.expects = "list";
      else if (word !== "not") state.expects = "value";
    } else if (state.expects === "missing") {
      if (word !== "not") state.expects = "joiner";
    } else if (state.expects === "list") {
      Object.assign(state, { expects: "value", inList: true });
    } else if (state.expects === "value") {
      state.expects = state.inList ? "more" : "joiner";
    } else if (state.expects === "more") {
      Object.assign(state, word === "," ? { expects: "value" } : { expects: "joiner", inList: false });
    } else if (word === "and" || word === "or") {
      state.expects = "name";
    }
  }
  return state;
}

function fieldsOf(vocabulary) {
  const byClass = (group, label, kind) => vocabulary.classes.map(
    (name) => ({ name: `${group}.${name}`, label, kind, values: [] }));
  return [...vocabulary.fields, ...byClass("share", "Share", "number"), ...byClass("blobs", "Regions", "integer")];
}

function operatorsOf(field) {
  const kind = field?.kind;
  if (ORDER_KINDS.includes(kind)) return [">", ">=", "<", "<=", "=", "!=", "is missing", "is not missing"];
  if (kind === "boolean") return ["=", "!=", "is missing", "is not missing"];
  const all = ["=", "!=", "in (", "not in (", "contains", "is missing", "is not missing"];
  return kind === "present" ? all.slice(0, 4) : all;
}

function entriesFor(state, vocabulary) {
  const plain = (texts) => texts.map((text) => ({ text, label: "" }));
  const fields = fieldsOf(vocabulary);
  const field = fields.find(({ name }) => name === state.field || name === `column.${state.field}`);
  switch (state.expects) {
    case "name": return [...fields.map(({ name, label }) => ({ text: name, label })), ...plain(["not"])];
    case "operator": return plain(operatorsOf(field));
    case "missing": return plain(["missing", "not missing"]);
    case "list": return plain(["("]);
    case "value": return plain(field?.values ?? []);
    case "more": return plain([",", ")"]);
    default: return plain(["and", "or"]);
  }
}

const folded = (text) => text.toLowerCase().replaceAll(/["']/g, "");

// {start, entries}: what can stand from `start` to the place, best first; each is {text, label}.
function complete(text, place, vocabulary) {
  const tokens = tokensBefore(text, place);
  const last = tokens.at(-1);
  const touches = last && last.end === place && !/^[(),]$/.test(last.text);
  const typed = touches ? last.text : "";
  const entries = entriesFor(stateAfter(touches ? tokens.slice(0, -1) : tokens), vocabulary);
  const part = folded(typed);
  const rank = ({ text: entry, label }) => {
    const name = folded(entry);
    if (name.startsWith(part)) return 0;
    if (name.includes(`.${part}`)) return 1;
    return name.includes(part) || folded(label).includes(part) ? 2 : 3;
  };
  const fitting = entries.filter((entry) => rank(entry) < 3).sort((a, b) => rank(a) - rank(b));
  const isComplete = fitting.length === 1 && fitting[0].text === typed;
  return { start: place - typed.length, entries: isComplete ? [] : fitting.slice(0, SHOWN) };
}
