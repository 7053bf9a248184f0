import { ROLE_NAMES } from "@pushpin/config";

/**
 * The processes a runner starts, in this order whatever the configuration's. Mongrel2 and its
 * adapter are not ours; they stand in the place of the connection manager.
 */
export const SERVICES = [
  "connmgr",
  "mongrel2",
  "m2adapter",
  "httpclient",
  "proxy",
  "handler",
] as const;
export type Service = (typeof SERVICES)[number];

const NAMES: Readonly<Record<Service, readonly string[]>> = {
  ...ROLE_NAMES,
  mongrel2: ["mongrel2"],
  m2adapter: ["m2adapter"],
};
const ALIASES: Readonly<Record<string, Service>> = Object.fromEntries(
  SERVICES.flatMap((service) => NAMES[service].map((name) => [name, service] as const)),
);

/** Whether it is what clients are connected to: told to stop first, and never replaced while it runs. */
export function isFront(service: Service): boolean {
  return service === "connmgr" || service === "mongrel2" || service === "m2adapter";
}

/** All names a service has in log levels. */
export function logNamesOf(service: Service): string[] {
  return [...NAMES[service]];
}

/** Name of a service under any of its names, or undefined. */
export function serviceOf(name: string): Service | undefined {
  return Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
}

/**
 * The services to start. The original's connection manager is its HTTP client too, so a list
 * with a proxy and a connection manager but no HTTP client gets one.
 *
 * @throws Error that names an unknown service, or says that there is none.
 */
export function parseServices(names: readonly string[]): Service[] {
  const wanted = new Set<Service>();
  const hasFront = names.some((name) => serviceOf(name) === "connmgr");
  if (hasFront && (names.includes("mongrel2") || names.includes("m2adapter")))
    throw new Error(
      "cannot enable the connmgr service at the same time as mongrel2 or m2adapter",
    );
  for (const name of names) {
    const service = serviceOf(name);
    if (service === undefined)
      throw new Error(`unknown service: ${name} (known: ${SERVICES.join(", ")})`);
    wanted.add(service);
  }
  if (wanted.size === 0) throw new Error("no services configured");
  if (wanted.has("proxy") && (wanted.has("connmgr") || wanted.has("mongrel2")))
    wanted.add("httpclient");
  return SERVICES.filter((one) => wanted.has(one));
}

/** File names of logs and pid files: the original's. */
export function fileNameOf(service: Service): string {
  return service === "proxy" || service === "handler" ? `pushpin-${service}` : service;
}
