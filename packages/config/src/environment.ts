import type { IniValue } from "./ini.ts";
import { parseValue } from "./ini.ts";
import type { Section, Setting } from "./settings.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

type AnySection = Section<Record<string, Setting<unknown>>>;

/** `[handler] message_rate` is `PUSHPIN_HANDLER_MESSAGE_RATE`. */
export function variableOf(section: string, key: string): string {
  return `PUSHPIN_${section}_${key}`.toUpperCase();
}

/** What the environment says about a key; lists are written as in the file, all else as it is. */
export function fromEnvironment(
  environment: Environment,
  section: string,
  key: string,
  kind: Setting<unknown>["kind"],
): IniValue | undefined {
  const text = environment[variableOf(section, key)];
  if (text === undefined) return undefined;
  return { items: kind === "list" ? parseValue(text) : [text], line: 0 };
}

/**
 * What Kubernetes sets in every container for a service of its own that is called, say, `pushpin-handler`:
 * `PUSHPIN_HANDLER_SERVICE_HOST`, `PUSHPIN_HANDLER_PORT_5561_TCP_ADDR`. None of our keys looks like these.
 */
export function isOfKubernetes(variable: string, value = ""): boolean {
  if (/_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?)$/.test(variable)) return true;
  // More than the name: a misspelt key may end like this.
  const isAddress = /^(?:tcp|udp|sctp):\/\//.test(value);
  if (/_PORT$/.test(variable)) return isAddress;
  return /_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/.test(variable);
}

/** Variables that begin like a section's and name no key of it: probably misspelt. */
export function unknownVariables(
  environment: Environment,
  sections: readonly AnySection[],
): { readonly variable: string; readonly names: readonly string[] }[] {
  const unknown: { variable: string; names: string[] }[] = [];
  for (const variable of Object.keys(environment)) {
    const section = sections.find((one) => variable.startsWith(variableOf(one.name, "")));
    if (section === undefined) continue;
    const names = Object.keys(section.settings).map((key) => variableOf(section.name, key));
    if (!names.includes(variable)) unknown.push({ variable, names });
  }
  return unknown;
}
