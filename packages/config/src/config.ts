import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "./config-error.ts";
import { type IniFile, type IniValue, parseIni } from "./ini.ts";
import { globalSettings, runnerSettings } from "./settings/global.ts";
import { handlerSettings } from "./settings/handler.ts";
import { proxySettings } from "./settings/proxy.ts";
import type { Section, Setting, SettingsOf } from "./settings.ts";

export interface LoadOptions {
  readonly file: string;
  readonly ipcPrefix?: string;
  readonly portOffset?: number;
  /** Where `internal.conf` lies. Default: this package. */
  readonly libDir?: string;
}

/** A key that no section declares, or that stands in the wrong place. */
export interface UnknownKey {
  readonly file: string;
  readonly line: number;
  readonly section: string;
  readonly key: string;
}

type AnySection = Section<Record<string, Setting<unknown>>>;
const SECTIONS: readonly AnySection[] = [
  globalSettings,
  runnerSettings,
  proxySettings,
  handlerSettings,
];

/** `pushpin.conf` and what it includes, with variables expanded. */
export class Config {
  readonly file: string;
  readonly directory: string;
  readonly unknownKeys: readonly UnknownKey[];
  readonly #files: readonly { readonly name: string; readonly ini: IniFile }[];
  readonly #variables: ReadonlyMap<string, string>;
  readonly #portOffset: number;

  constructor(options: LoadOptions) {
    this.file = resolve(options.file);
    this.directory = dirname(this.file);
    const main = parseIni(readText(this.file));
    const own = (key: string) => main.get("global")?.get(key)?.items.join(",");
    const libDir = own("libdir") ?? options.libDir ?? defaultLibDir();
    const runDir = own("rundir") ?? main.get("runner")?.get("rundir")?.items.join(",") ?? "";
    this.#variables = new Map([
      ["libdir", libDir],
      ["rundir", runDir === "" ? "" : resolve(runDir)],
      ["ipc_prefix", options.ipcPrefix ?? own("ipc_prefix") ?? "pushpin-"],
    ]);
    this.#portOffset = options.portOffset ?? (Number(own("port_offset") ?? 0) || 0);
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
      const found = this.#find(section.name, key);
      if (found === undefined) {
        out[key] = setting.fallback;
        continue;
      }
      const parsed = setting.parse(found.value.items.map((one) => this.#expand(one)));
      if (!parsed.ok)
        throw new ConfigError(
          `${section.name}/${key}: ${parsed.error}`,
          found.file,
          found.value.line,
        );
      out[key] = parsed.value;
    }
    return out as SettingsOf<X>;
  }

  #find(section: string, key: string): { file: string; value: IniValue } | undefined {
    for (const { name, ini } of this.#files) {
      const value = ini.get(section)?.get(key);
      if (value !== undefined) return { file: name, value };
    }
    return undefined;
  }

  #expand(value: string): string {
    const text = value.replace(
      /\{(libdir|rundir|ipc_prefix)\}/g,
      (_, name: string) => this.#variables.get(name) ?? "",
    );
    if (this.#portOffset === 0) return text;
    return text.replace(
      /(tcp:\/\/[^,]*:)(\d+)/g,
      (_, head: string, port: string) => head + String(Number(port) + this.#portOffset),
    );
  }

  #includePath(include: string, libDir: string): string {
    const name = include.replace(
      /\{(libdir|rundir|ipc_prefix)\}/g,
      (_, one: string) => this.#variables.get(one) ?? "",
    );
    if (name === "internal.conf") return join(libDir, name);
    return isAbsolute(name) ? name : join(this.directory, name);
  }

  #findUnknownKeys(): UnknownKey[] {
    const unknown: UnknownKey[] = [];
    for (const { name: file, ini } of this.#files) {
      for (const [section, keys] of ini) {
        const declared = SECTIONS.find((one) => one.name === section)?.settings ?? {};
        for (const [key, { line }] of keys)
          if (!Object.hasOwn(declared, key)) unknown.push({ file, line, section, key });
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

function readText(file: string, optional = false): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    if (optional) return "";
    throw new ConfigError(`failed to open ${file}`);
  }
}
