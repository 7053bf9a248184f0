/** Limit: ids that others report of the handler before this one; further ones are not looked at. Unit: ids. */
export const REPORTED_ITEMS_MAX = 10_000;

/** An item's id, and to how many processes it went. */
export function encodeReport(key: string, destinations: number): string {
  return `${destinations} ${key}`;
}

/**
 * Which items the handler before this one has published to all they were for: every process they
 * went to says so. If one does not, they may come twice rather than not at all.
 */
export class ReportedItems {
  readonly #missing = new Map<string, number>();

  /** One process reports; returns the items that are complete now. */
  add(reports: readonly string[]): string[] {
    const complete: string[] = [];
    for (const report of new Set(reports)) {
      const end = report.indexOf(" ");
      const destinations = Number(report.slice(0, end));
      if (end < 1 || !(destinations > 0)) continue;
      const left = (this.#missing.get(report) ?? destinations) - 1;
      if (left === 0) complete.push(report.slice(end + 1));
      // Limit: REPORTED_ITEMS_MAX
      if (left === 0) this.#missing.delete(report);
      else if (this.#missing.size < REPORTED_ITEMS_MAX) this.#missing.set(report, left);
    }
    return complete;
  }
}
