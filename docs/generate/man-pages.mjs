import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MAN_TEXTS } from "./man-texts.mjs";

/** Programs and subcommands, and how each is asked for its help. */
function commands(root) {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const programs = Object.entries(bin).map(([name, script]) => ({ name, argv: [script] }));
  const help = helpOf(root, [bin.pushpin]);
  const words = /^pushpin ([a-z|]+) --help$/m.exec(help)?.[1]?.split("|") ?? [];
  const tools = words
    .filter((word) => !Object.hasOwn(bin, `pushpin-${word}`))
    .map((word) => ({ name: `pushpin-${word}`, argv: [bin.pushpin, word] }));
  return [...programs, ...tools];
}

function helpOf(root, [script, ...words]) {
  const done = spawnSync(process.execPath, [join(root, script), ...words, "--help"], {
    encoding: "utf8",
    env: { PATH: process.env.PATH },
  });
  if (done.status !== 0) throw new Error(`${script} ${words.join(" ")} --help: ${done.stderr}`);
  return done.stdout;
}

/**
 * Options of a help text: columns of names, meanings and, at the right, `[type] [default: value]`;
 * long meanings go on in the next line.
 */
function parseHelp(help) {
  const [head = "", list = ""] = help.split(/^Options:\n/m);
  const options = [];
  for (const line of list.split("\n")) {
    const [, names, rest] = /^ {2}( *-\S.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    if (names !== undefined) options.push({ names: names.trim(), text: rest ?? "" });
    else if (line.trim() !== "" && options.length > 0) options.at(-1).text += ` ${line.trim()}`;
  }
  return {
    synopsis: head.split("\n")[0].replace(/^pushpin(?: [a-z]+(?= ))?(?:-[a-z]+)?/, "").trim(),
    options: options.map(({ names, text }) => {
      const [, about = text, type = "", more = ""] =
        /^(.*?)\s*\[(string|number|boolean|array)\](.*)$/.exec(text) ?? [];
      const [, value = ""] = /\[default: (.*)\]$/.exec(more.trim()) ?? [];
      return { names: names.split(/,\s*/), about: about.trim(), type, value };
    }),
  };
}

const escape = (text) =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("…", "...")
    .replaceAll("’", "'")
    .replace(/^(?=[.'])/gm, "\\&");
const quoted = (text) => `"${escape(text).replaceAll('"', "\\(dq")}"`;
const ARGUMENTS = { string: "VALUE", number: "NUMBER", array: "VALUE" };

function optionText({ names, about, type, value }) {
  const argument = ARGUMENTS[type];
  const shown = names
    .map((name) => `\\fB${escape(name)}\\fR${argument === undefined ? "" : ` \\fI${argument}\\fR`}`)
    .join(", ");
  const meaning = about.charAt(0).toUpperCase() + about.slice(1);
  const several = type === "array" && !/repeated/.test(about) ? " May be repeated." : "";
  const fallback = ["", "false", "[]", '""'].includes(value) ? "" : ` Default: ${value}.`;
  return `.TP\n${shown}\n${escape(`${meaning.replace(/\.?$/, ".")}${several}${fallback}`)}\n`;
}

const pairs = (title, list) =>
  list === undefined
    ? ""
    : `.SH ${title}\n${list.map(([name, text]) => `.TP\n.B ${quoted(name)}\n${escape(text === "" ? "See above" : text)}.\n`).join("")}`;

const header = (name, section, version) =>
  `.\\" Made by npm run docs.\n.TH ${quoted(name.toUpperCase())} ${section} "" ${quoted(`pushpin ${version}`)} "Pushpin"\n`;

function commandPage(name, help, version, others) {
  const texts = MAN_TEXTS[name];
  if (texts === undefined) throw new Error(`man-texts.mjs says nothing about ${name}`);
  const { synopsis, options } = parseHelp(help);
  const called = /^pushpin-(check|config|explain|stats|subs|command)$/.test(name)
    ? name.replace("-", " ")
    : name;
  const examples = (texts.examples ?? []).map(
    ([command, text]) => `.TP\n.B ${quoted(command)}\n${escape(text === "" ? "as it stands" : text)}\n`,
  );
  return [
    header(name, 1, version),
    `.SH NAME\n${escape(name)} \\- ${escape(texts.what)}\n`,
    `.SH SYNOPSIS\n.B ${escape(called)}\n${escape(synopsis)}\n`,
    `.SH DESCRIPTION\n${texts.description.map(escape).join("\n.PP\n")}\n`,
    `.SH OPTIONS\n${options.map(optionText).join("")}`,
    pairs("EXIT STATUS", texts.exit),
    pairs("SIGNALS", texts.signals),
    pairs("ENVIRONMENT", texts.environment),
    pairs("FILES", texts.files),
    examples.length === 0 ? "" : `.SH EXAMPLES\n${examples.join("")}`,
    `.SH SEE ALSO\n${(texts.see ?? others).map((one) => escape(one)).join(",\n")}\n`,
  ].join("");
}

function configPage(sections, version) {
  const plain = (text) => escape(text.replaceAll("`", ""));
  const parts = sections.map(({ name, settings }) => {
    const keys = Object.entries(settings).map(([key, { about, fallback, kind, unit }]) => {
      const value = Array.isArray(fallback) ? fallback.join(",") : String(fallback ?? "");
      const facts = [kind, ...(unit === undefined ? [] : [unit])].join(", ");
      const shown = value === "" ? "" : ` Default: ${value}.`;
      return `.TP\n\\fB${escape(key)}\\fR (${escape(facts)})\n${plain(about + shown)}\n`;
    });
    return `.SS ${quoted(`[${name}]`)}\n${keys.join("")}`;
  });
  return [
    header("pushpin.conf", 5, version),
    ".SH NAME\npushpin.conf \\- configuration of Pushpin\n",
    ".SH DESCRIPTION\n",
    `${plain(
      "Sections in brackets, and lines of the form key=value. Items of lists are divided by commas. " +
        "A line that begins with # or ; is a comment, and so is text behind a semicolon. " +
        "{rundir}, {ipc_prefix} and {libdir} stand for those values. A bad value or an unknown key " +
        "stops the start, with file and line.",
    )}\n.PP\n`,
    `${plain(
      "Every key can come from the environment instead: PUSHPIN_HANDLER_MESSAGE_RATE is message_rate " +
        "of [handler]. pushpin config shows the values in force and where each comes from.",
    )}\n`,
    `.SH KEYS\n${parts.join("")}`,
    ".SH SEE ALSO\npushpin(1),\npushpin\\-config(1)\n",
  ].join("");
}

/** Man pages by path: one for each command, and one for the configuration. */
export function manPages(root, sections) {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const pages = new Map();
  const all = commands(root).filter(({ argv }) => isThere(root, argv));
  for (const { name, argv } of all) {
    const others = all.filter((one) => one.name !== name).map((one) => `${one.name}(1)`);
    others.push("pushpin.conf(5)");
    pages.set(`man/${name}.1`, commandPage(name, helpOf(root, argv), version, others));
  }
  pages.set("man/pushpin.conf.5", configPage(sections, version));
  return pages;
}

/** Whether a tool's program is part of this tree. */
function isThere(root, [, word]) {
  const handlerTools = ["stats", "subs", "command"];
  return !handlerTools.includes(word) || existsSync(join(root, "packages/handler/bin/pushpin-handler-tools.js"));
}
