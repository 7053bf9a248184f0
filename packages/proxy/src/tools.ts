import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  type Config,
  ConfigError,
  loadConfig,
  proxySettings,
} from "@pushpin/config";
import { memoryLog } from "@pushpin/log";
import { fromUtf8, toUtf8 } from "@pushpin/tnetstrings";
import yargs from "yargs";
import { compareRoutes, suggestionFor } from "./core/check.ts";
import { explain, renderExplanation } from "./core/explain.ts";
import { type Route, type RouteProblem, RouteTable } from "./core/routes/route-table.ts";
import { transformSettings } from "./shell/engine.ts";
import { KeyStore, signatureState } from "./shell/key-store.ts";
import { readPem } from "./shell/pem-file.ts";

// `pushpin check` and `pushpin explain`: what the proxy would do, without starting it.

const [command, ...argv] = process.argv.slice(2);
process.exitCode = command === "explain" ? runExplain(argv) : runCheck(argv);

interface Routes {
  readonly table: RouteTable;
  readonly problems: string[];
}

function readRoutes(file: string): Routes {
  const problems: string[] = [];
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch {
    problems.push(`${file}: unable to open routes file`);
  }
  const onProblem = ({ line, text: problem }: RouteProblem): void => {
    const suggestion = suggestionFor(problem);
    problems.push(
      `${file}:${line}${toUtf8(problem)}${suggestion === undefined ? "" : `\n    ${suggestion}`}`,
    );
  };
  const table = RouteTable.parse(fromUtf8(text).split("\n"), onProblem, undefined, readPem);
  return { table, problems };
}

function options(args: readonly string[], usage: string) {
  return yargs([...args])
    .scriptName("pushpin")
    .usage(usage)
    .version(false)
    .option("config", { type: "string", requiresArg: true, describe: "configuration file" })
    .option("routes", {
      type: "string",
      requiresArg: true,
      describe: "routes file, in the place of the configured one",
    })
    .option("json", { type: "boolean", default: false, describe: "answer with JSON" })
    .strictOptions();
}

function routesFileOf(config: Config, given: string | undefined): string {
  const { routesfile } = config.read(proxySettings);
  return given === undefined ? resolve(config.directory, routesfile) : resolve(given);
}

/** Ends with 1 if there is anything that would not work. */
function runCheck(args: readonly string[]): number {
  const parsed = options(args, "$0 check [options]\n\nLooks for problems in configuration and routes.")
    .option("against", {
      type: "string",
      requiresArg: true,
      describe: "routes file as it is now: what a reload would change is shown",
    })
    .parseSync();
  const errors: string[] = [];
  const warnings: string[] = [];
  let changes: ReturnType<typeof compareRoutes> | undefined;
  let count = 0;
  try {
    const config = loadConfig({
      file: parsed.config ?? "config/pushpin.conf",
      environment: process.env,
    });
    errors.push(...config.problems().map((one) => one.message));
    warnings.push(...config.warnings());
    if (errors.length === 0) {
      const { table, problems } = readRoutes(routesFileOf(config, parsed.routes));
      errors.push(...problems);
      count = table.size;
      const log = memoryLog();
      const keys = new KeyStore(config.directory, log);
      const { sig_key, upstream_key } = config.read(proxySettings);
      for (const text of new Set([sig_key, ...[...table.all()].map((one) => one.sigKey ?? "")]))
        keys.signing(text);
      keys.verification(upstream_key);
      errors.push(...log.lines.map((one) => one.replace(/^\[\w+\] /, "")));
      if (parsed.against !== undefined)
        changes = compareRoutes(readRoutes(resolve(parsed.against)).table, table);
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    errors.push(error.message);
  }
  if (parsed.json) {
    const shown = (routes: readonly Route[]) => routes.map(({ line, id }) => ({ line, id: toUtf8(id) }));
    const differences =
      changes === undefined
        ? {}
        : {
            changes: {
              added: shown(changes.added),
              removed: shown(changes.removed),
              changed: shown(changes.changed),
            },
          };
    process.stdout.write(
      `${JSON.stringify({ errors, warnings, routes: count, ...differences }, null, 2)}\n`,
    );
  } else {
    for (const one of warnings) process.stdout.write(`warning: ${one}\n`);
    for (const one of errors) process.stdout.write(`error: ${one}\n`);
    for (const [name, routes] of Object.entries(changes ?? {}) as [string, readonly Route[]][])
      for (const { line, id } of routes)
        process.stdout.write(`${name}: line ${line} (${toUtf8(id)})\n`);
    process.stdout.write(
      `${count} routes, ${errors.length} errors, ${warnings.length} warnings\n`,
    );
  }
  return errors.length > 0 ? 1 : 0;
}

function runExplain(args: readonly string[]): number {
  const parsed = options(
    args,
    "$0 explain METHOD URL [options]\n\nSays what the proxy would do with a request, and why. Nobody is asked.",
  )
    .option("header", {
      alias: "H",
      type: "string",
      array: true,
      nargs: 1,
      default: [] as string[],
      describe: 'header of the request, "Name: value"',
    })
    .parseSync();
  const [method, url] = parsed._.map(String);
  if (method === undefined || url === undefined || !/^(?:https?|wss?):\/\/[^/?#]/.test(url)) {
    process.stderr.write("Error: explain needs a method and an absolute URL (http, https, ws, wss)\n");
    return 2;
  }
  const headers: string[] = ["Host", fromUtf8(url.split("/")[2] ?? "")];
  for (const one of parsed.header) {
    const colon = one.indexOf(":");
    if (colon <= 0) {
      process.stderr.write(`Error: header must be in the form "Name: value": ${one}\n`);
      return 2;
    }
    headers.push(fromUtf8(one.slice(0, colon)), fromUtf8(one.slice(colon + 1).trim()));
  }
  try {
    const config = loadConfig({ file: parsed.config ?? "config/pushpin.conf" });
    const settings = config.read(proxySettings);
    const { table, problems } = readRoutes(routesFileOf(config, parsed.routes));
    for (const one of problems) process.stderr.write(`warning: ${one}\n`);
    const log = memoryLog();
    const keys = new KeyStore(config.directory, log);
    const explanation = explain(
      { method, uri: fromUtf8(url), headers, peerAddress: "127.0.0.1" },
      table,
      {
        transform: transformSettings(settings),
        keyState: (route) => signatureState(route, settings, keys),
        showsRouteHeaders: true,
      },
    );
    for (const line of log.lines) process.stderr.write(`warning: ${line.replace(/^\[\w+\] /, "")}\n`);
    process.stdout.write(
      toUtf8(
        parsed.json
          ? `${JSON.stringify(explanation, null, 2)}\n`
          : renderExplanation(explanation),
      ),
    );
    return explanation.route === undefined ? 1 : 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`Error: ${error.message}\n`);
    return 2;
  }
}
