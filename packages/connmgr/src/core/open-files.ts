/** Descriptors for everything that is no client: ZeroMQ, logs, listeners. */
export const RESERVED_FILES = 200;

/** How many files the process may have open, from `/proc/self/limits`; undefined if it does not say. */
export function parseOpenFilesLimit(limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** Limit: clients at once; what was asked for, or as many as there can be descriptors. */
export function possibleClients(wanted: number, openFiles: number | undefined): number {
  if (openFiles === undefined) return wanted;
  return Math.max(1, Math.min(wanted, openFiles - RESERVED_FILES));
}
