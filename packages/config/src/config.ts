import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "./config-error.ts";
import { type Environment, fromEnvironment, isOfKubernetes, unknownVariables, variableOf } from "./environment.ts";
import { type IniFile, type IniValue, parseIni } from "./ini.ts";
import { nearestName } from "./nearest-name.ts";
import {
  connmgrSettings,
  globalSettings,
  runnerSettings,
} from "./settings/global.ts";
import { handlerSettings } from "./settings/handler.ts";
import { httpclientSettings } from "./settings/httpclient.ts";
import { proxySettings } from "./settings/proxy.ts";
import type { Section, Setting, SettingsOf } from "./settings.ts";

export interface LoadOptions {
  readonly file: string;
  readonly ipcPrefix?: string;
  readonly portOffset?: number;
  /** Where `internal.conf` lies. Default: this package. */
  readonly libDir?: string;
  /** Overrides of single keys: `PUSHPIN_HANDLER_MESSAGE_RATE=100`. Default: none. */
  readonly environment?: Environment;
  /** Which of a role's workers is asking; `endpoints()` then names what it binds. */
  readonly worker?: WorkerIdentity;
}

export interface WorkerIdentity {
  readonly role: string;
  readonly slot: number;
}

/** A key that no section declares, or that stands in the wrong place. */
export interface UnknownKey {
  readonly file: string;
  readonly line: number;
  readonly section: string;
  readonly key: string;
}

/** The value of a key that is in force, and where it comes from. */
export interface EffectiveValue {
  readonly section: string;
  readonly key: string;
  readonly items: readonly string[];
  /** `default`, `command line`, `environment NAME` or `file:line`. */
  readonly source: string;
}

type AnySection = Section<Record<string, Setting<unknown>>>;

/** Every section there is; the reference page is made from them too. */
export const SECTIONS: readonly AnySection[] = [
  globalSettings,
  runnerSettings,
  connmgrSettings,
  httpclientSettings,
  proxySettings,
  handlerSettings,
];

/** `pushpin.conf` and what it includes, with variables expanded. */
export class Config {
  readonly file: string;
  readonly directory: string;
  readonly unknownKeys: readonly UnknownKey[];
  readonly worker: WorkerIdentity | undefined;
  /** `rundir` is found only in `[runner]`, where very old files have it. */
  readonly hasOldRundir: boolean;
  readonly #files: readonly { readonly name: string; readonly ini: IniFile }[];
  readonly #environment: Environment;
  readonly #commandLine: ReadonlyMap<string, string>;
  readonly #variables: ReadonlyMap<string, string>;
  readonly #portOffset: number;

