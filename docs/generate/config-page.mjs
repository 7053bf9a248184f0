const SECTION_TEXTS = {
  global: "For all processes.",
  runner: "What `pushpin` starts, where clients connect, and what one client may do.",
  connmgr: "Processes that hold the connections of clients.",
  httpclient: "Processes that hold the connections to backends.",
  proxy: "Routes, headers, signatures; and the sockets of the proxy.",
  handler: "Publishing, holds, statistics; and the sockets of the handler.",
};
/** Keys that only say where processes meet; `internal.conf` sets them. */
const isEndpoint = (section, key) =>
  /_specs?$/.test(key) &&
  !(section === "handler" && /^(push_in|stats|command|state)_/.test(key));

function valueOf({ kind, fallback }, shipped) {
  const text = String(kind === "list" ? fallback.join(",") : (fallback ?? ""));
  const value = text === "" ? "none" : `\`${text}\``;
  if (shipped === undefined || shipped === text) return value;
  return `${value}; shipped ${shipped === "" ? "empty" : `\`${shipped}\``}`;
}

function rangeOf({ kind, min, max, choices, unit }) {
  const parts = [];
  if (choices !== undefined) parts.push(choices.filter((one) => one !== "").join(", "));
  if (kind === "integer" || kind === "workers") {
    const low = min === Number.MIN_SAFE_INTEGER ? undefined : min;
    const high = max === Number.MAX_SAFE_INTEGER ? undefined : max;
    if (low !== undefined && high !== undefined) parts.push(`${low} to ${high}`);
    else if (low !== undefined) parts.push(`${low} or more`);
  }
  if (unit !== undefined) parts.push(unit);
  return parts.join(", ");
}

function table(entries, shipped) {
  const rows = entries.map(
    ([key, one]) =>
      `| \`${key}\` | ${one.kind}${one.isLive ? ", live" : ""} | ${valueOf(one, shipped(key))} | ${rangeOf(one)} | ${one.about} |`,
  );
  return `| key | type | default | range, unit | |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** Text of docs/config-reference.md, from the settings as `@pushpin/config` declares them. */
export function configPage(sections, shippedFile) {
  const parts = sections.map(({ name, settings }) => {
    const shipped = (key) => shippedFile.get(name)?.get(key)?.items.join(",");
    const entries = Object.entries(settings);
    const own = entries.filter(([key]) => !isEndpoint(name, key));
    const endpoints = entries.filter(([key]) => isEndpoint(name, key));
    const meeting =
      endpoints.length === 0
        ? ""
        : `
Where it meets the other processes. \`internal.conf\` sets these; change them to put processes on
different hosts, or beside processes of the original.

${table(endpoints, shipped)}`;
    return `## [${name}]\n\n${SECTION_TEXTS[name]}\n\n${table(own, shipped)}${meeting}`;
  });
  return `# Configuration reference

Every key of \`pushpin.conf\`, as the programs read it. The default is what counts where a key is absent;
where \`config/pushpin.conf\` has another value, that is the shipped one. A bad value stops the start, with its file and
line and what is allowed; so does a key that nobody knows, with the nearest name. This page is made by \`npm run docs\`.

## The file

\`\`\`ini
[section]
key=value          ; text behind a semicolon is a comment
list=one, two      ; commas divide the items of a list
text="one, two"    ; unless they are quoted
# a line that begins with # is a comment
\`\`\`

- \`\\\` at the end of a line joins the next one; inside, \`\\t \\n \\r \\\\ \\" \\x41\` are characters.
- Sections and keys may be repeated; the last one counts. Their case matters.
- \`boolean\` is \`true\`, \`yes\`, \`on\` or \`1\`, or \`false\`, \`no\`, \`off\`, \`0\` or nothing. \`integer\` is decimal.
  \`octal\` is a file mode such as \`660\`.
- \`{rundir}\`, \`{ipc_prefix}\` and \`{libdir}\` stand for those values of \`[global]\`, everywhere.
- \`live\`: a change is in force when \`pushpin\` gets SIGHUP, and no client notices; all others need a restart.
- \`workers\` is a number, or \`auto\`.
- Every key can come from the environment instead, which counts more than the file: \`[handler] message_rate\` is
  \`PUSHPIN_HANDLER_MESSAGE_RATE\`. \`pushpin config\` prints all values, and where each comes from.
- \`global/port_offset\` is added to every port in a \`tcp://\` address.

${parts.join("\n")}`;
}