  constructor(options: LoadOptions) {
    this.file = resolve(options.file);
    this.directory = dirname(this.file);
    this.worker = options.worker;
    this.#environment = options.environment ?? {};
    const { ipcPrefix, portOffset } = options;
    const given: [string, string][] = [];
    if (ipcPrefix !== undefined) given.push(["ipc_prefix", ipcPrefix]);
    if (portOffset !== undefined) given.push(["port_offset", String(portOffset)]);
    this.#commandLine = new Map(given);
    const main = parseIni(readText(this.file));
    const own = (key: string, section = "global") =>
      this.#environment[variableOf(section, key)] ?? main.get(section)?.get(key)?.items.join(",");
    const libDir = own("libdir") ?? options.libDir ?? defaultLibDir();
    const runDir = own("rundir") ?? own("rundir", "runner") ?? "";
    this.hasOldRundir = own("rundir") === undefined && runDir !== "";
    this.#variables = new Map([
      ["libdir", libDir],
      ["rundir", runDir === "" ? "" : resolve(runDir)],
      ["ipc_prefix", ipcPrefix ?? own("ipc_prefix") ?? "pushpin-"],
    ]);
    this.#portOffset = portOffset ?? (Number(own("port_offset") ?? 0) || 0);
    const files = [{ name: this.file, ini: main }];
    const include = own("include");
    if (include !== undefined && include !== "") {
      const name = this.#includePath(include, libDir);
      files.push({ name, ini: parseIni(readText(name, true)) });
    }
    this.#files = files;
    this.unknownKeys = this.#findUnknownKeys();
  }

  get rundir(): string {
    return this.#variables.get("rundir") ?? "";
  }

  get ipcPrefix(): string {
    return this.#variables.get("ipc_prefix") ?? "";
  }

  get portOffset(): number {
    return this.#portOffset;
  }

  /** All keys of a section, checked. @throws ConfigError with file, line and what is allowed. */
  read<X extends AnySection>(section: X): SettingsOf<X> {
    const out: Record<string, unknown> = {};
    for (const [key, setting] of Object.entries(section.settings)) {
      const parsed = this.#readKey(section.name, key, setting);
      if (parsed instanceof ConfigError) throw parsed;
      out[key] = parsed.value;
    }
    return out as SettingsOf<X>;
  }

  /** Variables that look like settings and are somebody else's. */
  get ignoredVariables(): readonly string[] {
    return this.#unknownVariables()
      .map((one) => one.variable)
      .filter((one) => isOfKubernetes(one, this.#environment[one]));
  }

  #unknownVariables() {
    return unknownVariables(this.#environment, SECTIONS);
  }

  /** What works, but hardly as meant: in no way a reason not to start. */
  warnings(): string[] {
    const warnings: string[] = [];
    if (this.hasOldRundir) warnings.push("rundir in [runner] section is deprecated. put in [global]");
    const [main] = this.#files;
    for (const { name, settings } of SECTIONS)
      for (const [key, setting] of Object.entries(settings)) {
        const value = main?.ini.get(name)?.get(key);
        if (value !== undefined && setting.about.startsWith("Not used"))
          warnings.push(`${main?.name}:${value.line}: ${name}/${key} has no effect: it is not used`);
      }
    if (this.ignoredVariables.length > 0)
      warnings.push(`variables of Kubernetes ignored: ${this.ignoredVariables.join(", ")}`);
    return warnings;
  }

  /** Everything that cannot be used: bad values, unknown keys and variables, in that order. */
  problems(): ConfigError[] {
    const problems: ConfigError[] = [];
    for (const section of SECTIONS)
      for (const [key, setting] of Object.entries(section.settings)) {
        const parsed = this.#readKey(section.name, key, setting);
        if (parsed instanceof ConfigError) problems.push(parsed);
      }
    for (const one of this.unknownKeys)
      problems.push(new ConfigError(describeUnknown(one), one.file, one.line));
    const ignored = this.ignoredVariables;
    for (const { variable, names } of this.#unknownVariables().filter((one) => !ignored.includes(one.variable)))
      problems.push(
        new ConfigError(`unknown variable ${variable}${suggestion(nearestName(variable, names))}`),
      );
    return problems;
  }

  /** @throws ConfigError the first of `problems()`. */
  check(): void {
    const [first] = this.problems();
    if (first !== undefined) throw first;
  }

  /** Every key with the value in force and where it comes from. */
  effective(): EffectiveValue[] {
    const values: EffectiveValue[] = [];
    for (const { name: section, settings } of SECTIONS)
      for (const [key, setting] of Object.entries(settings)) {
        const found = this.#find(section, key, setting.kind);
        if (found === undefined)
          values.push({ section, key, items: asItems(setting.fallback), source: "default" });
        else {
          const items = found.value.items.map((one) => this.#expand(one));
          const { line } = found.value;
          values.push({ section, key, items, source: found.name + (line > 0 ? `:${line}` : "") });
        }
      }
    return values;
  }

  #readKey(
    section: string,
    key: string,
    setting: Setting<unknown>,
  ): { readonly value: unknown } | ConfigError {
    const found = this.#find(section, key, setting.kind);
    if (found === undefined) return { value: setting.fallback };
    const parsed = setting.parse(found.value.items.map((one) => this.#expand(one)));
    if (parsed.ok) return parsed;
    const { line } = found.value;
    return new ConfigError(
      `${section}/${key}: ${parsed.error}`,
      found.name,
      line > 0 ? line : undefined,
    );
  }

  #find(
    section: string,
    key: string,
    kind: Setting<unknown>["kind"],
  ): { name: string; value: IniValue } | undefined {
    const given = section === "global" ? this.#commandLine.get(key) : undefined;
    if (given !== undefined) return { name: "command line", value: { items: [given], line: 0 } };
    const variable = fromEnvironment(this.#environment, section, key, kind);
    if (variable !== undefined)
      return { name: `environment ${variableOf(section, key)}`, value: variable };
    for (const { name, ini } of this.#files) {
      const value = ini.get(section)?.get(key);
      if (value !== undefined) return { name, value };
    }
    return undefined;
  }

  #expand(value: string): string {
    const text = this.#expandVariables(value);
    if (this.#portOffset === 0) return text;
    return text.replace(
      /(tcp:\/\/[^,]*:)(\d+)/g,
      (_, head: string, port: string) => head + String(Number(port) + this.#portOffset),
    );
  }

  #expandVariables(value: string): string {
    return value.replace(
      /\{(libdir|rundir|ipc_prefix)\}/g,
      (_, name: string) => this.#variables.get(name) ?? "",
    );
  }

  #includePath(include: string, libDir: string): string {
    const name = this.#expandVariables(include);
    if (name === "internal.conf") return join(libDir, name);
    return isAbsolute(name) ? name : join(this.directory, name);
  }

  #findUnknownKeys(): UnknownKey[] {
    const unknown: UnknownKey[] = [];
    for (const { name: file, ini } of this.#files) {
      for (const [section, keys] of ini) {
        const declared = SECTIONS.find((one) => one.name === section)?.settings ?? {};
        for (const [key, { line }] of keys)
          if (!Object.hasOwn(declared, key))
            unknown.push({ file, line, section, key });
      }
    }
    return unknown;
  }
}

/** @throws ConfigError if the file cannot be read. */
export function loadConfig(options: LoadOptions): Config {
  return new Config(options);
}

export function defaultLibDir(): string {
  return fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
}

function describeUnknown({ section, key }: UnknownKey): string {
  const known = SECTIONS.find((one) => one.name === section);
  if (known === undefined) {
    const meant = nearestName(section, SECTIONS.map((one) => one.name));
    return `unknown section [${section}]${suggestion(meant)}`;
  }
  const elsewhere = SECTIONS.find((one) => Object.hasOwn(one.settings, key));
  if (elsewhere !== undefined)
    return `unknown key ${section}/${key}; it belongs to [${elsewhere.name}]`;
  return `unknown key ${section}/${key}${suggestion(nearestName(key, Object.keys(known.settings)))}`;
}

function suggestion(name: string | undefined): string {
  return name === undefined ? "" : `; did you mean ${name}?`;
}

function asItems(fallback: unknown): readonly string[] {
  if (Array.isArray(fallback)) return fallback.map(String);
  return fallback === undefined ? [] : [String(fallback)];
}

function readText(file: string, optional = false): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    if (optional) return "";
    throw new ConfigError(`failed to open ${file}`);
  }
}
